"""Room for marks on a map: dots that do not hide each other, and labels that do not collide. Pure geometry, in pixels."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from math import hypot

from msgspec import Struct

NARROWEST, WIDEST = 720.0, 960.0
"""Widths between which the map shows labels. In between, distances grow in proportion and labels keep their size."""

NEAREST = 12.0
"""Minimum distance of two dots at the narrowest width: regions of one city are moved apart."""

MOST_ARRANGED = 40
"""More dots are neither moved nor labelled: the time grows with the square, up to 0.3 s of a processor for this number and 0.03 s for the
regions of a new database. The arrangement is cached."""

_LINE_HEIGHT = 13.0
_GAP = 3.0
_PADDING = 2.0
_MOST_MOVED = 2
_MOST_TRIES = 300

# Right, left, below and above, then the corners: the order in which a label is tried.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_FAR = (0.0, 12.0, 26.0, 44.0)

Box = tuple[float, float, float, float, float, float, float, float]
"""Left, top, right and bottom at NARROWEST, then at WIDEST."""


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


@lru_cache(maxsize=64)
def spread(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Points on a map of width 1, moved until each two are NEAREST apart, as far as 60 rounds do it.

    More than MOST_ARRANGED are not moved.
    """
    if len(points) > MOST_ARRANGED:
        return list(points)
    places = [(x * NARROWEST, y * NARROWEST) for x, y in points]
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
    return [(x / NARROWEST, y / NARROWEST) for x, y in places]


@lru_cache(maxsize=256)
def place_labels(dots: tuple[Dot, ...], height: float) -> list[Label | None]:
    """The label of each dot; None if it has no room that is free at all widths.

    A label has no room where another label or any dot is, where its line crosses another, or beyond the map. Those with the fewest possibilities are placed first.
    One without room takes that of others, if these then find another. In the end each takes the best room that is left.

    height -- of the map of width 1
    """
    if len(dots) > MOST_ARRANGED:
        return [None] * len(dots)
    placing = _Placing(dots, height)
    order = sorted(range(len(placing.free)), key=lambda each: (len(placing.free[each]), each))
    for at in order:
        placing.place(at)
    for at in order:
        if at not in placing.placed:
            placing.make_room(at, depth=2)
    for at in order + order:
        placing.improve(at)
    return [placing.placed[at].label if at in placing.placed else None for at in range(len(dots))]


class _Candidate(Struct, frozen=True, eq=False):
    """A label, the boxes of its text and of pieces of its line, and the ends of the line as a box."""

    label: Label
    text: Box
    line: tuple[Box, ...]
    ends: Box | None

    def collides(self, other: "_Candidate") -> bool:
        return (
            _overlap(self.text, other.text)
            or any(_overlap(self.text, box) for box in other.line)
            or any(_overlap(box, other.text) for box in self.line)
            or (self.ends is not None and other.ends is not None and _cross(self.ends, other.ends))
        )


class _Placing:
    """Labels that are being placed.

    free -- the candidates of each dot that do not hide a dot, the best first
    placed -- the chosen one of each dot that has one
    tries -- how often labels may still be moved
    """

    def __init__(self, dots: tuple[Dot, ...], height: float) -> None:
        boxes = [_box_of(dot) for dot in dots]
        self.placed: dict[int, _Candidate] = {}
        self.tries = _MOST_TRIES
        self.free = [
            [each for each in _candidates(dot) if _is_free(each, boxes[:at] + boxes[at + 1 :], height)]
            for at, dot in enumerate(dots)
        ]

    def place(self, at: int) -> bool:
        """Place one label, if there is room; whether there was."""
        for candidate in self.free[at]:
            if not any(candidate.collides(other) for other in self.placed.values()):
                self.placed[at] = candidate
                return True
        return False

    def improve(self, at: int) -> None:
        """Move a label to the best place that is free now."""
        if self.placed.pop(at, None) is not None:
            self.place(at)

    def make_room(self, at: int, depth: int) -> bool:
        """Place one label in the room of at most two others, if these can be placed again; whether it was.

        depth -- how many times labels may be moved for one that was moved
        """
        before = dict(self.placed)
        for candidate in self.free[at]:
            if self.tries == 0:
                return False
            self.tries -= 1
            moved = [other for other, held in self.placed.items() if candidate.collides(held)]
            if len(moved) > _MOST_MOVED:
                continue
            for other in moved:
                del self.placed[other]
            self.placed[at] = candidate
            if all(self.place(other) for other in moved):
                return True
            if depth > 1 and all(
                other in self.placed or self.place(other) or self._moves(other, at, depth) for other in moved
            ):
                return True
            self.placed = dict(before)
        return False

    def _moves(self, other: int, at: int, depth: int) -> bool:
        return self.make_room(other, depth - 1) and at in self.placed


