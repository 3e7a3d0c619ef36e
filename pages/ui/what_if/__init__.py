"""The What-if page: how a fan changes with the events that its model reads."""
