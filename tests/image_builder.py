"""Runs the steps of a Dockerfile without a container engine: each image is a folder with a Debian.

What an engine would fetch as `python:VERSION-slim-RELEASE` is made by debootstrap, with the Python
of that release in /usr/local. A step runs in a mount namespace and a chroot of its own, so it sees
nothing of this machine but its network, its devices, and what its pip is set up with.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
_FLAG = re.compile(r"--(\S+?)(?:=(\S+))?\s+")


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile and what follows them, each on one line."""
    plain = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", plain).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def in_context(context: Path) -> list[Path]:
    """Files that .dockerignore lets into a build: those below its exceptions."""
    lines = (context / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "everything is left out first"
    kept = [context / line[1:] for line in patterns if line.startswith("!")]
    left_out = {line.removeprefix("**/") for line in patterns if line.startswith("**/")}
    assert len(kept) + len(left_out) + 1 == len(patterns), "a pattern that is not understood"
    files = [file for place in kept for file in ([place] if place.is_file() else place.rglob("*"))]
    return [file for file in files if file.is_file() and not left_out & set(file.parts)]


def pip_settings() -> dict[str, str]:
    """Settings of this machine's pip, as variables: where it has packages from."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        f"PIP_{name.replace('-', '_').upper()}": value
        for name, value in re.findall(r"^[^.\n]+\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    }


def _places(settings: dict[str, str]) -> list[Path]:
    """Files and folders of this machine that the settings name."""
    words = " ".join(settings.values()).split()
    named = {Path(word) for word in words if word.startswith("/")}
    # Files of an index may stand beside it.
    named |= {Path(word[7:].rstrip("/")).parent for word in words if word.startswith("file:///")}
    return sorted(place for place in named if place.exists())


@dataclass
class Image:
    """One stage: its files, and what the instructions said about them."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def process(
        self, words: list[str], more: dict[str, str], *, sealed: bool = False
    ) -> subprocess.Popen[str]:
        """Start a program in the image; `sealed` is read_only, tmpfs and cap_drop of compose."""
        root = shlex.quote(str(self.root))
        settings = pip_settings()
        steps = [f"mount --bind {root} {root}"]
        for place in _places(settings):
            steps += [f"mount --bind {shlex.quote(str(place))} {root}{shlex.quote(str(place))}"]
            inside = Path(f"{self.root}{place}")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.mkdir(exist_ok=True) if place.is_dir() else inside.touch()
        if sealed:
            steps += [f"mount --bind {root}{volume} {root}{volume}" for volume in self.volumes]
            steps += [f"mount -o remount,ro,bind {root}", f"mount -t tmpfs tmpfs {root}/tmp"]
        steps += [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
        user, group = self.user.split(":")
        limits = "--no-new-privs --bounding-set -all --inh-caps -all" if sealed else ""
        known = {"PATH": _PATH, **settings, **self.variables, **more}
        inner = [f"{name}={text}" for name, text in known.items()]
        steps.append(
            f"exec chroot {root} setpriv --reuid {user} --regid {group} --clear-groups {limits} "
            f"env -i --chdir={self.folder} {shlex.join([*inner, *words])}"
        )
        # The mounts end with the namespace.
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", "\n".join(steps)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, words: list[str], more: dict[str, str], *, sealed: bool = False) -> str:
        """Run a program in the image until it ends; what it printed."""
        process = self.process(words, more, sealed=sealed)
        printed, _ = process.communicate(timeout=900)
        assert process.returncode == 0, f"{shlex.join(words)}:\n{printed}"
        return printed


def missing_programs() -> list[str]:
    """What this machine lacks for `build`."""
    return [name for name in ("debootstrap", "setpriv", "unshare") if shutil.which(name) is None]


def base_image(folder: Path, name: str) -> Image:
    """What stands behind `FROM python:3.11-slim-bookworm`."""
    found = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", name)
    assert found is not None, name
    packages = "--include=ca-certificates,python3,python3-venv"
    command = ["debootstrap", "--variant=minbase", packages, found[2], str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")  # an engine gives one to a container
    image = Image(folder)
    image.run(["python3", "-m", "venv", "/usr/local"], {})
    version = image.run(["python", "--version"], {}).split()[1]
    if not version.startswith(f"{found[1]}."):
        pytest.skip(f"Debian {found[2]} has Python {version}, not {found[1]}")
    return image


def build(context: Path, folder: Path, arguments: dict[str, str]) -> Image:
    """The image of the last stage of the Dockerfile."""
    stages: dict[str, Image] = {}
    bases: dict[str, Image] = {}
    image, known = Image(folder), dict[str, str]()
    before = known  # arguments that stand before the first stage are those of FROM
    for name, rest in instructions((context / "Dockerfile").read_text()):
        if name == "FROM":
            source, _, stage = _expand(rest, before).partition(" AS ")
            if source not in bases:
                bases[source] = base_image(folder / "base", source)
            root = folder / f"stage{len(stages)}"
            subprocess.run(["cp", "-a", bases[source].root, root], check=True)
            image = stages[stage] = Image(root)
            known = {}
        elif name == "ARG":
            variable, _, default = rest.partition("=")
            known[variable] = arguments.get(variable, default)
        elif name == "ENV":
            image.variables |= dict(word.partition("=")[::2] for word in shlex.split(rest))
        elif name == "WORKDIR":
            image.folder = rest
            (image.root / rest[1:]).mkdir(parents=True, exist_ok=True)
        elif name == "RUN":
            image.run(["/bin/sh", "-c", rest], known)
        elif name == "COPY":
            flags, words = dict(_FLAG.findall(rest)), _FLAG.sub("", rest).split()
            target = image.root / words[-1][1:] if words[-1][0] == "/" else None
            target = target or image.root / image.folder[1:] / words[-1]
            if "from" in flags:
                source_path = stages[flags["from"]].root / words[0][1:]
                target.mkdir(parents=True, exist_ok=True)
                place = f"{source_path}/." if source_path.is_dir() else str(source_path)
                subprocess.run(["cp", "-a", place, target], check=True)
            else:
                assert words[0] == ".", "the whole context is copied"
                for file in in_context(context):
                    place_inside = target / file.relative_to(context)
                    place_inside.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place_inside)
        elif name == "USER":
            image.user = rest
        elif name == "VOLUME":
            image.volumes.append(rest)
        elif name == "HEALTHCHECK":
            image.health = json.loads(_FLAG.sub("", rest).removeprefix("CMD "))
        elif name == "CMD":
            image.command = json.loads(rest)
        else:
            assert name == "EXPOSE", name
    return image


def _expand(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], text)
