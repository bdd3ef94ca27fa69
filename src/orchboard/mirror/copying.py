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

from orchboard.errors import Refusal
from orchboard.mirror.listing import OrchestratorListing
from orchboard.mirror.source import RangeResults, Source
from orchboard.mirror.time_ranges import TimeRange, day_of, grid_ranges
from orchboard.results.parse import MAX_ORCHESTRATOR, parse_stats
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
    spans: int = 0
    read: int = 0
    stored: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    notes: set[str] = msgspec.field(default_factory=set)
    unreadable: list[Unreadable] = msgspec.field(default_factory=list)

    @property
    def there(self) -> int:
        """Number of results that were stored before."""
        return self.read - self.stored - self.refused.total()


class CopyRequest(Struct, frozen=True):
    """What to copy: receipt times from `since` to `until`, Unix seconds.

    overlap_s -- a span is requested again until it was read this long after its end
    again -- request complete spans too
    """

    since: int
    until: int
    overlap_s: int
    again: bool = False


OnProgress = Callable[[float, int, CopyReport], None]
"""Called with the number of finished spans, their total, and the outcome so far."""


class Copier:
    """Copies from a source into a store.

    runner -- the event loop of the store's connection; requests are made outside of it, so Ctrl-C ends them at once
    """

    def __init__(self, source: Source, store: MirrorStore, runner: Runner, on_progress: OnProgress) -> None:
        self._source = source
        self._store = store
        self._run = runner.run
        self._on_progress = on_progress
        self._places: frozenset[tuple[str, JobType]] = frozenset()
        self._listing = OrchestratorListing(source)
        self._position: CopyPosition | None = None
        self._given: Counter[str] = Counter()
        self.copied = CopyReport()

    def copy(self, ask: CopyRequest, *, now: int) -> CopyReport:
        """Copy what is missing. Repeating it stores nothing twice; after an interruption it continues.

        now -- Unix seconds
        Raises SourceError when the source can't be read.
        """
        self._copy_regions()
        spans = list(grid_ranges(ask.since, ask.until, now=now))
        covered = self._run(self._store.fetch_complete((span.since, span.until) for span in spans))
        wanted = [
            span for span, is_covered in zip(spans, covered, strict=True) if ask.again or not is_covered
        ]
        # With `again`, complete spans are copied from their start, so an old position does not count.
        self._position = None if ask.again else self._run(self._store.fetch_position())
        for number, span in enumerate(wanted):
            is_settled = span.until <= now - ask.overlap_s
            self._copy_range(span, is_settled, partial(self._tell_share, number, len(wanted)))
            self._tell(number + 1, len(wanted))
        # The reference stores names unchanged, but converts requested names to lower case.
        for name, given in self._given.items():
            if not given and name != name.lower():
                self.copied.notes.add(f"{name} has scores, but the source returns no results of it")
        return self.copied

    def _tell(self, done: float, total: int) -> None:
        self._on_progress(done, total, self.copied)

    def _tell_share(self, before: int, total: int, share: float) -> None:
        self._tell(before + share, total)

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
        self._places = frozenset((region.id, region.type) for region in regions)

    def _copy_range(self, span: TimeRange, is_settled: bool, tell: Callable[[float], None]) -> None:
        reach = self._position if is_settled else None
        position = reach.position if reach and (reach.since, reach.until) == (span.since, span.until) else ""
        failures = len(self.copied.unreadable)
        orchestrators = self._orchestrators(span)
        for number, (orchestrator, job_type) in enumerate(orchestrators):
            here = f"{orchestrator} {job_type}"
            if here <= position:
                continue
            self._copy_results(orchestrator, job_type, span)
            # A span that may still grow, or has failures, is requested again from its start.
            if is_settled and len(self.copied.unreadable) == failures:
                self._run(self._store.save_position(CopyPosition(span.since, span.until, here)))
            tell((number + 1) / len(orchestrators))
        is_whole = len(self.copied.unreadable) == failures
        self._run(self._store.complete_range((span.since, span.until), is_complete=is_settled and is_whole))
        self.copied.spans += 1

    def _orchestrators(self, span: TimeRange) -> list[tuple[str, JobType]]:
        listed = self._listing.of(day_of(span))
        for job_type, part, failure in listed.failures:
            if part.since < span.until and span.since < part.until:
                self.copied.unreadable.append(Unreadable("", job_type, part.since, part.until, failure))
        asked = []
        for name, job_type in listed.orchestrators:
            if 0 < len(name.strip()) <= MAX_ORCHESTRATOR and "\0" not in name:
                asked.append((name, job_type))
            else:
                self.copied.notes.add(f"{name[:60]!r} is not a valid name of an orchestrator")
        return asked

    def _copy_results(self, orchestrator: str, job_type: JobType, span: TimeRange) -> None:
        copies: Counter[bytes] = Counter()
        name = orchestrator.strip().lower()
        before = self.copied.read
        for piece in self._source.results(orchestrator, job_type, span):
            if piece.failure:
                part = piece.span
                self.copied.unreadable.append(
                    Unreadable(orchestrator, job_type, part.since, part.until, piece.failure)
                )
            results = self._read(piece, job_type, copies)
            for batch in _batches(results):
                self.copied.stored += self._run(
                    self._store.store(name, job_type, (span.since, span.until), batch)
                )
        self._given[orchestrator] += self.copied.read - before

    def _read(self, piece: RangeResults, job_type: JobType, copies: Counter[bytes]) -> Iterator[CopiedResult]:
        latest = min(piece.span.until, time.time()) - 0.000_001
        for row in piece.rows:
            self.copied.read += 1
            try:
                parsed = parse_stats(bytes(row))
            except Refusal as error:
                self.copied.refused[str(error)] += 1
                continue
            if (parsed.region, job_type) not in self._places:
                self.copied.refused[
                    f"the source does not list region {parsed.region[:60]!r} for {job_type}"
                ] += 1
                continue
            digest = blake2b(parsed.payload, digest_size=16).digest()
            received = max(piece.span.since, min(latest, _timestamp(parsed.payload)))
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
