"""The operations between the matrix products of a decoding step on a processor, by Numba.

A step of a small model is some four hundred operations on arrays that fit into a cache; each of
them alone takes longer to launch than to run. Here operations that follow one another are one loop
nest.

Every kernel works on one tile of `TILE` columns, a path being a column, so its loops have the same
shape in every batch. Arrays are float32 and contiguous; D width, H heads, E = D / H.
Kernels are compiled once per machine and cached beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit

from kronos.decoding import TILE

Array = np.ndarray
R = 32
"""`TILE` as a literal: Numba does not compile anew when another file changes."""
assert R == TILE
_OPTIONS: dict[str, Any] = {
    "fastmath": True,
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
}
# For sums that decide a draw: evaluated in the order in which they are written.
_EXACT: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
# Powers of two are assembled from bits: exp(x) = 2**n * exp(r), |r| <= ln(2) / 2. The
# polynomial is Cephes' for float32, exact to two units in the last place.
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = (
    np.float32(1.9875691500e-4),
    np.float32(1.3981999507e-3),
    np.float32(8.3334519073e-3),
)
_P3, _P4, _P5 = (
    np.float32(4.1665795894e-2),
    np.float32(1.6666665459e-1),
    np.float32(5.0000001201e-1),
)
_LEAST, _MOST = np.float32(-87.0), np.float32(88.0)
"""Between these, exp(x) and its power of two are normal float32 numbers."""
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_ABOVE_ONE = np.int32(0x3F800001)
"""The bits of the float32 after 1."""


def _cached(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel, from the cache where there is one; without a place for it, in memory."""

    def compiled(kernel: Callable[..., Any]) -> Any:
        try:
            made = njit(cache=True, **options)(kernel)
        except RuntimeError:  # neither this folder nor one of the user can be written
            return njit(**options)(kernel)
        save = made._cache.save_overload

        def save_if_possible(*overload: Any) -> None:
            with suppress(OSError):  # such as a full disk
                save(*overload)

        made._cache.save_overload = save_if_possible
        return made

    return compiled


@njit(inline="always", **_OPTIONS)
def _exp(x: Any) -> Any:
    x = min(max(x, _LEAST), _MOST)
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
    p = p * r * r + r + _ONE
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_cached(**_OPTIONS)
def embed_pairs(s1: Array, s2: Array, of_s1: Array, of_s2: Array, bar: Array, x: Array) -> None:
    """x (D, R) = rows s1 and s2 (R,) of two tables (V, D), plus what the bar adds to all (D,)."""
    for r in range(R):
        a, b = of_s1[s1[r]], of_s2[s2[r]]
        for d in range(x.shape[0]):
            x[d, r] = a[d] + b[d] + bar[d]


@_cached(**_OPTIONS)
def gather(ids: Array, table: Array, out: Array) -> None:
    """out (D, R) = rows (R,) of a table (V, D)."""
    for r in range(R):
        row = table[ids[r]]
        for d in range(out.shape[0]):
            out[d, r] = row[d]


@_cached(**_OPTIONS)
def add_and_normalise(x: Array, bias: Array, weight: Array, eps: float, out: Array) -> None:
    """x (D, R) += bias (D,); out = RMS norm of x over D, times weight (D,)."""
    D = x.shape[0]
    scale = np.zeros(R, np.float32)
    for d in range(D):
        for r in range(R):
            x[d, r] += bias[d]
            scale[r] += x[d, r] * x[d, r]
    for r in range(R):
        scale[r] = _ONE / np.sqrt(scale[r] / np.float32(D) + eps)
    for d in range(D):
        for r in range(R):
            out[d, r] = x[d, r] * scale[r] * weight[d]


@_cached(**_OPTIONS)
def rotate_and_store(
    qkv: Array,
    bias: Array,
    n_heads: int,
    cos: Array,
    sin: Array,
    scale: float,
    step: int,
    keys: Array,
    values: Array,
) -> None:
    """Adds the bias (3 D,) to qkv (3 D, R), rotates queries and keys to a position.

    Queries are scaled and stay in qkv; keys and values go to [step] of (S, D, R). cos and sin
    are (E / 2,) of the one position of all columns.
    """
    D = qkv.shape[0] // 3
    E = D // n_heads
    half = E // 2
    for h in range(n_heads):
        for e in range(half):
            i, j = h * E + e, h * E + half + e
            c, s = cos[e], sin[e]
            for r in range(R):
                a, b = qkv[i, r] + bias[i], qkv[j, r] + bias[j]
                qkv[i, r] = (a * c - b * s) * scale
                qkv[j, r] = (b * c + a * s) * scale
            for r in range(R):
                a, b = qkv[D + i, r] + bias[D + i], qkv[D + j, r] + bias[D + j]
                keys[step, i, r] = a * c - b * s
                keys[step, j, r] = b * c + a * s
    for d in range(D):
        for r in range(R):
            values[step, d, r] = qkv[2 * D + d, r] + bias[2 * D + d]


