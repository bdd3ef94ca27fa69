"""Copies another leaderboard's results through its API into the database, by interval and orchestrator."""

import time
from asyncio import Runner
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b

import msgspec
from msgspec import Struct

from orchboard import limits
from orchboard.errors import Refusal
from orchboard.mirror.listing import OrchestratorListing
from orchboard.mirror.source import RangeResults, Source
from orchboard.mirror.time_ranges import TimeRange, day_of, grid_ranges
from orchboard.results.parse import parse_stats
from orchboard.stats import JobType, Region
from orchboard.store.transfer.mirrored_results import CopiedResult, CopyPosition, MirrorStore

_BATCH_RESULTS, _BATCH_BYTES = 2000, 4_000_000

# Seconds up to the year 5138; larger numbers are milliseconds.
_MOST_SECONDS = 10**11

MOST_NAME, MOST_DISPLAY_NAME = 56, 128


class Unreadable(Struct, frozen=True):
    """Results that the source has but can't return; the next run requests them again."""

    orchestrator: str
    job_type: JobType
    since: int
    until: int
    failure: str


class CopyReport(Struct):
    """The outcome of a run.

    read -- results that the source returned; stored -- those that were new; refused -- number of results that could not
    be stored, by reason; notes -- messages about everything else that could not be copied
    """

    regions: int = 0
    ranges: int = 0
    read: int = 0
    stored: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    notes: set[str] = msgspec.field(default_factory=set)
    unreadable: list[Unreadable] = msgspec.field(default_factory=list)

    @property
    def already_stored(self) -> int:
        """Number of results that were stored before."""
        return self.read - self.stored - self.refused.total()


class CopyRequest(Struct, frozen=True):
    """What to copy: receipt times from `since` to `until`, Unix seconds.

    overlap_s -- a time range is requested again until it was read this long after its end
    again -- request complete time ranges too
    """

    since: int
    until: int
    overlap_s: int
    again: bool = False


OnProgress = Callable[[float, int, CopyReport], None]
"""Called with the number of finished time ranges, their total, and the outcome so far."""


