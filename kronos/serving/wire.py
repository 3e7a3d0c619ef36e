"""Requests and answers as bytes, for a service in another process or on another machine.

What is read comes from elsewhere: nothing of it is executed. A JSON head names values of a closed
list of types, arrays follow as they lie in memory. What `dump` wrote comes back bit for bit.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos import errors
from kronos.context import Context
from kronos.errors import InvalidRequest, KronosError
from kronos.events.channels import CHANNELS
from kronos.forecast import COLUMNS, Forecast, SamplingParameters
from kronos.forecasters.base import Placement
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving import requests
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.model_cache import LoadedModel

__all__ = ["dump", "error_class", "load"]

_MAGIC = b"KFW1"
_MAX_ITEMS = 1_000_000
_N_FIELDS = 5  # of `calendar_fields`
_MAX_UNPACKED = 256 << 20
"""Most bytes that the forecast requests of one message may unpack to."""
_DTYPES = {"<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1"}
_REQUESTS = (
    requests.BatchRequest, requests.FactsRequest, requests.ManySamplesRequest,
    requests.PlacementRequest, requests.ReconstructionRequest, requests.SampleRequest,
    requests.WarmUpRequest,
)  # fmt: skip
_TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        *_REQUESTS, Context, Forecast, JobStatus, LoadedModel, ModelFacts, Placement,
        SamplingParameters,
    )
}  # fmt: skip
_LATE = {"Reconstruction", "CodeUse"}  # their module needs torch
_NAMED_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def error_class(name: str) -> type[KronosError]:
    """A class of errors by its name; `KronosError` for one that is not known here."""
    found = getattr(errors, name, KronosError)
    return found if isinstance(found, type) and issubclass(found, KronosError) else KronosError


def dump(value: Any) -> bytes:
    """A request, an answer, or a part of either as bytes.

    Raises:
        TypeError: It holds a value that does not travel.
    """
    buffers: list[bytes] = []
    head = json.dumps(_plain(value, buffers), separators=(",", ":")).encode()
    sizes = struct.pack(f"<I{len(buffers)}Q", len(buffers), *map(len, buffers))
    return b"".join([_MAGIC, struct.pack("<I", len(head)), head, sizes, *buffers])


def load(data: bytes) -> Any:
    """What `dump` wrote.

    Raises:
        InvalidRequest: The bytes are none of it.
    """
    try:
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("they begin with other bytes")
        (size,) = struct.unpack_from("<I", data, len(_MAGIC))
        at = len(_MAGIC) + 4
        head = json.loads(data[at : at + size])
        at += size
        (n,) = struct.unpack_from("<I", data, at)
        if n > _MAX_ITEMS:
            raise ValueError(f"they hold {n:,} arrays")
        sizes = struct.unpack_from(f"<{n}Q", data, at + 4)
        at += 4 + 8 * n
        if at + sum(sizes) != len(data):
            raise ValueError("they end too early, or hold too much")
        view, buffers = memoryview(data), []
        for each in sizes:
            buffers.append(view[at : at + each])
            at += each
        return _checked(_Reader(buffers).value(head))
    # Whatever the bytes hold: numbers of any size, lists of any depth, fields of any name.
    except (
        struct.error, ValueError, TypeError, AttributeError, LookupError, ArithmeticError,
        RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise InvalidRequest(f"These bytes are no request or answer: {error}.") from error


def _plain(value: Any, buffers: list[bytes]) -> Any:
    """A value as JSON; arrays go to `buffers`."""
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, Priority):
        return ["priority", int(value)]
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else ["float", str(number)]
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        buffers.append(array.tobytes())
        return ["array", len(buffers) - 1, array.dtype.str, list(array.shape)]
    if isinstance(value, pd.DatetimeIndex):
        ticks = _plain(value.asi8, buffers)
        zone = None if value.tz is None else str(value.tz)
        return ["times", ticks, value.unit, zone, value.name]
    if isinstance(value, pd.Timestamp):
        return ["time", value.as_unit("ns").value, value.unit, _zone(value)]
    if isinstance(value, ForecastRequest):
        buffers.append(value.to_bytes())
        return ["forecast request", len(buffers) - 1]
    if isinstance(value, KronosError):
        more = {
            name: getattr(value, name)
            for name in ("retry_after", "position")
            if hasattr(value, name)
        }
        return ["error", type(value).__name__, str(value), more]
    if isinstance(value, BaseException):
        return ["error", "KronosError", f"{type(value).__name__}: {value}", {}]
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [kind, [_plain(each, buffers) for each in value]]
    if isinstance(value, Mapping):
        return ["map", [[key, _plain(each, buffers)] for key, each in value.items()]]
    name = type(value).__name__
    if is_dataclass(value) and (_TYPES.get(name) is type(value) or name in _LATE):
        parts = {each.name: _plain(getattr(value, each.name), buffers) for each in fields(value)}
        return ["object", name, parts]
    raise TypeError(f"A {name} does not travel between processes.")


class _Reader:
    """Makes values of JSON and arrays; a small message cannot unpack to a large one.

    Args:
        buffers: Bytes of the arrays, each read once.
    """

    def __init__(self, buffers: list[memoryview]) -> None:
        self._buffers: list[memoryview | None] = [*buffers]
        self._n_unpacked = 0

    def value(self, found: Any) -> Any:
        """The value of a piece of JSON."""
        if not isinstance(found, list):
            if isinstance(found, dict):
                raise TypeError("an object without a kind")
            return found
        kind, *parts = found
        if kind == "array":
            index, dtype, shape = parts
            if dtype not in _DTYPES:
                raise ValueError(f"arrays of {dtype!r} do not travel")
            return np.frombuffer(self._take(index), dtype).reshape(shape).copy()
        if kind in ("tuple", "list"):
            values = [self.value(each) for each in parts[0]]
            return tuple(values) if kind == "tuple" else values
        if kind == "map":
            return {key: self.value(each) for key, each in parts[0]}
        if kind == "times":
            ticks, unit, zone, name = parts
            index = pd.DatetimeIndex(self.value(ticks).view(f"M8[{unit}]"), name=name)
            return index if zone is None else index.tz_localize("UTC").tz_convert(zone)
        if kind == "time":
            value, unit, zone = parts
            moment = pd.Timestamp(value, unit="ns")
            moment = moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)
            return moment.as_unit(unit)
        if kind == "object":
            name, facts = parts
            return _class(name)(**{key: self.value(each) for key, each in facts.items()})
        if kind == "forecast request":
            return self._request(ForecastRequest.from_bytes(bytes(self._take(parts[0]))))
        if kind == "error":
            name, text, more = parts
            return error_class(name)(text, **more)
        if kind == "priority":
            return Priority(parts[0])
        if kind == "float":
            return _NAMED_FLOATS[parts[0]]
        raise ValueError(f"there is no kind {kind!r}")

    def _take(self, index: int) -> memoryview:
        found, self._buffers[index] = self._buffers[index], None
        if found is None:
            raise ValueError(f"they read array {index} twice")
        return found

    def _request(self, found: ForecastRequest) -> ForecastRequest:
        self._n_unpacked += found.bars.nbytes
        self._n_unpacked += 0 if found.events is None else found.events.nbytes
        self._n_unpacked += 8 * (len(found.times) + found.horizon)
        if self._n_unpacked > _MAX_UNPACKED:
            raise ValueError(f"they unpack to more than {_MAX_UNPACKED >> 20} MB")
        if not isinstance(found.lookback, int | None) or not isinstance(found.anchor, bool):
            raise TypeError("lookback must be a whole number and anchor true or false")
        return found


def _checked(value: Any) -> Any:
    """A value; of a request, only one that an engine can read.

    Raises:
        TypeError: Its parts are of other types than the request has.
        ValueError: They are of other shapes.
    """
    if isinstance(value, requests.ModelRequest):
        _require(isinstance(value.model, str) and isinstance(value.revision, str), "names")
    if isinstance(value, requests.ReconstructionRequest):
        _check_context(value.bars)
    elif isinstance(value, requests.BatchRequest):
        _require(isinstance(value.requests, tuple), "requests")
        _require(all(isinstance(each, ForecastRequest) for each in value.requests), "requests")
    elif isinstance(value, requests.ManySamplesRequest):
        _require(isinstance(value.requests, tuple), "requests")
        for each in value.requests:
            _require(isinstance(each, requests.SampleRequest), "requests")
            _checked(each)
    elif isinstance(value, requests.SampleRequest):
        _check_sample(value)
    return value


def _check_sample(value: requests.SampleRequest) -> None:
    _require(isinstance(value.sampling, SamplingParameters), "sampling")
    rows = (None,) * len(value.contexts) if value.events is None else value.events
    for context, future, events in zip(value.contexts, value.futures, rows, strict=True):
        _check_context(context)
        _check_array(future, _N_FIELDS)
        if events is not None:
            _check_array(events, len(CHANNELS))


def _check_context(value: Any) -> None:
    _require(isinstance(value, Context), "bars")
    _check_array(value.values, len(COLUMNS))
    _check_array(value.fields, _N_FIELDS)
    if not len(value.values) == len(value.fields) or not np.isfinite(value.values).all():
        raise ValueError("bars and their times do not fit together")


def _check_array(value: Any, n_columns: int) -> None:
    _require(isinstance(value, np.ndarray), "arrays")
    if value.shape != (len(value), n_columns) or not len(value):
        raise ValueError(f"an array has {n_columns} columns, found {value.shape}")


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise TypeError(f"{what} are of another type")


def _class(name: str) -> type:
    if name in _LATE:
        from kronos.forecasters import reconstruction

        return getattr(reconstruction, name)
    return _TYPES[name]


def _zone(moment: pd.Timestamp) -> str | None:
    return None if moment.tz is None else str(moment.tz)
