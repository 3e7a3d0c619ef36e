"""Laws of the tree as a whole: what it may contain, and what it declares."""

import ast
import email
import importlib.metadata as metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from urllib.request import urlopen

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from hatch_build import index_readme
from kronos.system import asset_path
from tests.source_tree import LIBRARIES, ROOT, SHELL, imports, module_name, python_files, syntax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE_FILES = python_files(*LIBRARIES)
PRODUCT_FILES = [*PACKAGE_FILES, *python_files(*SHELL, "benchmarks")]
TEXT_ENDINGS = {".cfg", ".css", ".html", ".json", ".md", ".py", ".toml", ".txt", ".yml", ".yaml"}
TOPS = (
    ".ci", ".streamlit", "app.py", "assets", "benchmarks", "data_sources", "docs", "kronos",
    "pages", "tests", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md",
    "constraints.txt", "pyproject.toml",
)  # fmt: skip


def text_files():
    for top in TOPS:
        path = ROOT / top
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and (file.suffix in TEXT_ENDINGS or file.parent.name == ".ci"):
                yield file
    yield ROOT / "Makefile"


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in pinned)
    }


def requirements(*groups: str) -> list[Requirement]:
    found = list(PROJECT["dependencies"])
    for group in groups:
        found += PROJECT["optional-dependencies"][group]
    wanted = [Requirement(line) for line in found]
    own = [each for each in wanted if each.name == PROJECT["name"]]
    inner = requirements(*(extra for each in own for extra in each.extras)) if own else []
    return [each for each in wanted if each not in own] + inner


def installed_closure(wanted: list[Requirement]) -> set[str]:
    """Canonical names of everything the requirements bring in, in this environment."""
    seen: set[str] = set()
    queue = list(wanted)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in (*requirement.extras, "")
        ):
            continue
        if name in seen:
            continue
        seen.add(name)
        for line in metadata.requires(name) or []:
            below = Requirement(line)
            if below.marker is None or below.marker.evaluate({"extra": ""}):
                queue.append(below)
    return seen


def test_no_machine_paths():
    places = "home|Users|root|tmp|work|mnt|data"
    pattern = re.compile(rf"""(?<![\w.~*\]{{}}/:-])/({places})/[\w.-]+""")
    broken = [
        f"{file.relative_to(ROOT)}:{number}: {match.group()}"
        for file in text_files()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert not broken, "\n".join(broken)


def test_nothing_is_pickled():
    """A checkpoint or an upload that is unpickled runs whatever its author wrote into it."""
    modules = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
    calls = {"torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle"}
    names = {call.rpartition(".")[2] for call in calls}
    broken = []
    for file in PRODUCT_FILES:
        broken += [str(found) for found in imports(file) if found.package in modules]
        for node in ast.walk(syntax(file)):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if (
                isinstance(node, ast.Attribute)
                and node.attr in names
                and ast.unparse(node) in calls
            ):
                broken.append(f"{where} uses {ast.unparse(node)}")
            if isinstance(node, ast.Attribute) and node.attr == "to_pickle":
                broken.append(f"{where} uses to_pickle")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                broken.append(f"{where} passes allow_pickle")
    assert not broken, "\n".join(broken)


def test_no_test_runs_an_event_loop_of_its_own_in_the_thread_of_the_browser():
    """Playwright leaves a loop running in the thread of the tests that follow it: `run_apart`."""
    files = python_files("tests")
    assert len(files) > 100
    owners = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.run", "anyio.run")
    ]
    assert not owners


def test_uploads_are_never_drawn_as_html():
    # The name in two pieces, so that this file does not contain what it forbids.
    flag = "unsafe_allow" + "_html"
    broken = [file.name for file in PRODUCT_FILES if flag in file.read_text()]
    assert not broken


def test_every_public_module_says_what_it_is():
    silent = [
        module_name(file)
        for file in PACKAGE_FILES
        if not any(part.startswith("_") for part in module_name(file).split("."))
        and not ast.get_docstring(syntax(file))
    ]
    assert not silent


def test_every_package_folder_is_a_package():
    folders = {file.parent for file in PACKAGE_FILES}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_unfinished_work():
    words = re.compile("TO" + "DO|FIX" + r"ME|XX" + r"X\b|raise NotImplemented" + "Error")
    broken = [file.name for file in PRODUCT_FILES if words.search(file.read_text())]
    assert not broken


