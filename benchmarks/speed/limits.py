"""What one decode step costs at least: its operations and bytes against the machine's rates.

Counted is a step that reads one new position of every path against stored keys and values,
and draws a pair of tokens. Rates are measured with this size's own layer shapes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed.memory import MemoryGrowth
from benchmarks.speed.workload import Workload
from kronos.nn.checkpoint import load_model
from kronos.nn.config import ModelConfig

COLD_BYTES = 256 << 20
"""Weights cycled through so that none of them is still in a cache when it is read again."""
PASSES, SECONDS = 5, 0.3
"""Every way to compute is repeated at least so often and so long, for its fastest pass."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product of the step: `count` times, (rows, n_in) by `parts` of (n_out, n_in).

    The parts read the same input, so they may be computed as one.
    """

    n_out: int
    n_in: int
    parts: int
    count: int

    @property
    def weights(self) -> int:
        return self.n_out * self.n_in * self.parts * self.count


def products(config: ModelConfig) -> list[Product]:
    """Every product of a decode step with a weight matrix."""
    D, ff, layers = config.d_model, config.ff_dim, config.n_layers
    return [
        Product(D, 2 * D, 1, 1),  # fusion of the pair's embeddings
        Product(D, D, 3, layers),  # queries, keys and values
        Product(D, D, 1, layers),
        Product(ff, D, 2, layers),  # both halves of SwiGLU
        Product(D, ff, 1, layers),
        Product(1 << config.s1_bits, D, 1, 1),
        Product(D, D, 1, 1),  # dependency layer: the query reads s1, keys and values the state
        Product(D, D, 2, 1),
        Product(D, D, 1, 1),
        Product(1 << config.s2_bits, D, 1, 1),
    ]


@dataclass(frozen=True, slots=True)
class StepCost:
    """Operations (a multiplication and an addition are two) and bytes of one decode step.

    Attributes:
        product_operations: Of the products with weights.
        attention_operations: Of scores and mixtures over context and generated positions.
        weight_bytes: Weights read once.
        cache_bytes: Keys and values read once, those of the context once for all paths.
    """

    product_operations: float
    attention_operations: float
    weight_bytes: float
    cache_bytes: float


def step_cost(
    config: ModelConfig, *, paths: int, context: int, horizon: int, itemsize: int
) -> StepCost:
    """Cost of a step in the middle of the horizon, for one series."""
    weights = sum(product.weights for product in products(config))
    attentions = config.n_layers + 1
    own = horizon / 2
    return StepCost(
        product_operations=2.0 * weights * paths,
        attention_operations=4.0 * attentions * paths * (context + own) * config.d_model,
        weight_bytes=float(weights * itemsize),
        cache_bytes=2.0 * attentions * (context + paths * own) * config.d_model * itemsize,
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine reached, each measured twice.

    "Own" goes through exactly the weights of one step again and again, so that they are in a
    cache where they would be in a forecast; "cold" goes through `COLD_BYTES` or more.

    Attributes:
        own_products: Operations per second.
        cold_products: The same, cold.
        own_bandwidth: Bytes per second, of the larger of reading and copying.
        cold_bandwidth: The same, cold.
    """

    own_products: float
    cold_products: float
    own_bandwidth: float
    cold_bandwidth: float

    @property
    def best_products(self) -> float:
        return max(self.own_products, self.cold_products)

    @property
    def best_bandwidth(self) -> float:
        return max(self.own_bandwidth, self.cold_bandwidth)

    @staticmethod
    def best(measured: Sequence[Rates]) -> Rates:
        """The best of each: noise only ever slows a machine down."""
        return Rates(
            max(rates.own_products for rates in measured),
            max(rates.cold_products for rates in measured),
            max(rates.own_bandwidth for rates in measured),
            max(rates.cold_bandwidth for rates in measured),
        )


def floor(cost: StepCost, rates: Rates) -> float:
    """Seconds below which no step can be: computing and reading overlap perfectly."""
    operations = cost.product_operations + cost.attention_operations
    n_bytes = cost.weight_bytes + cost.cache_bytes
    return max(operations / rates.best_products, n_bytes / rates.best_bandwidth)


