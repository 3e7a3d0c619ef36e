"""Whether an adapter learns events: on real bars after a cut-off, and on a planted effect."""
