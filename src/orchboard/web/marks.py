"""Room for marks on a map: dots that do not hide each other, and labels that do not collide. Pure geometry, in pixels."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from math import hypot

from msgspec import Struct

WIDTHS = (720.0, 840.0, 960.0, 1152.0)
"""Widths of the map at which labels are shown. Between them, distances grow in proportion and labels keep their size."""

NEAREST = 11.0
"""Minimum distance of two dots at the smallest of WIDTHS: regions of one city are moved apart."""

MOST_LABELS = 40
"""Of more dots only the first have labels: the time to place them grows with the square."""

_LINE_HEIGHT = 13.0
_GAP = 3.0

# Right, left, below and above, then the corners: the order in which a label is tried.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_FAR = (0.0, 12.0, 22.0)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Dot(Struct, frozen=True):
    """A dot and its label, on a map of width 1.

    x, y -- of its centre
    radius, label_width -- in pixels, at every width of the map
    """

    x: float
    y: float
    radius: float
    label_width: float


class Label(Struct, frozen=True):
    """Where a label is, in pixels from the centre of its dot.

    x, y -- of the text's anchor on its base line
    anchor -- of the text: `start`, `middle` or `end`
    line -- end of a line from the dot to the label; None: the label is beside the dot
    """

    x: float
    y: float
    anchor: str
    line: tuple[float, float] | None


def spread(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points on a map of width 1, moved until each two are NEAREST apart, as far as 60 rounds do it."""
    places = [(x * WIDTHS[0], y * WIDTHS[0]) for x, y in points]
    for _ in range(60):
        is_free = True
        for one, other in combinations(range(len(places)), 2):
            (x, y), (other_x, other_y) = places[one], places[other]
            if abs(other_x - x) >= NEAREST or abs(other_y - y) >= NEAREST:
                continue
            apart = hypot(other_x - x, other_y - y)
            if apart >= NEAREST - 0.01:
                continue
            is_free = False
            along, up = ((other_x - x) / apart, (other_y - y) / apart) if apart else (1.0, 0.0)
            step = (NEAREST - apart) / 2
            places[one] = (x - along * step, y - up * step)
            places[other] = (other_x + along * step, other_y + up * step)
        if is_free:
            break
    return [(x / WIDTHS[0], y / WIDTHS[0]) for x, y in places]


@lru_cache(maxsize=64)
def place_labels(dots: tuple[Dot, ...], height: float) -> list[Label | None]:
    """The label of each dot; None if it has no room that is free at all WIDTHS.

    A label has no room where another label or any dot is, or beyond the map. Those with the fewest possibilities are placed first.

    height -- of the map of width 1
    """
    shown = range(min(len(dots), MOST_LABELS))
    obstacles = [[_box_of(dot, width) for dot in dots] for width in WIDTHS]
    free = {
        at: [
            each
            for each in _candidates(dots[at])
            if _is_free(each, at, dots, obstacles, height)
        ]
        for at in shown
    }  # fmt: skip
    found: list[Label | None] = [None] * len(dots)
    taken: list[list[Box]] = [[] for _ in WIDTHS]
    for at in sorted(shown, key=lambda each: (len(free[each]), each)):
        for label, box in free[at]:
            boxes = [_moved(box, dots[at], width) for width in WIDTHS]
            if not any(
                _overlap(own, other) for own, held in zip(boxes, taken, strict=True) for other in held
            ):
                found[at] = label
                for held, own in zip(taken, boxes, strict=True):
                    held.append(own)
                break
    return found


def _candidates(dot: Dot) -> Iterator[tuple[Label, Box]]:
    """Labels of a dot, the best first, and their boxes around it."""
    half = _LINE_HEIGHT / 2
    for far in _FAR:
        for across, down in _SIDES:
            reach = dot.radius + _GAP + far
            diagonal = 0.75 if across and down else 1.0
            x, middle = across * reach * diagonal, down * (reach + half) * diagonal
            anchor = {1: "start", -1: "end", 0: "middle"}[across]
            left = {1: x, -1: x - dot.label_width, 0: -dot.label_width / 2}[across]
            line = None
            if far:
                line = (across * (reach - 1) * diagonal, down * (reach - 1) * diagonal)
            yield (
                Label(x, middle + 4, anchor, line),
                (left, middle - half, left + dot.label_width, middle + half),
            )


def _is_free(
    candidate: tuple[Label, Box],
    at: int,
    dots: tuple[Dot, ...],
    obstacles: Sequence[Sequence[Box]],
    height: float,
) -> bool:
    for width, boxes in zip(WIDTHS, obstacles, strict=True):
        box = _moved(candidate[1], dots[at], width)
        if box[0] < 2 or box[1] < 0 or box[2] > width - 2 or box[3] > height * width:
            return False
        if any(_overlap(box, other) for number, other in enumerate(boxes) if number != at):
            return False
    return True


def _box_of(dot: Dot, width: float) -> Box:
    size = dot.radius + 1
    return _moved((-size, -size, size, size), dot, width)


def _moved(box: Box, dot: Dot, width: float) -> Box:
    x, y = dot.x * width, dot.y * width
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