@_cached(**_OPTIONS)
def store(kv: Array, bias: Array, step: int, keys: Array, values: Array) -> None:
    """Adds the bias (2 D,) to kv (2 D, R); stores it as [step] of keys and values (S, D, R)."""
    D = keys.shape[1]
    for d in range(D):
        for r in range(R):
            keys[step, d, r] = kv[d, r] + bias[d]
            values[step, d, r] = kv[D + d, r] + bias[D + d]


@_cached(**_OPTIONS)
def weigh(
    q: Array, n_own: int, keys: Array, scores: Array, largest: Array, own: Array, total: Array
) -> None:
    """Softmax weights of the context and of the first n_own generated positions, not yet divided.

    Args:
        q: (D, R) scaled queries.
        n_own: Generated positions.
        keys: (S, D, R) generated keys.
        scores: (H, R, T) of the context; becomes its weights.
        largest: (H, R) of these scores.
        own: (H, S, R) becomes the weights of generated positions.
        total: (H, R) becomes the sum of all weights.
    """
    n_heads, E = scores.shape[0], q.shape[0] // scores.shape[0]
    column = np.empty(R, np.float32)
    for h in range(n_heads):
        queries, most = q[h * E : h * E + E], largest[h]
        for s in range(n_own):
            _dot(queries, keys[s, h * E : h * E + E], column)
            for r in range(R):
                own[h, s, r] = column[r]
                most[r] = max(most[r], column[r])
        for r in range(R):
            row, weights = scores[h, r], np.float32(0)
            for t in range(row.shape[0]):
                w = _exp(row[t] - most[r])
                row[t] = w
                weights += w
            total[h, r] = weights
        for s in range(n_own):
            for r in range(R):
                w = _exp(own[h, s, r] - most[r])
                own[h, s, r] = w
                total[h, r] += w


@njit(inline="always", **_OPTIONS)
def _dot(a: Array, b: Array, out: Array) -> None:
    """out (R,) = sum over E of a (E, R) times b (E, R); E is even."""
    for r in range(R):
        out[r] = np.float32(0)
    for e in range(0, a.shape[0], 2):
        for r in range(R):
            out[r] += a[e, r] * b[e, r] + a[e + 1, r] * b[e + 1, r]


@_cached(**_OPTIONS)
def mix(mixed: Array, n_own: int, values: Array, own: Array, total: Array, out: Array) -> None:
    """out (D, R) = attention outputs: mixed (H, R, E) of the context, plus generated positions."""
    n_heads, E = mixed.shape[0], mixed.shape[2]
    weight, other = np.empty(R, np.float32), np.empty(R, np.float32)
    for h in range(n_heads):
        seen = out[h * E : h * E + E]
        for r in range(R):
            for e in range(E):
                seen[e, r] = mixed[h, r, e]
        for s in range(n_own - 1, -1, -2):
            # Two positions at a time; of an odd number the first one counts with a twin of none.
            before = max(s - 1, 0)
            for r in range(R):
                weight[r] = own[h, s, r]
                other[r] = own[h, before, r] if s else np.float32(0)
            a, b = values[s, h * E : h * E + E], values[before, h * E : h * E + E]
            for e in range(E):
                for r in range(R):
                    seen[e, r] += weight[r] * a[e, r] + other[r] * b[e, r]
        for r in range(R):
            weight[r] = _ONE / total[h, r]
        for e in range(E):
            for r in range(R):
                seen[e, r] *= weight[r]


@_cached(**_OPTIONS)
def gate(gate_up: Array, out: Array) -> None:
    """out (F, R) = silu(first half) * second half of gate_up (2 F, R)."""
    F = out.shape[0]
    for f in range(F):
        for r in range(R):
            g = gate_up[f, r]
            out[f, r] = g / (_ONE + _exp(-g)) * gate_up[F + f, r]


@_cached(**_OPTIONS)
def powers(logits: Array, bias: Array, temperature: float) -> None:
    """logits (V, R) become powers: exp of (logits + bias (V,), less a path's largest) / T.

    Those below exp(-87), which change no draw in float64, are 0.
    """
    V = logits.shape[0]
    largest = np.full(R, -np.inf, np.float32)
    for v in range(0, V, 2):  # V is a power of two
        for r in range(R):
            # Stored, so that the largest less itself is 0 under fastmath too.
            logits[v, r] += bias[v]
            logits[v + 1, r] += bias[v + 1]
            largest[r] = max(largest[r], max(logits[v, r], logits[v + 1, r]))
    for v in range(V):
        for r in range(R):
            x = (logits[v, r] - largest[r]) / temperature
            logits[v, r] = _exp(x) if x >= _LEAST else np.float32(0)


