"""The what-if page: how a fan changes with the events its model is told."""