class Copier:
    """Copies from a source into a store.

    runner -- the event loop of the store's connection; requests are made outside of it, so Ctrl-C ends them at once
    """

    def __init__(self, source: Source, store: MirrorStore, runner: Runner, on_progress: OnProgress) -> None:
        self._source = source
        self._store = store
        self._run = runner.run
        self._on_progress = on_progress
        self._regions: frozenset[tuple[str, JobType]] = frozenset()
        self._listing = OrchestratorListing(source)
        self._position: CopyPosition | None = None
        self._given: Counter[str] = Counter()
        self.copied = CopyReport()

    def copy(self, request: CopyRequest, *, now: int) -> CopyReport:
        """Copy what is missing. Repeating it stores nothing twice; after an interruption it continues.

        now -- Unix seconds
        Raises SourceError when the source can't be read.
        """
        self._copy_regions()
        ranges = list(grid_ranges(request.since, request.until, now=now))
        complete = self._run(
            self._store.fetch_complete((time_range.since, time_range.until) for time_range in ranges)
        )
        wanted = [
            time_range
            for time_range, is_complete in zip(ranges, complete, strict=True)
            if request.again or not is_complete
        ]
        # With `again`, complete time ranges are copied from their start, so an old position does not count.
        self._position = None if request.again else self._run(self._store.fetch_position())
        for number, time_range in enumerate(wanted):
            is_settled = time_range.until <= now - request.overlap_s
            self._copy_range(time_range, is_settled, partial(self._report_share, number, len(wanted)))
            self._report(number + 1, len(wanted))
        # The reference stores names unchanged, but converts requested names to lower case.
        for name, given in self._given.items():
            if not given and name != name.lower():
                self.copied.notes.add(f"{name} has scores, but the source returns no results of it")
        kept_since = self._run(self._store.fetch_kept_since())
        if kept_since is not None and request.since < kept_since.timestamp():
            self.copied.notes.add(
                f"results received before {kept_since:%Y-%m-%d} are not kept here (`orchboard prune`) and were not stored"
            )
        return self.copied

    def _report(self, done: float, total: int) -> None:
        self._on_progress(done, total, self.copied)

    def _report_share(self, before: int, total: int, share: float) -> None:
        self._report(before + share, total)

    def _copy_regions(self) -> None:
        regions = []
        for region in self._source.regions():
            if region.type not in tuple(JobType):
                self.copied.notes.add(f"region {region.id!r} has the unknown job type {region.type!r}")
            elif not region.id or len(region.id) > MOST_NAME or "\0" in region.id + region.name:
                self.copied.notes.add(f"{region.id[:60]!r} is not a valid region code")
            else:
                code, name = region.id.upper(), region.name[:MOST_DISPLAY_NAME]
                regions.append(Region(code, name, JobType(region.type)))
        self.copied.regions = self._run(self._store.add_regions(regions))
        self._regions = frozenset((region.id, region.type) for region in regions)

    def _copy_range(self, time_range: TimeRange, is_settled: bool, report: Callable[[float], None]) -> None:
        saved = self._position if is_settled else None
        position = (
            saved.position
            if saved and (saved.since, saved.until) == (time_range.since, time_range.until)
            else ""
        )
        failures = len(self.copied.unreadable)
        orchestrators = self._orchestrators(time_range)
        for number, (orchestrator, job_type) in enumerate(orchestrators):
            here = f"{orchestrator} {job_type}"
            if here <= position:
                continue
            self._copy_results(orchestrator, job_type, time_range)
            # A time range that may still grow, or has failures, is requested again from its start.
            if is_settled and len(self.copied.unreadable) == failures:
                self._run(self._store.save_position(CopyPosition(time_range.since, time_range.until, here)))
            report((number + 1) / len(orchestrators))
        is_whole = len(self.copied.unreadable) == failures
        self._run(
            self._store.complete_range(
                (time_range.since, time_range.until), is_complete=is_settled and is_whole
            )
        )
        self.copied.ranges += 1

    def _orchestrators(self, time_range: TimeRange) -> list[tuple[str, JobType]]:
        listed = self._listing.of(day_of(time_range))
        for job_type, part, failure in listed.failures:
            if part.since < time_range.until and time_range.since < part.until:
                self.copied.unreadable.append(Unreadable("", job_type, part.since, part.until, failure))
        asked = []
        for name, job_type in listed.orchestrators:
            if 0 < len(name.strip()) <= limits.MAX_ORCHESTRATOR_CHARACTERS and "\0" not in name:
                asked.append((name, job_type))
            else:
                self.copied.notes.add(f"{name[:60]!r} is not a valid name of an orchestrator")
        return asked

    def _copy_results(self, orchestrator: str, job_type: JobType, time_range: TimeRange) -> None:
        copies: Counter[bytes] = Counter()
        name = orchestrator.strip().lower()
        before = self.copied.read
        for part in self._source.results(orchestrator, job_type, time_range):
            if part.failure:
                failed = part.time_range
                self.copied.unreadable.append(
                    Unreadable(orchestrator, job_type, failed.since, failed.until, part.failure)
                )
            results = self._read(part, job_type, copies)
            for batch in _batches(results):
                self.copied.stored += self._run(
                    self._store.store(name, job_type, (time_range.since, time_range.until), batch)
                )
        self._given[orchestrator] += self.copied.read - before

    def _read(self, part: RangeResults, job_type: JobType, copies: Counter[bytes]) -> Iterator[CopiedResult]:
        latest = min(part.time_range.until, time.time()) - 0.000_001
        for row in part.rows:
            self.copied.read += 1
            try:
                parsed = parse_stats(bytes(row))
            except Refusal as error:
                self.copied.refused[str(error)] += 1
                continue
            if (parsed.region, job_type) not in self._regions:
                self.copied.refused[
                    f"the source does not list region {parsed.region[:60]!r} for {job_type}"
                ] += 1
                continue
            digest = blake2b(parsed.payload, digest_size=16).digest()
            received = max(part.time_range.since, min(latest, _timestamp(parsed.payload)))
            yield CopiedResult(
                datetime.fromtimestamp(received, UTC), parsed.region, parsed.payload, copies[digest]
            )
            copies[digest] += 1


class _Stamped(Struct):
    timestamp: int = 0


_decode_stamped = msgspec.json.Decoder(_Stamped).decode


def _timestamp(payload: bytes) -> float:
    timestamp = _decode_stamped(payload).timestamp
    return timestamp / 1000 if timestamp > _MOST_SECONDS else timestamp


def _batches(results: Iterator[CopiedResult]) -> Iterator[Sequence[CopiedResult]]:
    batch: list[CopiedResult] = []
    size = 0
    for result in results:
        batch.append(result)
        size += len(result.payload)
        if len(batch) >= _BATCH_RESULTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
