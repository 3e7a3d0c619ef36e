"""A cache of bars on this machine."""
