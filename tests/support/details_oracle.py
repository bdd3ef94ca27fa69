"""The oracle of details: one plain query over the table `events`, and plain Python for every number of `Details`."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations_with_replacement

from msgspec import Struct

from orchboard.stats import JobType, NameRange, PartQuery, Series, SeriesQuery
from orchboard.store.connection.types import Connection
from orchboard.store.details.details import Details
from orchboard.store.measures import MEASURES

EVERY_RESULT = f"""
WITH names AS MATERIALIZED (SELECT id, name FROM testers)
SELECT e.event_time, lower(e.orchestrator) AS orchestrator, r.name AS region, j.name AS job_type,
       left(coalesce(e.payload ->> 'pipeline', ''), 256) AS pipeline, left(coalesce(e.payload ->> 'model', ''), 256) AS model,
       coalesce(t.name, '') AS tester,
       coalesce(e.payload ->> 'test_outcome' NOT LIKE 'unscored%', true) AS is_scored, e.payload::text AS payload,
       ARRAY[{", ".join(f"payload_number(e.payload, '{measure}')" for measure in MEASURES)}] AS measures
FROM events e JOIN regions r ON r.id = e.region_id JOIN job_types j ON j.id = r.job_type_id
LEFT JOIN names t ON t.id = e.tester_id
WHERE e.orchestrator <> '' AND j.name IN ('ai', 'transcoding')
ORDER BY e.event_time, e.id
"""
MAX_ERRORS, MAX_CODE, MAX_MESSAGE, MAX_COUNT = 20, 64, 200, 10**9
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class _Number(str):
    """A JSON number as its text."""


class StoredError(Struct, frozen=True):
    """One entry of a result's errors."""

    code: str
    message: str
    count: int


class StoredResult(Struct, frozen=True):
    """One row of `events`. measures -- in the order of MEASURES"""

    event_time: datetime
    series: Series
    is_scored: bool
    is_warm: bool
    measures: tuple[float, ...]
    errors: tuple[StoredError, ...]

    @property
    def round_trip(self) -> float | None:
        """The round trip in seconds if it counts."""
        success_rate, _, round_trip_time = self.measures
        counts = self.is_scored and success_rate == 1 and round_trip_time != 0
        return round_trip_time if counts else None


async def fetch_stored(connection: Connection) -> list[StoredResult]:
    """Every stored result that is in a series, in the order of receipt."""
    return [_stored(*row) for row in await connection.fetch(EVERY_RESULT)]