def model_config(workload: Workload) -> ModelConfig:
    """Configuration of the workload's model."""
    return load_model(workload.checkpoint.model).config


class Limits:
    """Measures `Rates` for the layer shapes of one model, at as many rows as there are paths."""

    def __init__(self, workload: Workload, quick: bool = False) -> None:
        """Args:
        workload: Its model's shapes, its number of paths.
        quick: Measures one pass, over weights that may stay in a cache.
        """
        self.cold_bytes = COLD_BYTES >> 4 if quick else COLD_BYTES
        self.passes, self.seconds = (1, 0.0) if quick else (PASSES, SECONDS)
        self.device = torch.device(workload.device)
        self.dtype = getattr(torch, workload.dtype)
        self.products = products(model_config(workload))
        self.rows = workload.paths
        self.memory = MemoryGrowth(workload.device)
        self.own_bytes = sum(product.weights for product in self.products) * self.dtype.itemsize

    @torch.inference_mode()
    def run(self) -> Rates:
        copies = math.ceil(self.cold_bytes / self.own_bytes)
        own_products, own_bandwidth = self._products_rate(1), self._bandwidth(self.own_bytes)
        if copies == 1:
            return Rates(own_products, own_products, own_bandwidth, own_bandwidth)
        cold = self._products_rate(copies), self._bandwidth(copies * self.own_bytes)
        return Rates(own_products, cold[0], own_bandwidth, cold[1])

    def _products_rate(self, copies: int) -> float:
        """Operations per second of the fastest way to compute a step's products."""
        pairs = self._operands(copies)
        apart = [(x, part) for x, W, parts in pairs for part in W.chunk(parts)]
        fused = [(x, W) for x, W, _ in pairs]
        ways = [
            partial(way, operands) for operands in (apart, fused) for way in (_by_rows, _by_columns)
        ]
        seconds = min(self._fastest(way) for way in ways)
        operations = 2.0 * self.rows * sum(W.numel() for _, W in fused)
        return operations / seconds

    def _operands(self, copies: int) -> list[tuple[Tensor, Tensor, int]]:
        """(input, weights, parts) of every product, in the order of a step, `copies` times."""
        inputs = {p.n_in: self._random(self.rows, p.n_in) for p in self.products}
        return [
            (inputs[p.n_in], self._random(p.n_out * p.parts, p.n_in), p.parts)
            for _ in range(copies)
            for p in self.products
            for _ in range(p.count)
        ]

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device).to(self.dtype)

    def _bandwidth(self, n_bytes: int) -> float:
        """Bytes per second of reading or copying a block of `n_bytes`, whichever is more."""
        block = torch.ones(n_bytes // 4, device=self.device)
        target = torch.empty_like(block)
        reading = n_bytes / self._fastest(lambda: block.sum())
        copying = 2 * n_bytes / self._fastest(lambda: target.copy_(block))
        return max(reading, copying)

    def _fastest(self, work: Callable[[], object]) -> float:
        """Least seconds of one pass, without the cost of launching kernels on a GPU."""
        replay = _graph(work) if self.device.type == "cuda" else work
        replay()
        fastest, spent, n_passes = math.inf, 0.0, 0
        while n_passes < self.passes or spent < self.seconds:
            seconds = self._timed(replay)
            fastest, spent, n_passes = min(fastest, seconds), spent + seconds, n_passes + 1
        return fastest

    def _timed(self, work: Callable[[], object]) -> float:
        if self.device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            return begin.elapsed_time(end) / 1e3
        started = time.perf_counter()
        work()
        return time.perf_counter() - started


def _by_rows(operands: Sequence[tuple[Tensor, Tensor]]) -> None:
    for x, W in operands:
        F.linear(x, W)


def _by_columns(operands: Sequence[tuple[Tensor, Tensor]]) -> None:
    for x, W in operands:
        W @ x.T


def _graph(work: Callable[[], object]) -> Callable[[], object]:
    """A CUDA graph of `work`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
