"""Damaged checkpoints and adapters: a valid copy of a small model, and what is done to it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KEY = "kronos_adapter"
DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = 10**9
VALUES: tuple[Any, ...] = (
    *(HUGE, -HUGE, 0, -1, 1, 2, 3, 7, 10**400, 2**31, 2**63, 0.5, 1e308, float("nan")),
    *(float("inf"), "4", "", "x" * 10_000, True, False, None, [], [4], {}, {"a": 1}, "\ud800"),
)
"""What fields and entries of headers are set to."""
Damage = Callable[[Path], None]


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(path: Path, header: Any, body: bytes, *, length: int | None = None) -> None:
    """Write a safetensors file; `length` is the length that it claims for its header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.unlink(missing_ok=True)  # it may be a link to the original
    n_bytes = len(text) if length is None else length
    path.write_bytes(struct.pack("<Q", n_bytes % 2**64) + text + body)


def copy_checkpoint(source: Path, target: Path) -> Path:
    """A folder with model/ and tokenizer/ whose files are links to those of `source`."""
    for part in ("model", "tokenizer"):
        (target / part).mkdir(parents=True)
        for name in (CONFIG, WEIGHTS):
            try:
                os.link(source / part / name, target / part / name)
            except OSError:  # another file system
                shutil.copyfile(source / part / name, target / part / name)
    return target


