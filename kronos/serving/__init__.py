"""The engine that forecasts for everybody, and the queue in front of it."""
