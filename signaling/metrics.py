"""What an operator may count: for Prometheus, and without anybody's identity in it.

No label is made of what a client sent: each has a fixed few values. The registry is this server's
own, so that two servers of one process (in tests) count apart.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]


class Metrics:
    """All counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU, open files
        self.connections = self._counter("connections_accepted", "WebSockets that were opened")
        self.turned_away = self._counter(
            "connections_refused", "WebSockets that were not opened", "reason"
        )
        self.joins = self._counter("joins", "members let in")
        self.messages = self._counter("messages", "messages of members", "kind")
        self.signals = self._counter("signals", "signals by what became of them", "fate")
        self.refusals = self._counter("refusals", "connections ended by a no", "reason")
        self.slow_readers = self._counter(
            "slow_readers_dropped", "members cut off because they did not read"
        )
        self.turn_grants = self._counter("turn_grants", "TURN credentials given to members")
        self.outcomes = self._counter(
            "link_outcomes", "how links came about, as members report", "outcome"
        )

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A number that is asked for when somebody looks."""
        Gauge(f"covey_{name}", text, registry=self.registry).set_function(value)

    def page(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"covey_{name}", text, labels, registry=self.registry)