def write_adapter(path: Path, base: str, folder: Path, **fields: Any) -> None:
    """An adapter of two small matrices that fits the model in a folder, with other fields."""
    config = json.loads((folder / "model" / CONFIG).read_text(encoding="utf-8"))
    width, name = config["d_model"], "transformer.0.self_attn.q_proj"
    body = bytes(4 * 2 * width)
    tensors = {
        f"{name}.lora_A.weight": bytes(4 * width),
        f"{name}.lora_B.weight": bytes(4 * width),
    }
    digest = hashlib.sha256()
    for key, content in sorted(tensors.items()):
        digest.update(f"{key}:{len(content)}:".encode() + content)
    facts = {
        "format": 1, "base": base, "base_sha256": _sha256(folder / "model" / WEIGHTS),
        "tokenizer_sha256": _sha256(folder / "tokenizer" / WEIGHTS), "rank": 1, "alpha": 1,
        "cut_off": "2012-01-01", "seen_until": "2012-06-01", "code": "0", "created": "2025-07-01",
        "steps": 0, "n_parameters": 2 * width, "has_events": False, "asset_class": "",
        "scores": {}, "tensors_sha256": digest.hexdigest(), **fields,
    }  # fmt: skip
    header = {
        "__metadata__": {KEY: json.dumps(facts)},
        f"{name}.lora_A.weight": _entry([1, width], 0, 4 * width),
        f"{name}.lora_B.weight": _entry([width, 1], 4 * width, 8 * width),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    join(path, header, body)


def _entry(shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replaced(path: Path, content: bytes) -> None:
    """Give a file other content, not that of the file it is linked with."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def set_field(part: str, field: str, value: Any) -> Damage:
    """Set a field of a configuration."""

    def damage(folder: Path) -> None:
        path = folder / part / CONFIG
        config = json.loads(path.read_text(encoding="utf-8")) | {field: value}
        replaced(path, json.dumps(config).encode())

    return damage


def content_of(part: str, name: str, content: bytes) -> Damage:
    """Give a file of a checkpoint other content."""
    return lambda folder: replaced(folder / part / name, content)


def special(part: str, name: str, make: Callable[[Path], None]) -> Damage:
    """Put something that is no regular file in the place of a file."""

    def damage(folder: Path) -> None:
        (folder / part / name).unlink()
        make(folder / part / name)

    return damage


def header_of(part: str, change: Callable[[dict[str, Any]], Any], **options: Any) -> Damage:
    """Change the header of the weights; `change` returns another one or None."""

    def damage(folder: Path) -> None:
        path = folder / part / WEIGHTS
        header, body = split(path)
        join(path, change(header) or header, body, **options)

    return damage


def _first(header: dict[str, Any]) -> dict[str, Any]:
    return next(facts for name, facts in header.items() if name != "__metadata__")


def _twice(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return text[:-1] + b"," + text[1:]


def _huge_file(path: Path) -> None:
    with path.open("wb") as opened:
        opened.write(b'{"d_model": 1, "text": "')
        opened.truncate(200 << 20)


_ZERO = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
CHECKPOINTS: dict[str, Damage] = {
    **{
        f"{field} of {text}": set_field("model", field, value)
        for field in ("n_layers", "d_model", "n_heads", "ff_dim", "s1_bits", "s2_bits")
        for text, value in (("a billion", HUGE), ("zero", 0), ("less than zero", -4), ("text", "4"))
    },
    **{
        f"tokenizer's {field} of a billion": set_field("tokenizer", field, HUGE)
        for field in ("d_in", "d_model", "n_heads", "ff_dim", "n_enc_layers", "group_size")
    },
    "heads that do not divide": set_field("model", "n_heads", 7),
    "a width of half": set_field("model", "d_model", 0.5),
    "layers of true": set_field("model", "n_layers", True),
    "a dropout of NaN": set_field("model", "ffn_dropout_p", float("nan")),
    "a dropout of text": set_field("model", "token_dropout_p", "none"),
    "a number of 400 digits": set_field("model", "d_model", 10**400),
    "learn_te of a number": set_field("model", "learn_te", 2),
    "an unknown field of 10,000 letters": set_field("model", "x" * 10_000, 1),
    "a field of half a character": set_field("model", "\ud800", "\ud800"),
    "an empty configuration": content_of("model", CONFIG, b""),
    "a configuration without fields": content_of("model", CONFIG, b"{}"),
    "a configuration of a list": content_of("model", CONFIG, b"[1]"),
    "a configuration of bytes": content_of("model", CONFIG, bytes(range(256))),
    "a configuration nested deep": content_of("model", CONFIG, DEEP),
    "a field nested deep": content_of("model", CONFIG, b'{"d_model": ' + DEEP + b"}"),
    "a field twice": content_of("model", CONFIG, b'{"d_model": 1, "d_model": 2}'),
    "a configuration of 200 MB": special("model", CONFIG, _huge_file),
    "a configuration that is a pipe": special("model", CONFIG, os.mkfifo),
    "weights that are a pipe": special("model", WEIGHTS, os.mkfifo),
    "a tokenizer's pipe": special("tokenizer", CONFIG, os.mkfifo),
    "a configuration that is a device": special(
        "model", CONFIG, lambda path: path.symlink_to("/dev/zero")
    ),
    "weights that are a device": special(
        "model", WEIGHTS, lambda path: path.symlink_to("/dev/zero")
    ),
    "a dangling link": special("model", WEIGHTS, lambda path: path.symlink_to("gone")),
    "a link to itself": special("model", WEIGHTS, lambda path: path.symlink_to(path.name)),
    "a folder for a configuration": special("model", CONFIG, lambda path: path.mkdir()),
    "empty weights": content_of("model", WEIGHTS, b""),
    "weights of seven bytes": content_of("model", WEIGHTS, b"1234567"),
    "weights of bytes": content_of("model", WEIGHTS, bytes(range(256)) * 40),
    "a header nested deep": header_of("model", lambda _: b'{"a": ' + DEEP + b"}"),
    "a header that claims more": header_of("model", lambda h: h, length=2**63),
    "a header that claims less": header_of("model", lambda h: h, length=20),
    "a header of nothing": header_of("model", lambda h: h, length=0),
    "a header of a list": header_of("model", lambda _: b"[]"),
    "a tensor twice": header_of("model", _twice),
    "300,000 empty tensors": header_of(
        "model", lambda h: h | {f"empty.{i}": _ZERO for i in range(300_000)}
    ),
    "100,000 layers of empty tensors": header_of(
        "model", lambda h: h | {f"transformer.{i}.norm1.weight": _ZERO for i in range(100_000)}
    ),
    "offsets beyond the file": header_of(
        "model", lambda h: _first(h).update(data_offsets=[0, 2**40])
    ),
    "offsets that overlap": header_of(
        "model", lambda h: h.update({name: _first(h) for name in list(h)[-2:]})
    ),
    "offsets the wrong way": header_of("model", lambda h: _first(h).update(data_offsets=[8, 0])),
    "offsets of text": header_of("model", lambda h: _first(h).update(data_offsets="all")),
    "a shape of a billion": header_of("model", lambda h: _first(h).update(shape=[HUGE, HUGE])),
    "a shape below zero": header_of("model", lambda h: _first(h).update(shape=[-1, -1])),
    "an unknown type": header_of("model", lambda h: _first(h).update(dtype="F4096")),
    "a type of whole numbers": header_of("model", lambda h: _first(h).update(dtype="I32")),
    "metadata of numbers": header_of("model", lambda h: h | {"__metadata__": {"a": 1}}),
    "a tensor less": header_of("model", lambda h: h.pop(list(h)[-1]) and None),
    "a card of bytes": lambda folder: replaced(folder / "bundled.json", bytes(range(256))),
    "a card nested deep": lambda folder: replaced(folder / "bundled.json", DEEP),
    "a card that is a pipe": lambda folder: os.mkfifo(folder / "bundled.json"),
    "a card of a billion bars": lambda folder: replaced(
        folder / "bundled.json", json.dumps({"max_context": HUGE}).encode()
    ),
    "no tokenizer": lambda folder: shutil.rmtree(folder / "tokenizer"),
    "no folder": lambda folder: shutil.rmtree(folder),
}
"""What is done to a valid checkpoint, by name."""


def adapters(base: Path) -> dict[str, Callable[[Path], None]]:
    """Damaged adapters by name: each writes a file at a path, `base` being a valid checkpoint."""

    def facts(**fields: Any) -> Callable[[Path], None]:
        given = fields.pop("base", str(base))
        return lambda path: write_adapter(path, given, base, **fields)

    def header(change: Callable[[dict[str, Any]], Any], **options: Any) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            write_adapter(path, str(base), base)
            found, body = split(path)
            join(path, change(found) or found, body, **options)

        return write

    def metadata(text: str) -> Callable[[Path], None]:
        return header(lambda found: found | {"__metadata__": {KEY: text}})

    return {
        "nested-header": header(lambda _: b'{"a": ' + DEEP + b"}"),
        "nested-facts": metadata(DEEP.decode()),
        "facts-of-a-list": metadata("[]"),
        "facts-of-nothing": metadata(""),
        "no-facts": header(lambda found: found.pop("__metadata__") and None),
        "dangling": lambda path: path.symlink_to("gone.safetensors"),
        "loop": lambda path: path.symlink_to(path.name),
        "pipe": lambda path: os.mkfifo(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "folder": lambda path: path.mkdir(),
        "empty": lambda path: path.write_bytes(b""),
        "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(10_000)),
        "long-base": facts(base="x" * 5000),
        "long-path": facts(base="/" + "y" * 300),
        "many-folders": facts(base="/y" * 400),
        "nul-base": facts(base="/a\0b"),
        "half-a-character": facts(base="/\ud800"),
        "empty-base": facts(base=""),
        "no-home": facts(base="~nobody-at-all/model"),
        "of-a-baseline": facts(base="ewma"),
        "of-the-ensemble": facts(base="ensemble"),
        "of-no-model": facts(base="kronos-large"),
        "own-base": facts(base="own-base"),
        "circle-a": facts(base="circle-b"),
        "circle-b": facts(base="circle-a"),
        "own-file": lambda path: write_adapter(path, str(path), base),
        "rank-of-a-billion": facts(rank=HUGE),
        "rank-of-true": facts(rank=True),
        "wrong-rank": facts(rank=8),
        "alpha-of-nan": facts(alpha=float("nan")),
        "alpha-of-digits": facts(alpha=10**400),
        "days-of-text": facts(cut_off="soon", seen_until="later"),
        "scores-of-text": facts(scores={"crps": "good"}),
        "digest-of-another": facts(tensors_sha256="0" * 64),
        "another-base": facts(base_sha256="0" * 64),
        "text-of-megabytes": facts(code="x" * 2_000_000),
        "many-tensors": header(lambda h: h | {f"e.{i}": _ZERO for i in range(300_000)}),
        "header-claims-more": header(lambda h: h, length=2**62),
        "Not A Name": facts(),
        "small": facts(),
        "bundled": facts(),
        "x" * 200: facts(),
        "line\nbreak": facts(),
    }


def mutated(seed: int, folder: Path, *, is_adapter: bool) -> str:
    """Damage a checkpoint folder, or the adapter at a path, at random.

    Returns:
        What was done, in a few words.
    """
    draw = random.Random(seed)
    if is_adapter:
        path = folder
    else:
        path = folder / draw.choice(("model", "tokenizer")) / draw.choice((CONFIG, WEIGHTS))
    if path.name == CONFIG:
        return _mutate_config(draw, path)
    what = draw.choice(
        ("bytes", "entry", "entry", "text", "cut", "facts" if is_adapter else "name")
    )
    header, body = split(path)
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    if what == "entry":
        field = draw.choice(("dtype", "shape", "data_offsets"))
        value = draw.choice((*VALUES, [draw.choice(VALUES) for _ in range(draw.randint(1, 3))]))
        header[name][field] = value
        what = f"{name} {field} {type(value)!s}"
    elif what == "name":
        header[draw.choice(("", "x" * 5000, names[0], f"{name}.0"))] = header.pop(name)
    elif what == "facts":
        facts = json.loads(header["__metadata__"][KEY])
        field = draw.choice(list(facts))
        if draw.random() < 0.2:
            del facts[field]
        else:
            facts[field] = draw.choice(VALUES)
        header["__metadata__"][KEY] = json.dumps(facts)
        what = f"facts {field}"
    elif what == "cut":
        data = path.read_bytes()
        replaced(path, data[: draw.randrange(len(data))])
        return what
    elif what in ("bytes", "text"):
        data = bytearray(path.read_bytes())
        (length,) = struct.unpack("<Q", data[:8])
        most = 8 if what == "bytes" else 8 + length
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(most)] = draw.randrange(256)
        replaced(path, bytes(data))
        return what
    join(path, header, body)
    return what


def _mutate_config(draw: random.Random, path: Path) -> str:
    config = json.loads(path.read_text(encoding="utf-8"))
    what = draw.choice(("value", "value", "value", "missing", "unknown", "bytes"))
    field = draw.choice(list(config))
    if what == "value":
        config[field] = draw.choice(VALUES)
    elif what == "missing":
        del config[field]
    elif what == "unknown":
        config[draw.choice(("", "n_event_channels", "x" * 1000))] = draw.choice(VALUES)
    text = bytearray(json.dumps(config).encode())
    if what == "bytes":
        for _ in range(draw.randint(1, 4)):
            text[draw.randrange(len(text))] = draw.randrange(256)
    replaced(path, bytes(text))
    return f"{path.parent.name} {what} {field}"
