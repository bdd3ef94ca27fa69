"""The map of regions: of one orchestrator's scores, and of the coverage of the network."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

from msgspec import Struct

from orchboard.coordinates import Coordinates
from orchboard.reports.coverage import RegionCoverage
from orchboard.reports.leaderboard import Estimate
from orchboard.reports.orchestrator import RegionRating
from orchboard.web.filters import Filters
from orchboard.web.marks import Dot, Label, place_labels, spread
from orchboard.web.projection import HEIGHT, WIDTH, position
from orchboard.web.rendering import format_count, format_score, format_seconds
from orchboard.web.state import PageState

LEVELS = ((0.85, "level-4"), (0.7, "level-3"), (0.5, "level-2"))
"""Classes of scores, by the lowest of each. Lower scores are `level-1`."""

MOST_ELSEWHERE = 12
"""Names of regions that are not on the map. The table has the others."""

_EVERYWHERE = "GLOBAL"

_SMALLEST, _LARGEST, _HOLLOW = 4.0, 8.0, 3.5
_MOST_CODE = 6

# Mean widths of characters at 11 pixels in DejaVu Sans, the widest of the fonts that a page gets.
_CAPITAL_PX, _DIGIT_PX, _SPACE_PX = 8.8, 7.1, 3.7


class Entry(Struct, frozen=True):
    """A region that is to be on a map.

    code, name -- of the region
    kind -- class of its dot
    results -- what the size of the dot shows; None: a small hollow dot
    text -- of the label, after the code
    title -- all that is known of it, in one line
    link -- to its view
    """

    code: str
    name: str
    kind: str
    results: int | None
    text: str
    title: str
    link: str


class Mark(Struct, frozen=True):
    """A region on the map. x, y -- in percent of the map; radius -- in pixels"""

    entry: Entry
    code: str
    x: str
    y: str
    radius: str
    label: Label | None


class RegionMap(Struct, frozen=True):
    """A map.

    marks -- by code
    elsewhere -- names of regions that are not on it
    more -- the number of further such regions
    size -- width and height of the drawing
    """

    marks: list[Mark]
    elsewhere: list[str]
    more: int
    size: tuple[float, float] = (WIDTH, HEIGHT)


def rating_map(
    rows: Sequence[RegionRating],
    medians: Mapping[str, float],
    filters: Filters,
    state: PageState,
    coordinates: Mapping[str, Coordinates],
) -> RegionMap:
    """The scores of an orchestrator by region. Other regions of the job type are hollow.

    medians -- seconds, by region
    """
    chosen = state.get("region")
    chosen = "" if chosen == _EVERYWHERE else chosen
    entries = [
        Entry(
            row.region,
            filters.region(row.region),
            _level(row.score),
            row.results + row.unscored,
            "–" if row.score is None else format_score(row.score.value),
            _rating_title(row, filters.region(row.region), medians.get(row.region)),
            state.link(region=row.region),
        )
        for row in rows
    ]
    rated = {row.region for row in rows}
    for code, name in filters.regions.items():
        if code in rated or code == _EVERYWHERE:
            continue
        is_left_out = bool(chosen) and code != chosen
        title = "not selected" if is_left_out else f"no results over {filters.window}"
        entries.append(
            Entry(code, name, "hollow", None, "", f"{_called(name, code)}: {title}", state.link(region=code))
        )
    return lay_out(entries, coordinates)


def coverage_map(
    rows: Sequence[RegionCoverage],
    filters: Filters,
    state: PageState,
    coordinates: Mapping[str, Coordinates],
    words: Mapping[str, str],
) -> RegionMap:
    """The results of the last 7 days by region. Regions of the job type without any are hollow.

    words -- by region with results: whether it is silent, and for how long
    """
    entries = [
        Entry(
            row.region,
            filters.region(row.region),
            "silent" if row.silent_since else "on-time",
            row.last_week,
            words[row.region].replace("silent for", "silent") if row.silent_since else "",
            f"{_called(filters.region(row.region), row.region)}: {words[row.region]}, "
            f"{_results(row.last_week)} in the last 7 days, {format_count(row.last_day)} in 24 hours",
            state.at("/", region=row.region),
        )
        for row in rows
    ]
    tested = {row.region for row in rows}
    entries += [
        Entry(
            code,
            name,
            "hollow",
            None,
            "",
            f"{_called(name, code)}: no results in the last 7 days",
            state.at("/", region=code),
        )
        for code, name in filters.regions.items()
        if code not in tested and code != _EVERYWHERE
    ]
    return lay_out(entries, coordinates)


def lay_out(entries: Iterable[Entry], coordinates: Mapping[str, Coordinates]) -> RegionMap:
    """Regions at their places on the map, and those without one in words."""
    placed: list[tuple[Entry, tuple[float, float]]] = []
    elsewhere: list[str] = []
    for entry in sorted(entries, key=lambda each: each.code):
        at = position(coordinates[entry.code]) if entry.code in coordinates else None
        if at is None:
            elsewhere.append(entry.name)
        else:
            placed.append((entry, at))
    most = max((entry.results or 0 for entry, _ in placed), default=0) or 1
    points = spread(tuple((x / WIDTH, y / WIDTH) for _, (x, y) in placed))
    points = [(min(max(x, 0.0), 1.0), min(max(y, 0.0), HEIGHT / WIDTH)) for x, y in points]
    dots = tuple(
        # The largest radius for all with results: labels then stay where they are while results arrive.
        Dot(
            x, y, _HOLLOW if entry.results is None else _LARGEST, _label_width(_short(entry.code), entry.text)
        )
        for (entry, _), (x, y) in zip(placed, points, strict=True)
    )
    labels = place_labels(dots, HEIGHT / WIDTH)
    marks = [
        Mark(
            entry,
            _short(entry.code),
            f"{dot.x * 100:.2f}%",
            f"{dot.y * WIDTH / HEIGHT * 100:.2f}%",
            f"{_radius(entry.results, most):.1f}",
            label,
        )
        for (entry, _), dot, label in zip(placed, dots, labels, strict=True)
    ]
    return RegionMap(marks, elsewhere[:MOST_ELSEWHERE], max(len(elsewhere) - MOST_ELSEWHERE, 0))


def _radius(results: int | None, most: int) -> float:
    """The area above the smallest is in proportion to the results."""
    return _HOLLOW if results is None else _SMALLEST + (_LARGEST - _SMALLEST) * sqrt(results / most)


def _level(score: Estimate | None) -> str:
    if score is None:
        return "unscored"
    return next((level for lowest, level in LEVELS if score.value >= lowest), "level-1")


def _rating_title(row: RegionRating, name: str, median: float | None) -> str:
    if row.score is None:
        return f"{_called(name, row.region)}: {_results(row.unscored, 'unscored ')}"
    half = (row.score.high - row.score.low) / 2
    parts = [f"score {format_score(row.score.value)} ± {format_score(half)}"]
    if median is not None:
        parts.append(f"median round trip {format_seconds(median)}")
    parts.append(
        _results(row.results) + (f" and {format_count(row.unscored)} unscored" if row.unscored else "")
    )
    return f"{_called(name, row.region)}: {', '.join(parts)}"


def _results(number: int, kind: str = "") -> str:
    return f"{format_count(number)} {kind}result{'' if number == 1 else 's'}"


def _called(name: str, code: str) -> str:
    return name if name == code else f"{name} ({code})"


def _short(code: str) -> str:
    return code if len(code) <= _MOST_CODE else f"{code[: _MOST_CODE - 1]}…"


def _label_width(code: str, text: str) -> float:
    return _CAPITAL_PX * len(code) + (_SPACE_PX + _DIGIT_PX * len(text) if text else 0)
