"""How large a batch gets."""

TILE = 32
"""Paths that one matrix product reads: columns on a processor, rows of a lane on a GPU."""

MAX_ROWS = 256
"""Paths drawn at once. Their attention memory is what bounds a forecast's memory, and beyond
this number no operation gains from more of them."""
