"""Write src/orchboard/web/static/land.svg, the land of the map of regions: `make map`.

Reads land-110m.json of the npm package world-atlas (ISC licence), which is Natural Earth's land at 1:110 million (public
domain) as TopoJSON. Projects it as the pages do, leaves out Antarctica and small islands, and simplifies the outlines.
"""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from orchboard.web.projection import CENTRAL_MERIDIAN, HEIGHT, WIDTH, place

LAND = Path(__file__).parents[2] / "src/orchboard/web/static/land.svg"

ANTARCTICA = -60.0
"""Latitude. Rings that are south of it are left out."""

TOLERANCE = 0.45
"""How far an outline may be from the original, of a width of 1000: half a pixel."""

SMALLEST = 1.5
"""Area of the smallest island. Smaller ones look like marks of regions."""

# Light and dark, as --map-land of orchboard.css would be: an image can't use the variables of the page.
STYLE = "path{fill:#dfe4dc}@media(prefers-color-scheme:dark){path{fill:#27302b}}"

Point = tuple[float, float]


def main(source: Path) -> None:
    """Write the file. source -- land-110m.json"""
    topology = msgspec.json.decode(source.read_bytes())
    rings = [_projected(ring) for ring in _rings(topology) if max(y for _, y in ring) > ANTARCTICA]
    simplified = [_simplify(ring) for ring in rings if abs(_area(ring)) >= SMALLEST]
    path = "".join(_path(ring) for ring in simplified)
    size = f"0 0 {WIDTH:g} {HEIGHT:g}"
    LAND.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" preserveAspectRatio="none">'
        f'<style>{STYLE}</style><path fill-rule="evenodd" d="{path}"/></svg>\n'
    )


def _rings(topology: dict[str, Any]) -> Iterator[list[Point]]:
    """The outlines of all land and lakes in degrees east of CENTRAL_MERIDIAN and north, each without a jump."""
    (scale_x, scale_y), (east, north) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for steps in topology["arcs"]:
        x = y = 0
        arc = []
        for step_x, step_y in steps:
            x, y = x + step_x, y + step_y
            arc.append((x * scale_x + east, y * scale_y + north))
        arcs.append(arc)
    for polygon in _polygons(topology["objects"]["land"]):
        for numbers in polygon:
            ring: list[Point] = []
            for number in numbers:
                arc = arcs[number] if number >= 0 else arcs[~number][::-1]
                ring += arc[1:] if ring else arc
            yield _unwrapped(ring)


def _polygons(geometry: dict[str, Any]) -> Iterator[list[list[int]]]:
    """The rings of each polygon, as numbers of arcs."""
    if geometry["type"] == "GeometryCollection":
        for each in geometry["geometries"]:
            yield from _polygons(each)
    else:
        yield from geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]


def _unwrapped(ring: list[Point]) -> list[Point]:
    """A ring across the antimeridian without the jump there, on the side where most of it is."""
    found, shift = [ring[0]], 0.0
    for (before, _), (longitude, latitude) in pairwise(ring):
        if abs(longitude - before) > 180:
            shift += 360 if longitude < before else -360
        found.append((longitude + shift, latitude))
    middle = sum(x for x, _ in found) / len(found) - CENTRAL_MERIDIAN
    turn = CENTRAL_MERIDIAN + 360 * round(middle / 360)
    return [(x - turn, y) for x, y in found]


def _projected(ring: list[Point]) -> list[Point]:
    return [place(latitude, longitude) for longitude, latitude in ring]


def _area(ring: list[Point]) -> float:
    """Negative for a ring that runs the other way."""
    return sum(x * other_y - other_x * y for (x, y), (other_x, other_y) in pairwise([*ring, ring[0]])) / 2


def _simplify(ring: list[Point]) -> list[Point]:
    """The ring without points that are within TOLERANCE of the rest (Ramer, Douglas and Peucker), without its last point."""
    kept = {0, len(ring) - 1}
    # The point furthest from the first, because a line from a point to itself has no direction.
    half = max(range(len(ring)), key=lambda at: _distance(ring[at], ring[0], ring[0]))
    open_ = [(0, half), (half, len(ring) - 1)]
    kept.add(half)
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        furthest = max(range(first + 1, last), key=lambda at: _distance(ring[at], ring[first], ring[last]))
        if _distance(ring[furthest], ring[first], ring[last]) > TOLERANCE:
            kept.add(furthest)
            open_ += [(first, furthest), (furthest, last)]
    return [ring[at] for at in sorted(kept)][:-1]


def _distance(point: Point, start: Point, end: Point) -> float:
    """Of a point from a line."""
    (x, y), (x1, y1), (x2, y2) = point, start, end
    length = (x2 - x1) ** 2 + (y2 - y1) ** 2
    part = max(0.0, min(1.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) if length else 0.0
    return float(((x - x1 - part * (x2 - x1)) ** 2 + (y - y1 - part * (y2 - y1)) ** 2) ** 0.5)


def _path(ring: list[Point]) -> str:
    """The commands of a closed path, in tenths; relative, which compresses better."""
    tenths = [(round(x * 10), round(y * 10)) for x, y in ring]
    x, y = tenths[0]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(tenths)]
    return f"M{_number(x)} {_number(y)}l" + "".join(map(_pair, steps)).lstrip() + "z"


def _pair(step: Point) -> str:
    return "".join(text if text.startswith("-") else f" {text}" for text in map(_number, step))


def _number(tenths: float) -> str:
    """A number of tenths in units, without a zero before the point."""
    return f"{tenths / 10:g}".replace("0.", ".", 1) if abs(tenths) < 10 else f"{tenths / 10:g}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