def _stored(
    event_time: datetime,
    orchestrator: str,
    region: str,
    job_type: str,
    pipeline: str,
    model: str,
    tester: str,
    is_scored: bool,
    payload: str,
    measures: Sequence[float],
) -> StoredResult:
    names = (pipeline, model) if job_type == "ai" else ("", "")
    members = json.loads(payload, parse_int=_Number, parse_float=_Number)
    members = members if isinstance(members, dict) else {}
    errors = members.get("errors")
    return StoredResult(
        event_time.astimezone(UTC),
        Series(orchestrator, region, JobType(job_type), *names, tester),
        is_scored,
        members.get("model_is_warm") is True,
        tuple(measures),
        tuple(
            StoredError(
                _text(error.get("error_code"))[:MAX_CODE],
                _text(error.get("message"))[:MAX_MESSAGE],
                _count(error.get("count")),
            )
            for error in (errors[:MAX_ERRORS] if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ),
    )


def _text(value: object) -> str:
    """What `->>` shows of a member."""
    return "" if value is None else value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    """JSON as Postgres prints it."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(name)}: {_json(each)}" for name, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _count(value: object) -> int:
    if isinstance(value, str) and not isinstance(value, _Number):
        try:
            value = json.loads(value, parse_int=_Number, parse_float=_Number)
        except ValueError:
            return 1
    number = int(Decimal(value)) if isinstance(value, _Number) else 1
    return min(max(number, 1), MAX_COUNT)


def select(
    results: Iterable[StoredResult], query: SeriesQuery, since: datetime, until: datetime
) -> list[StoredResult]:
    """The results that a query selects and that were received in [since, until)."""
    return [
        result
        for result in results
        if since <= result.event_time < until
        and query.job_type in (None, result.series.job_type)
        and (query.orchestrators is None or result.series.orchestrator in query.orchestrators)
        and (not isinstance(query, PartQuery) or _is_within(result.series.orchestrator, query.names))
        and query.region in (None, result.series.region)
        and query.pipeline in (None, result.series.pipeline)
        and query.model in (None, result.series.model)
        and query.tester in (None, result.series.tester)
    ]


def _is_within(name: str, names: NameRange) -> bool:
    """Whether a name is in a range: UTF-8 sorts by code point."""
    return names.first.encode() <= name.encode() and (names.end is None or name.encode() < names.end.encode())


def quantile(values: Iterable[float], fraction: float) -> float:
    """What `percentile_cont` returns, to the bit."""
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low if low == high else low + (place - math.floor(place)) * (high - low)


def medians(
    results: Iterable[StoredResult], region: str | None, since: datetime, until: datetime
) -> dict[tuple[str, str], float]:
    """The median round trip of each AI pipeline and model, of all orchestrators."""
    round_trips = defaultdict(list)
    for result in select(results, SeriesQuery(job_type=JobType.AI, region=region), since, until):
        if result.round_trip is not None:
            round_trips[result.series.pipeline, result.series.model].append(result.round_trip)
    return {model: quantile(values, 0.5) for model, values in round_trips.items()}


def assert_details_match(
    details: Details,
    results: Sequence[StoredResult],
    query: SeriesQuery,
    since: datetime,
    until: datetime,
) -> int:
    """Compare the details of [since, until) with all stored results; the number of results selected.

    Counts, names, times, round trips and medians must be equal; sums and moments must agree to 1e-9.
    """
    if query.job_type is not JobType.TRANSCODING:
        assert details.medians == medians(results, query.region, since, until)
    selected = select(results, query, since, until)
    by_series = defaultdict(list)
    for result in selected:
        by_series[result.series].append(result)
    sums = details.sums
    found = [details.index[number] for number in sums.series.tolist()]
    assert sums.series.tolist() == sorted(set(sums.series.tolist()))
    assert sorted(found) == sorted(by_series)
    lists: dict[int, list[float]] = defaultdict(list)
    for entry, seconds in zip(sums.round_trip_entries.tolist(), sums.round_trips.tolist(), strict=True):
        lists[entry].append(seconds)
    for entry, series in enumerate(found):
        own = by_series[series]
        scored = [result for result in own if result.is_scored]
        is_ai = series.job_type is JobType.AI
        assert sums.results[entry] == len(scored), series
        assert sums.unscored[entry] == len(own) - len(scored), series
        assert sums.successes[entry] == sum(result.measures[0] >= 1 for result in scored), series
        assert sums.cold[entry] == sum(is_ai and not result.is_warm for result in scored), series
        assert sums.first[entry] == pg_time(own[0].event_time), series
        assert sums.last[entry] == pg_time(own[-1].event_time), series
        round_trips = sorted(result.round_trip for result in own if result.round_trip is not None)
        assert sorted(lists.pop(entry, [])) == round_trips, series
        _assert_moments_match(sums.sums[:, entry].tolist(), sums.moments[:, entry].tolist(), scored)
    assert not lists
    _assert_errors_match(details, by_series)
    return len(selected)


def _assert_moments_match(
    sums: Sequence[float], moments: Sequence[float], scored: Sequence[StoredResult]
) -> None:
    """Sums to 1e-9; moments to 1e-9 of the measures' spread, plus what rounding a value itself to a double may cost."""
    columns = [[result.measures[number] for result in scored] for number in range(len(MEASURES))]
    totals = [math.fsum(column) for column in columns]
    for found, total, column in zip(sums, totals, columns, strict=True):
        assert abs(found - total) <= 1e-9 * abs(total) + 1e-14 * math.fsum(map(abs, column)), (found, total)
    means = [total / max(len(scored), 1) for total in totals]
    deviations = [[value - mean for value in column] for column, mean in zip(columns, means, strict=True)]
    spreads = [math.sqrt(_product(column, column)) for column in deviations]
    sizes = [math.sqrt(_product(column, column)) for column in columns]
    for found, (a, b) in zip(moments, combinations_with_replacement(range(len(MEASURES)), 2), strict=True):
        exact = _product(deviations[a], deviations[b])
        rounding = 1e-14 * (sizes[a] * spreads[b] + sizes[b] * spreads[a]) + 1e-28 * sizes[a] * sizes[b]
        assert abs(found - exact) <= 1e-9 * spreads[a] * spreads[b] + rounding, (a, b, found, exact)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _assert_errors_match(details: Details, by_series: dict[Series, list[StoredResult]]) -> None:
    expected = defaultdict(list)
    for series, results in by_series.items():
        for result in results:
            for code in {error.code for error in result.errors}:
                expected[series, code].append(result)
    found = {(details.index[error.series], error.code): error for error in details.sums.errors}
    assert len(found) == len(details.sums.errors)
    assert found.keys() == expected.keys()
    for (series, code), results in expected.items():
        error = found[series, code]
        assert error.results == len(results), (series, code)
        of_code = [
            (result.event_time, each) for result in results for each in result.errors if each.code == code
        ]
        assert error.count == sum(each.count for _, each in of_code), (series, code)
        assert error.first == pg_time(results[0].event_time), (series, code)
        assert error.last == pg_time(results[-1].event_time), (series, code)
        assert error.message in _last_messages(results, code), (series, code, error.message)


def _last_messages(results: Sequence[StoredResult], code: str) -> set[str]:
    """The last message of the last result that has one; of each of those if several were received at once."""
    last: dict[datetime, set[str]] = defaultdict(set)
    for result in results:
        messages = [each.message for each in result.errors if each.code == code and each.message]
        if messages:
            last[result.event_time].add(messages[-1])
    return last[max(last)] if last else {""}


def pg_time(moment: datetime) -> int:
    """Microseconds since 2000."""
    return (moment - EPOCH) // timedelta(microseconds=1)
