"""Metrics of POSTGRES_READ: which server answers, and how far standbys are behind."""

from collections.abc import Iterator

from orchboard.api.exposition import Metric, Sample, gauge
from orchboard.runtime.counters import Block, Counters
from orchboard.store.postgres.standby_reads import StandbyReads


class StandbyGauges:
    """The states of the standbys of all workers. Make it before `Counters.begin`."""

    def __init__(self, counters: Counters, standbys: StandbyReads) -> None:
        self._counters = counters
        self._in_use = counters.add_gauge("standby in use", lambda: not standbys.why_primary)
        self._has_standby = counters.add_gauge("has a standby", lambda: standbys.standby is not None)
        self._bytes = counters.add_gauge("standby lag in bytes", lambda: standbys.lag.size)
        self._seconds = counters.add_gauge("standby lag in seconds", lambda: standbys.lag.age_s)
        self._computed = counters.add("computed by standby and primary", 2)
        standbys.computed = self._computed.values

    def metrics(self) -> Iterator[Metric]:
        """Over all workers: sums, and the greatest lag of those that have a standby; no lag if none has."""
        in_use = self._counters.total(self._in_use)[0]
        yield gauge(
            "orchboard_standby_in_use", "Number of workers whose questions a standby answers.", in_use
        )
        yield Metric(
            "orchboard_standby_lag_seconds", "gauge",
            "Age of the oldest write that a chosen standby has not replayed. Absent without one.",
            self._greatest(self._seconds),
        )  # fmt: skip
        yield Metric(
            "orchboard_standby_lag_bytes", "gauge",
            "Write-ahead log that a chosen standby has not replayed. Absent without one.",
            self._greatest(self._bytes),
        )  # fmt: skip
        standby, primary = self._counters.total(self._computed)
        yield Metric(
            "orchboard_computed_answers_total", "counter",
            "Answers that were computed, by the server that was read; those of POSTGRES_READ only.",
            [Sample(standby, (("server", "standby"),)), Sample(primary, (("server", "primary"),))],
        )  # fmt: skip

    def _greatest(self, block: Block) -> list[Sample]:
        workers = zip(self._counters.each(block), self._counters.each(self._has_standby), strict=True)
        values = [value for (value,), (has_standby,) in workers if has_standby]
        return [Sample(max(values))] if values else []
