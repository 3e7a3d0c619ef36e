"""Draws the loss curves of training logs as one SVG.

    python benchmarks/training_curves.py OUT.svg tokenizer=LOG.jsonl model=LOG.jsonl

Each panel shows the training loss and the loss on held-out windows over the steps, on a
logarithmic scale.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 420, 240, 48
TRAINING, HELD_OUT, INK = "#4A86F0", "#C98A12", "#7C8AA0"


def points(log: Path, split: str) -> list[tuple[int, float]]:
    """(step, loss) of a split, "train" or "validation"; a repeated step counts once."""
    losses = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        # Logs of the bundled model have no splits: a held-out loss is a field of its own.
        found = "validation" if "val_loss" in row else row.get("split", "train")
        if found == split and (loss := row.get("val_loss", row.get("loss"))) is not None:
            losses[row["step"]] = loss
    return sorted(losses.items())


def panel(title: str, log: Path, left: int) -> str:
    """One panel as SVG elements."""
    curves = {"train": (TRAINING, "training"), "validation": (HELD_OUT, "held out")}
    data = {split: points(log, split) for split in curves}
    values = [math.log10(value) for line in data.values() for _, value in line]
    steps = max(step for line in data.values() for step, _ in line)
    low, high = min(values), max(values)

    def place(step: int, value: float) -> str:
        x = left + MARGIN + step / steps * (WIDTH - MARGIN - 16)
        y = MARGIN + (high - math.log10(value)) / (high - low) * (HEIGHT - 2 * MARGIN)
        return f"{x:.1f},{y:.1f}"

    text = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    parts = [f'<text x="{left + MARGIN}" y="18" {text} font-weight="bold">{title}</text>']
    for i, (split, (colour, label)) in enumerate(curves.items()):
        line = " ".join(place(*point) for point in data[split])
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        )
        x = left + MARGIN + 110 * i
        parts.append(f'<line x1="{x}" x2="{x + 18}" y1="32" y2="32" stroke="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="36" {text}>{label}</text>')
    for value in (10**high, 10**low):
        y = place(0, value).split(",")[1]
        parts.append(f'<text x="{left + 4}" y="{y}" {text}>{value:.3g}</text>')
    bottom = HEIGHT - MARGIN + 18
    parts.append(f'<text x="{left + MARGIN}" y="{bottom}" {text}>0</text>')
    end = left + WIDTH - 16
    parts.append(f'<text x="{end}" y="{bottom}" {text} text-anchor="end">{steps:,} steps</text>')
    return "\n".join(parts)


def main(out: str, *logs: str) -> None:
    panels = [
        panel(title, Path(path), i * WIDTH)
        for i, (title, path) in enumerate(log.split("=", 1) for log in logs)
    ]
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(panels) + "\n</svg>\n"
    Path(out).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
