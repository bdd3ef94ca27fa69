"""Compares the answers of two leaderboard servers about one interval."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from orchboard.client import ServerRegion
from orchboard.errors import Refusal
from orchboard.mirror.source import RangeError, Scores, Source
from orchboard.mirror.time_ranges import TimeRange
from orchboard.results.parse import SentStats, parse_stats
from orchboard.stats import JobType, is_address

T = TypeVar("T")

# Members that the reference returns too; other members are not compared.
SCORES = ("success_rate", "round_trip_score", "score")


class Difference(Struct, frozen=True):
    """A value that differs; None means that a server does not have it.

    what -- the kind of value: `score`, `results`, …
    where -- region, job type, pipeline and model of the value; empty for all
    amount -- absolute difference of two numbers
    """

    what: str
    orchestrator: str
    where: str
    first: float | str | None
    second: float | str | None
    amount: float | None


class Comparison(Struct):
    """The number of compared values by kind, and the differences, largest first."""

    values: Counter[str] = msgspec.field(default_factory=Counter)
    differences: list[Difference] = msgspec.field(default_factory=list)


class Comparer:
    """Queries two servers about an interval.

    tolerance -- largest accepted difference of two numbers
    on_progress -- called with the number of requests made and their total, as far as it is known
    """

    def __init__(
        self, first: Source, second: Source, *, tolerance: float, on_progress: Callable[[int, int], None]
    ) -> None:
        self._both = first, second
        self._tolerance = tolerance
        self._on_progress = on_progress
        self._asked = self._to_ask = 0
        self._comparison = Comparison()

    def compare(
        self, time_range: TimeRange, *, with_results: bool = True, with_top: bool = False
    ) -> Comparison:
        """Compare regions, pipelines, scores and results.

        with_results -- whether to compare single results
        with_top -- whether to compare top_ai_score, whose window can't be chosen and moves during the run
        Raises SourceError when a server can't be read.
        """
        self._to_ask = 3
        self._compare_regions()
        pairs = self._compare_pipelines(time_range)
        self._to_ask += len(pairs) + sum(len(regions) for regions in pairs.values())
        found = {
            JobType.TRANSCODING: self._compare_scores(time_range, JobType.TRANSCODING, {}),
            JobType.AI: set[str](),
        }
        for (pipeline, model), regions in pairs.items():
            asked = {"pipeline": pipeline, "model": model}
            found[JobType.AI] |= self._compare_scores(time_range, JobType.AI, asked)
            for region in sorted(regions):
                self._compare_scores(time_range, JobType.AI, asked | {"region": region})
        orchestrators = [
            (name, kind) for kind, names in found.items() for name in sorted(names) if name.strip()
        ]
        self._to_ask += with_top * len(found[JobType.AI]) + with_results * len(orchestrators)
        for name in sorted(found[JobType.AI]) if with_top else ():
            self._compare_top(name)
        for name, kind in orchestrators if with_results else ():
            self._compare_results(name, kind, time_range)
        self._comparison.differences.sort(key=lambda one: -_size(one))
        return self._comparison

    def _compare_regions(self) -> None:
        def by_key(regions: Iterable[ServerRegion]) -> dict[str, str]:
            return {f"{region.type} {region.id}": region.name for region in regions}

        self._compare_texts("region", *(by_key(source.regions()) for source in self._both))
        self._report()

    def _compare_pipelines(self, time_range: TimeRange) -> dict[tuple[str, str], set[str]]:
        """The regions of each pipeline and model of either server."""
        regions: dict[tuple[str, str], set[str]] = {}
        shown = []
        for source in self._both:
            texts: dict[str, str] = {}
            for one in self._ask("pipelines", {}, source.pipelines, time_range) or ():
                texts |= {f"{one.id} {model}": "there" for model in one.models}
                texts |= {f"{one.id} in {region}": "there" for region in one.regions}
                for model in one.models:
                    regions.setdefault((one.id, model), set()).update(one.regions)
            shown.append(texts)
        self._compare_texts("pipeline", *shown)
        self._report()
        return regions

    def _compare_scores(self, time_range: TimeRange, job_type: JobType, asked: dict[str, str]) -> set[str]:
        """The orchestrators with scores on either server."""
        first, second = (
            self._ask("aggregated_stats", asked, source.scores, time_range, job_type, asked)
            for source in self._both
        )
        self._report()
        if first is None or second is None:
            return {*(first or ()), *(second or ())}
        words = " ".join(filter(None, (asked.get("pipeline"), asked.get("model"))))
        only = "(median of this region)" if "region" in asked else ""
        for name, region in sorted({*_cells(first), *_cells(second)}):
            cells = [scores.get(name, {}).get(region) for scores in (first, second)]
            for score in SCORES:
                numbers = [None if cell is None else cell.get(score) for cell in cells]
                hint = "" if is_address(name) else "(not an address)"
                self._compare(score, name, " ".join(filter(None, (region, words, only, hint))), *numbers)
        return {*first, *second}

    def _compare_top(self, name: str) -> None:
        first, second = (
            self._ask("top_ai_score", {"orchestrator": name}, source.top_ai_score, name)
            for source in self._both
        )
        self._report()
        if first is not None and second is not None:
            for member in ("value", "region", "pipeline", "model"):
                self._compare(
                    "top_ai_score", name, f"{member} (current)", first.get(member), second.get(member)
                )

    def _compare_results(self, name: str, job_type: JobType, time_range: TimeRange) -> None:
        first, second = (self._fetch_results(source, name, job_type, time_range) for source in self._both)
        for region in sorted({region for region, _ in (*first, *second)}):
            where = f"{region} {job_type}"
            numbers = [_number(rows, region) for rows in (first, second)]
            self._compare("results", name, where, *numbers)
            others = _number(first - second, region)
            if numbers[0] == numbers[1] and others:
                self._differ("contents of results", name, where, others, others, others)
        self._report()

    def _fetch_results(
        self, source: Source, name: str, job_type: JobType, time_range: TimeRange
    ) -> Counter[tuple[str, bytes]]:
        """The number of copies of each result, by region and digest of its content."""
        rows: Counter[tuple[str, bytes]] = Counter()
        for part in source.results(name, job_type, time_range):
            if part.failure:
                self._differ("unreadable", name, f"{source.url}: {part.failure}", None, None, None)
            for row in part.rows:
                try:
                    parsed = parse_stats(bytes(row))
                    rows[parsed.region, _digest(parsed.payload)] += 1
                except Refusal as error:
                    rows["?", str(error).encode()] += 1
        return rows

    def _ask(
        self, endpoint: str, asked: Mapping[str, str], question: Callable[..., T], *arguments: Any
    ) -> T | None:
        """An answer; None, which is recorded as a difference, if the server fails."""
        try:
            return question(*arguments)
        except RangeError as error:
            words = " ".join((*asked.values(), str(error)))
            self._differ(f"{endpoint} fails", "", words, None, None, None)
            return None

    def _compare_texts(self, what: str, first: dict[str, str], second: dict[str, str]) -> None:
        for key in sorted({*first, *second}):
            self._compare(what, "", key, first.get(key), second.get(key))

    def _compare(self, what: str, name: str, where: str, first: Any, second: Any) -> None:
        self._comparison.values[what] += 1
        if isinstance(first, int | float) and isinstance(second, int | float):
            amount = abs(first - second)
            if not amount <= self._tolerance:
                self._differ(what, name, where, first, second, amount)
        elif first != second:
            self._differ(what, name, where, first, second, None)

    def _differ(
        self,
        what: str,
        name: str,
        where: str,
        first: float | str | None,
        second: float | str | None,
        amount: float | None,
    ) -> None:
        self._comparison.differences.append(Difference(what, name, where, first, second, amount))

    def _report(self) -> None:
        self._asked += 1
        self._on_progress(self._asked, self._to_ask)


def _cells(scores: Scores) -> set[tuple[str, str]]:
    return {(name, region) for name, regions in scores.items() for region in regions}


def _number(rows: Counter[tuple[str, bytes]], region: str) -> int:
    return sum(number for (of, _), number in rows.items() if of == region)


def _digest(payload: bytes) -> bytes:
    """A digest of the members that every server stores: those of the contract."""
    kept = msgspec.json.encode(msgspec.json.decode(payload, type=SentStats))
    return blake2b(kept, digest_size=16).digest()


def _size(difference: Difference) -> float:
    """Sort key: missing values first, then by amount."""
    return float("inf") if difference.amount is None else difference.amount
