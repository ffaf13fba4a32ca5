"""Numbers for Prometheus: what a number is called, and an endpoint on loopback that tells them when it is asked.

Names and units are as Prometheus asks for: base units, `_total` for what only grows. A label is the name of a tenant,
one of fedrec's own reasons or a fixed word: never a user, an item, or a text that somebody else has written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from types import ModuleType
from typing import Any, Literal, TypeVar

from fedrec.errors import ConfigError

LOOPBACK = "127.0.0.1"
FRESH_S = 10.0
"""How long numbers are told again before they are looked at anew: asking Flower costs a second of CPU."""
log = logging.getLogger("fedrec.deploy")


@dataclass(frozen=True)
class Sample:
    """One number with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """All numbers of one name. name: of a counter with its `_total`."""

    name: str
    help: str
    samples: tuple[Sample, ...]
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True)
class Histogram:
    """How large values were. bounds: upper ends of the buckets, in order."""

    name: str
    help: str
    values: Sequence[float]
    bounds: tuple[float, ...]


Families = Iterable[Family | Histogram]
Labels = TypeVar("Labels", bound=tuple[str, ...])
Look = Callable[[], Families]
"""Looks at something now."""


def gauge(name: str, help_: str, value: float | None) -> list[Family]:
    """One number; no family at all if there is none."""
    return [] if value is None else [Family(name, help_, (Sample(float(value)),))]


def counts(name: str, help_: str, found: Mapping[Labels, float], labels: tuple[str, ...]) -> Family:
    """A counter for each combination of labels."""
    samples = (Sample(float(number), dict(zip(labels, key, strict=True))) for key, number in sorted(found.items()))
    return Family(name, help_, tuple(samples), "counter")


def exposition(look: Look) -> str:
    """All numbers in Prometheus' text format, version 0.0.4. Raises ConfigError without `prometheus_client`."""
    text: bytes = _library().generate_latest(_registry(look))
    return text.decode("utf-8")


def serve(look: Look, port: int) -> tuple[int, Callable[[], None]]:
    """Answer `GET /metrics` on this machine's loopback. The port, which is free if 0 was given, and what ends it.

    Raises ConfigError without `prometheus_client`, OSError if the port is taken.
    """
    server, thread = _library().start_http_server(port, addr=LOOPBACK, registry=_registry(_Remembered(look)))

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return int(server.server_port), end


def _library() -> ModuleType:
    try:
        import prometheus_client
    except ImportError as error:
        raise ConfigError("prometheus_client is not installed; get it with: pip install 'fedrec[metrics]'.") from error
    return prometheus_client


def _registry(look: Look) -> Any:
    registry = _library().CollectorRegistry()
    registry.register(_Collector(look))
    return registry


@dataclass(frozen=True, eq=False)
class _Collector:
    """What `prometheus_client` asks. A look that fails is told as such: its text may quote a row."""

    look: Look

    def describe(self) -> list[object]:
        """Nothing beforehand, so that registering does not look."""
        return []

    def collect(self) -> Iterator[object]:
        """The families as the library has them."""
        worked = 1.0
        try:
            yield from [_converted(one) for one in self.look()]
        except Exception:  # Prometheus should learn that it failed, and no more
            log.exception("scrape failed")
            worked = 0.0
        success = Family("fedrec_scrape_success", "Whether the numbers could be had.", (Sample(worked),))
        yield _converted(success)


class _Remembered:
    """A look that is not taken again within `FRESH_S`, however many ask."""

    def __init__(self, look: Look) -> None:
        self._look, self._lock = look, Lock()
        self._taken, self._found = float("-inf"), list[Family | Histogram]()

    def __call__(self) -> Families:
        with self._lock:
            if time.monotonic() - self._taken > FRESH_S:
                self._found = list(self._look())
                self._taken = time.monotonic()
            return self._found


def _converted(family: Family | Histogram) -> object:
    from prometheus_client import core

    if isinstance(family, Histogram):
        bounds = (*family.bounds, float("inf"))
        buckets = [(_bound(bound), sum(value <= bound for value in family.values)) for bound in bounds]
        return core.HistogramMetricFamily(family.name, family.help, buckets=buckets, sum_value=sum(family.values))
    made = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
    names = list(family.samples[0].labels) if family.samples else []
    found = made(family.name, family.help, labels=names)
    for sample in family.samples:
        found.add_metric([sample.labels[name] for name in names], sample.value)
    return found


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