def _candidates(dot: Dot) -> Iterator[_Candidate]:
    """The labels that a dot may have, the best first."""
    half = _LINE_HEIGHT / 2
    for far in _FAR:
        for across, down in _SIDES:
            diagonal = 0.75 if across and down else 1.0
            reach = dot.radius + _GAP + far
            x, middle = across * reach * diagonal, down * (reach + half) * diagonal
            anchor = {1: "start", -1: "end", 0: "middle"}[across]
            left = {1: x, -1: x - dot.label_width, 0: -dot.label_width / 2}[across]
            text = left - _PADDING, middle - half, left + dot.label_width + _PADDING, middle + half
            line, pieces = None, []
            if far:
                line = (across * (reach - 1) * diagonal, down * (reach - 1) * diagonal)
                points = [(line[0] * part, line[1] * part) for part in (0.5, 0.75, 0.95)]
                pieces = [(at_x - 1, at_y - 1, at_x + 1, at_y + 1) for at_x, at_y in points]
            yield _Candidate(
                Label(x, middle + 4, anchor, line),
                _around(dot, *text),
                tuple(_around(dot, *each) for each in pieces),
                _around(dot, 0, 0, *line) if line else None,
            )


def _is_free(candidate: _Candidate, dots: Sequence[Box], height: float) -> bool:
    """Whether a label is on the map and hides no other dot."""
    left, top, _, bottom, wide_left, wide_top, wide_right, wide_bottom = candidate.text
    right = candidate.text[2]
    if min(left, top, wide_left, wide_top) < 0 or right > NARROWEST or wide_right > WIDEST:
        return False
    if bottom > height * NARROWEST or wide_bottom > height * WIDEST:
        return False
    boxes = (candidate.text, *candidate.line)
    return not any(_overlap(box, other) for other in dots for box in boxes)


def _cross(one: Box, other: Box) -> bool:
    """Whether two lines cross at the narrowest or the widest map."""
    return any(
        _side(one, other, at, 0) * _side(one, other, at, 2) < 0
        and _side(other, one, at, 0) * _side(other, one, at, 2) < 0
        for at in (0, 4)
    )


def _side(line: Box, of: Box, at: int, end: int) -> float:
    """On which side of a line the end of another is."""
    x, y, to_x, to_y = line[at : at + 4]
    return (to_x - x) * (of[at + end + 1] - y) - (to_y - y) * (of[at + end] - x)


def _box_of(dot: Dot) -> Box:
    size = dot.radius + 1
    return _around(dot, -size, -size, size, size)


def _around(dot: Dot, left: float, top: float, right: float, bottom: float) -> Box:
    x, y, wide_x, wide_y = dot.x * NARROWEST, dot.y * NARROWEST, dot.x * WIDEST, dot.y * WIDEST
    narrow = x + left, y + top, x + right, y + bottom
    return *narrow, wide_x + left, wide_y + top, wide_x + right, wide_y + bottom


def _overlap(one: Box, other: Box) -> bool:
    """Whether two boxes may overlap at any width: not if one side lies apart at both ends, as places move in proportion to the width."""
    return not (
        (one[2] <= other[0] and one[6] <= other[4])
        or (other[2] <= one[0] and other[6] <= one[4])
        or (one[3] <= other[1] and one[7] <= other[5])
        or (other[3] <= one[1] and other[7] <= one[5])
    )