def test_constraints_are_exact_versions_in_order():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    exact = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9]+(\.[0-9a-z]+)*")
    assert not [line for line in pinned if not exact.fullmatch(line)]
    assert pinned == sorted(set(pinned))
    assert pins()["torch"] == "2.13.0"


def test_constraints_pin_everything_that_is_installed_for_the_project():
    needed = installed_closure(requirements("dev"))
    assert not needed - set(pins())


def test_every_pin_installs_on_the_oldest_python():
    """Debian 12 has 3.11.2."""
    refused = {
        name: needed
        for name in installed_closure(requirements("dev"))
        if (needed := metadata.metadata(name).get("Requires-Python"))
        and not SpecifierSet(needed).contains("3.11.2")
    }
    assert not refused


def test_pins_satisfy_the_declared_bounds():
    for requirement in requirements("dev"):
        version = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} against {version}"


# pandas reads Parquet and holds text through pyarrow, Streamlit signs visitors in through Authlib;
# nothing here imports them by name.
LOADED_BY_OTHERS = {"authlib", "pyarrow"}
OWN = {"__future__", "app", "benchmarks", "hatch_build", "pages", "tests"}


def declared(*groups: str) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements(*groups)}


def distributions(files) -> set[str]:
    """Canonical names of the installed distributions the files import."""
    homes = metadata.packages_distributions()
    found = set()
    for file in files:
        # What `require` imports is imported as well.
        named = {
            node.args[0].value
            for node in ast.walk(syntax(file))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "require"
            and isinstance(node.args[0], ast.Constant)
        }
        for name in ({item.package for item in imports(file)} | named) - sys.stdlib_module_names:
            if name not in {*LIBRARIES, *OWN}:
                found.add(canonicalize_name(homes.get(name, [name])[0]))
    return found


def test_every_import_is_declared_and_every_declaration_imported():
    used = distributions([*PACKAGE_FILES, *python_files(*SHELL)])
    assert used - declared("all", "sktime") == set()
    used_at_all = distributions(PRODUCT_FILES)
    needed = declared("app", "markets", "finetune", "ensemble")
    assert needed - used_at_all == LOADED_BY_OTHERS - used_at_all


def test_all_and_dev_hold_every_extra():
    """But sktime, whose pandas is older than the one that is tested with the rest."""
    for group in set(PROJECT["optional-dependencies"]) - {"dev", "sktime"}:
        assert declared(group) <= declared("all") <= declared("dev")


def test_tests_and_benchmarks_import_only_what_is_declared():
    used = distributions(python_files("tests", "benchmarks"))
    assert not used - declared("dev")


@pytest.mark.parametrize("outside", [("..", "secret"), ("/etc",), ("samples", "..", "..", "x")])
def test_asset_paths_stay_inside_the_assets(outside):
    with pytest.raises(ValueError, match="below assets/"):
        asset_path(*outside)


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory):
    """The folder that an installed wheel fills."""
    folder = tmp_path_factory.mktemp("wheel")
    options = "--quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options.split(), "--wheel-dir", folder, ROOT],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    place = folder / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def run_installed(place, script, folder):
    """A Python that imports from the wheel and not from the checkout, in another folder."""
    paths = f"sys.path = [{str(place)!r}] + [p for p in sys.path if p != {str(ROOT)!r}]"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"import sys; {paths}\n{script}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )


def test_a_wheel_carries_packages_and_assets_and_nothing_else(unpacked_wheel, tmp_path):
    tops = {path.name for path in unpacked_wheel.iterdir() if path.suffix != ".dist-info"}
    assert tops == set(LIBRARIES)
    assert (unpacked_wheel / "data_sources/symbols.csv").is_file()
    script = "from kronos.system import asset_path; print(asset_path('samples', 'GOOG_1d.csv'))"
    printed, _ = run_installed(unpacked_wheel, script, tmp_path).communicate(timeout=60)
    installed = unpacked_wheel.resolve() / "kronos/_assets"
    assert printed.strip() == str(installed / "samples/GOOG_1d.csv")
    source = asset_path("samples", "GOOG_1d.csv")
    assert (installed / "samples/GOOG_1d.csv").read_bytes() == source.read_bytes()
    assert (installed / "events/releases.csv").is_file()
    assert (installed / "icon.svg").is_file()
    carried = {
        str(file.relative_to(unpacked_wheel / "kronos/_app"))
        for file in (unpacked_wheel / "kronos/_app").rglob("*")
        if file.is_file()
    }
    pages = {str(file.relative_to(ROOT)) for file in python_files("pages")}
    assert carried >= pages | {"app.py", ".streamlit/config.toml"}
    assert not {name for name in carried if "__pycache__" in name}


