"""What every forecast must say of itself, on the page and in its files."""

DISCLAIMER = (
    "Simulated futures from a statistical model: not advice, and no promise that prices will "
    "stay inside a band."
)
