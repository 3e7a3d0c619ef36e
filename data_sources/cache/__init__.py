"""Bars kept on this machine, so that a source is asked for new ones only."""