@pytest.mark.parametrize("kind", [WheelBuilder, SdistBuilder])
def test_secrets_of_a_checkout_that_serves_are_in_no_package(kind, tmp_path):
    needed = "README.md app.py assets/icon.svg hatch_build.py kronos/__init__.py pyproject.toml"
    for name in needed.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".streamlit").mkdir()
    for name in ("config.toml", "secrets.toml"):
        (tmp_path / ".streamlit" / name).touch()
    carried = {file.relative_path for file in kind(str(tmp_path)).recurse_included_files()}
    assert ".streamlit/config.toml" in carried
    assert ".streamlit/secrets.toml" not in carried


RELATIVE = re.compile(r"\]\((?!https?://|#)[^)]*\)|(?:src|href)=\"(?!https?://|#)")


def test_a_package_index_shows_no_relative_link_or_picture(unpacked_wheel):
    assert len(RELATIVE.findall((ROOT / "README.md").read_text())) > 10
    (folder,) = unpacked_wheel.glob("*.dist-info")
    shown = email.message_from_bytes((folder / "METADATA").read_bytes())
    assert shown["Description-Content-Type"] == "text/markdown"
    text = shown.get_payload()
    assert text.startswith("# Kronos Fan")
    assert "](https://arxiv.org/abs/2508.02739)" in text
    assert not RELATIVE.findall(text)


def test_a_declared_repository_is_where_the_links_of_the_readme_lead():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = index_readme(text, "https://forge.example/fan/", "1.2.0")
    assert not RELATIVE.findall(shown)
    for line in (
        "![The fans of a model and of three baselines on one price axis]"
        "(https://forge.example/fan/raw/v1.2.0/assets/screenshots/compare.png)",
        "[docs/deployment.md](https://forge.example/fan/blob/v1.2.0/docs/deployment.md)",
        "[paper](https://arxiv.org/abs/2508.02739)",
    ):
        assert line in shown
    without = index_readme("[a](b.md) ![c](d.png)\n\n[e](#f) [g](https://h)", None, "1")
    assert without == "a [e](#f) [g](https://h)"


def test_an_installed_wheel_starts_the_application_in_any_folder(unpacked_wheel, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = f"from kronos.cli import main; main(['app', '--port', '{port}'])"
    server = run_installed(unpacked_wheel, script, tmp_path)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(f"http://localhost:{port}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                break
            except OSError:
                assert server.poll() is None, server.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.1)
        with urlopen(f"http://localhost:{port}/watchlist", timeout=5) as answer:
            # Headers of pages/, settings of .streamlit/: both are the wheel's.
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    finally:
        server.terminate()
        printed, _ = server.communicate(timeout=60)
    assert f"http://localhost:{port}" in printed
    assert list(tmp_path.iterdir()) == []


def test_the_example_in_the_readme_runs(monkeypatch, capsys):
    """With the tiny test checkpoint in place of the bundled one, so that it takes no time."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert 'kronos.load("bundled")' in example
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(example.replace('"bundled"', '"tests/golden"'), names)
    assert names["forecast"].paths.shape == (100, 12, 6)
    assert "p90" in capsys.readouterr().out


@pytest.mark.slow
def test_the_example_in_the_readme_runs_from_a_wheel_in_an_empty_folder(unpacked_wheel, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    process = run_installed(unpacked_wheel, example, tmp_path)
    printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    assert len(re.findall(r"^2013-03-", printed, re.MULTILINE)) == 12
    assert 0 < float(printed.split()[-1]) < 1
    assert list(tmp_path.iterdir()) == []
