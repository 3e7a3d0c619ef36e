"""Reading the project's own source for the tests that state laws about it."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("kronos", "data_sources")
SHELL = ("app.py", "pages")


@dataclass(frozen=True)
class Import:
    """One import statement, wherever it stands: top level, function or TYPE_CHECKING block."""

    file: Path
    line: int
    name: str

    @property
    def package(self) -> str:
        """Top-level name of what is imported."""
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name}"


def python_files(*tops: str) -> list[Path]:
    """Python files below the given folders (or the files themselves) of the checkout."""
    found: list[Path] = []
    for top in tops:
        path = ROOT / top
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def module_name(file: Path) -> str:
    """Dotted name of a file: kronos/nn/__init__.py is kronos.nn."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def syntax(file: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """Every import of a file, as absolute dotted names of modules or of names in them."""
    found: list[Import] = []
    for node in ast.walk(syntax(file)):
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = file.relative_to(ROOT).parent.parts
                above = package[: len(package) - node.level + 1]
                base = ".".join((*above, base)).rstrip(".")
            found += [Import(file, node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return tuple(found)


def module_graph(*tops: str) -> dict[str, dict[str, Import]]:
    """For each module below the given folders: the others it imports, and a statement that does.

    `from package import name` imports the submodule of that name where there is one, else the
    package's `__init__`. Importing a submodule does not count as importing its packages.
    """
    files = {module_name(file): file for file in python_files(*tops)}
    graph: dict[str, dict[str, Import]] = {}
    for module, file in files.items():
        found = graph[module] = {}
        for statement in imports(file):
            name = statement.name
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != module:
                found.setdefault(name, statement)
    return graph
