"""Colours of the charts: chosen to read on white and on near-black, so that a theme switch needs
no new figure. Shape and dash always carry the meaning too.
"""

UP = "#12A08C"
DOWN = "#DE6A3A"
FAN = "#4A86F0"
MEDIAN = "#3F7DF2"
NEUTRAL = "#7C8AA0"
PILL = "#2C63CF"
PILL_TEXT = "#FFFFFF"
ACTUAL = "#C98A12"
MACRO = "#A468D6"
EARNINGS = "#C98A12"
NEWS = "#0FA39A"
CLEAR = "rgba(0,0,0,0)"


def faded(colour: str, opacity: float) -> str:
    """A hex colour as rgba() with the given opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
