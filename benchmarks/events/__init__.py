"""Whether an adapter learns events: on real bars behind a cut-off, and on a planted effect."""