@njit(inline="always", **_OPTIONS)
def _reaching(row: Array, least: Any, counts: bool, none: Any) -> Any:
    """The number of powers of a row (V,) not below `least`, or their sum, in the type of `none`."""
    mass = none
    for v in range(row.shape[0]):
        mass += (_ONE if counts else row[v]) if row[v] >= least else none
    return mass


@njit(inline="always", **_OPTIONS)
def _halve(row: Array, bound: Any, counts: bool, low: Any, high: Any, width: int) -> Any:
    """Bits of two powers, at most `width` apart, that enclose the border of a row (V,).

    The number or mass of the powers from the lower one on exceeds the bound, and that from the
    upper one on does not. Sums have the type of `bound`. The bits of positive floats have the
    order of the floats.
    """
    while high - low > width:
        middle = (low + high) >> 1
        if _reaching(row, np.int32(middle).view(np.float32), counts, bound - bound) > bound:
            low = middle
        else:
            high = middle
    return low, high


@njit(**_OPTIONS)
def _border(row: Array, bound: float, at_least: float, counts: bool) -> Any:
    """The largest power of a row (V,) that, with all not below it, exceeds a number or a mass.

    Its neighbourhood is found in float32, between `at_least` and 1. There the powers are added up
    one by one in float64. Where that takes more than a few of them, because many powers are almost
    equal or float32 sums too coarse, the search is repeated in float64.
    """
    bits = row.view(np.int32)
    from_bits = np.float32(at_least).view(np.int32)
    _, high = _halve(row, np.float32(bound), counts, from_bits, _ABOVE_ONE, 8192)
    mass, n_taken = _reaching(row, np.int32(high).view(np.float32), counts, 0.0), 0
    while mass <= bound and n_taken < 8:
        below, ties = np.int32(0), 0
        for v in range(row.shape[0]):
            below = max(below, bits[v] if bits[v] < high else np.int32(0))
        for v in range(row.shape[0]):
            ties += bits[v] == below
        mass += ties * (1.0 if counts else np.float64(np.int32(below).view(np.float32)))
        high, n_taken = below, n_taken + 1
    if mass > bound and n_taken:
        return np.int32(high).view(np.float32)
    low, _ = _halve(row, bound, counts, np.int32(0), _ABOVE_ONE, 1)
    return np.int32(low).view(np.float32)


@njit(inline="always", **_OPTIONS)
def _transpose(columns: Array, rows: Array) -> None:
    """rows (R, V) = columns (V, R)."""
    V = columns.shape[0]
    whole = V - V % 16  # as many floats as a line of the cache holds
    for v in range(0, whole, 16):
        for r in range(R):
            line = rows[r, v : v + 16]
            for i in range(16):
                line[i] = columns[v + i, r]
    for v in range(whole, V):
        for r in range(R):
            rows[r, v] = columns[v, r]


@_cached(**_OPTIONS)
def least_kept(powers: Array, n: int, top_k: int, top_p: float, rows: Array, least: Array) -> None:
    """The smallest power that top-k, then top-p, keep of each of the first n paths.

    Powers that are equal in float32 are ties, kept or removed together.

    Args:
        powers: (V, R), the largest of a path being 1.
        n: Paths.
        top_k: From 1 to V, which keeps all.
        top_p: 1 keeps all.
        rows: (R, V) scratch.
        least: (R,) result.
    """
    V = powers.shape[0]
    _transpose(powers, rows)
    for r in range(n):
        row, kept = rows[r], np.float32(0)
        if top_k < V:
            kept = _border(row, top_k - 0.5, 0.0, True)  # ties with the last one stay
        if top_p < 1.0:
            whole = _reaching(row, kept, False, 0.0)
            bound = top_p * whole
            # The powers up to the border hold the rest of the mass: it is at least their mean.
            kept = max(kept, _border(row, bound, 0.99 * (whole - bound) / V, False))
        least[r] = kept


@_cached(**_EXACT)
def draw(powers: Array, least: Array, uniforms: Array, cumulative: Array, ids: Array) -> None:
    """ids (n,) drawn at uniforms (n,) in [0, 1) from powers (V, R) that are not below least (R,).

    `cumulative` (V, R) float64 is scratch. As in `kronos.decoding.sampling.draw`, sums run in
    float64 and in the order of the tokens, and the largest uniform still finds one with mass.
    """
    V, total = powers.shape[0], np.zeros(R)
    for v in range(V):
        for r in range(R):
            total[r] += powers[v, r] if powers[v, r] >= least[r] else np.float32(0)
            cumulative[v, r] = total[r]
    for r in range(len(ids)):
        target = min(uniforms[r] * total[r], np.nextafter(total[r], 0.0))
        low, high = 0, V - 1
        while low < high:
            middle = (low + high) // 2
            if cumulative[middle, r] > target:
                high = middle
            else:
                low = middle + 1
        ids[r] = low
