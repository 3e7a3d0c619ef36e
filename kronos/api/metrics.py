"""Figures of a running server for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kronos.serving.service import ForecastService, LocalService

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts requests, and reads the rest where it is known when it is asked.

    Args:
        service: Gives the service that answers, or None while there is none.
        hits: Orders and results that were answered without any work.
        faults: Failed fetches by class of error.
    """

    def __init__(
        self,
        service: Callable[[], ForecastService | None],
        hits: Callable[[], int],
        faults: Callable[[], Mapping[str, int]],
    ) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "kronos_http_requests", "Requests answered.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "kronos_http_seconds", "Time of an answer.", ("route",), buckets=_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Readings(service, hits, faults))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures in Prometheus' format."""
        return generate_latest(self._registry)


class _Readings:
    """What is read at the moment of the question; see Prometheus' custom collectors."""

    def __init__(
        self,
        service: Callable[[], ForecastService | None],
        hits: Callable[[], int],
        faults: Callable[[], Mapping[str, int]],
    ) -> None:
        self._service, self._hits, self._faults = service, hits, faults

    def collect(self) -> Iterable[Metric]:
        """The figures."""
        yield CounterMetricFamily(
            "kronos_cache_hits", "Answers that needed no work.", value=self._hits()
        )
        faults = CounterMetricFamily(
            "kronos_fetch_faults", "Failed fetches of bars.", labels=["error"]
        )
        for name, count in sorted(self._faults().items()):
            faults.add_metric([name], count)
        yield faults
        service = self._service()
        if not isinstance(service, LocalService):
            return
        counts = service.engine.queue.counts()
        waiting = GaugeMetricFamily(
            "kronos_queue_depth", "Forecasts that wait.", labels=["priority"]
        )
        for priority, number in counts.waiting.items():
            waiting.add_metric([priority.name.lower()], number)
        yield waiting
        yield GaugeMetricFamily("kronos_running", "Forecasts under way.", value=counts.running)
        for name, text, value in (
            ("kronos_taken", "Forecasts begun.", counts.taken),
            ("kronos_wait_seconds", "Time that begun forecasts had waited.", counts.waited),
            ("kronos_shared", "Requests that joined an equal one.", counts.joined),
            ("kronos_steps", "Steps sampled: paths times bars.", service.engine.n_steps),
        ):
            yield CounterMetricFamily(name, text, value=value)
