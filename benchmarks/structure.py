"""The structure of the code in figures, read from its imports alone.

    python -m benchmarks.structure [--root FOLDER]

Rooms are the packages and loose modules of kronos/, and pages/, data_sources/, benchmarks/ and
app.py as one each; an arrow is an import between two rooms, type-only and lazy ones included; the
floors are the longest way down along arrows. Circles of packages count each folder by itself.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections import defaultdict
from functools import cache
from pathlib import Path

TOPS = ("kronos", "pages", "data_sources")
BESIDE = ("benchmarks",)


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file of every module."""
    found = {"app": root / "app.py"}
    for top in (*TOPS, *BESIDE):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(files: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> modules of the tree that it imports, wherever the import stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            wanted: list[str] = []
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
            for each in wanted:
                while each and each not in files:
                    each = each.rpartition(".")[0]
                if each and each != name:
                    found[name].add(each)
    return found


def room_of(name: str) -> str:
    """A child of kronos, or a top folder."""
    top, *below = name.split(".")
    return f"{top}.{below[0]}" if top == "kronos" and below else top


def package_of(name: str, packages: set[str]) -> str:
    """The folder a module stands in; a module directly below a top folder stands by itself.

    What lies below a room of kronos/ belongs to it, as it does for `room_of`.
    """
    if name.startswith("kronos."):
        return room_of(name)
    if name in packages:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent not in {*TOPS, ""} else name


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups that import one another (strongly connected components of two and more)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in list(graph):
        if node not in order:
            visit(node)
    return found


def measure(root: Path) -> dict[str, str]:
    """The figures by name."""
    files = modules(root)
    edges = imports(files)
    packages = {name for name, path in files.items() if path.name == "__init__.py"}
    rooms: dict[str, set[str]] = defaultdict(set)
    folders: dict[str, set[str]] = defaultdict(set)
    for name in files:
        room, folder = room_of(name), package_of(name, packages)
        rooms[room] |= {room_of(other) for other in edges[name]} - {room}
        if name.split(".")[0] in TOPS:
            folders[folder] |= {package_of(other, packages) for other in edges[name]} - {folder}
    rooms.pop("kronos")  # the package itself: its lazy exports
    file_circles = circles({name: {o for o in edges[name] if o not in packages} for name in files})
    rooms = defaultdict(set, {room: below - {"kronos"} for room, below in rooms.items()})
    room_circles = circles(rooms)

    @cache
    def height(room: str) -> int:
        return 1 + max((height(other) for other in rooms[room]), default=0)

    own = {name: path for name, path in files.items() if name.split(".")[0] in TOPS}
    sizes = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in own.values())
    loose = [name for name in own if name.count(".") == 1 and name not in packages]
    return {
        "rooms": f"{len(rooms)}",
        "arrows between rooms": f"{sum(map(len, rooms.values()))}",
        "floors": "circular" if room_circles else f"{max(map(height, rooms))}",
        "circles of files": f"{len(file_circles)}",
        "circles of packages": f"{len(circles(folders))}",
        "loose modules in kronos/": f"{sum(name.startswith('kronos.') for name in loose)}",
        "files": f"{len(own)}",
        "median lines of a file": f"{statistics.median(sizes):.0f}",
        "files below 60 lines": f"{sum(size < 60 for size in sizes)}",
        "lines": f"{sum(sizes):,}",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path())
    for name, figure in measure(parser.parse_args().root).items():
        print(f"{name:26}{figure:>10}")
