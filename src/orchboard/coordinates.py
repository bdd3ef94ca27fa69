"""Coordinates of regions: latitude and longitude by region code, from CSV documents."""

import csv
import io
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError

COLUMNS = ("id", "latitude", "longitude")


class Coordinates(Struct, frozen=True):
    """A point on the earth, in decimal degrees.

    latitude -- -90 to 90, north is positive
    longitude -- -180 to 180, east is positive; both are the antimeridian
    """

    latitude: float
    longitude: float


@cache
def default_coordinates() -> Mapping[str, Coordinates]:
    """The coordinates of the regions that a new database has, by code; GLOBAL has none."""
    document = files("orchboard.store.directories").joinpath("regions.csv").read_text("utf-8")
    return {code: found for code, found in read_coordinates(document).items() if found is not None}


def read_coordinates(document: str) -> dict[str, Coordinates | None]:
    """The coordinates in a CSV document with COLUMNS, named in its first line; None for a region whose two cells are empty.

    Other columns are ignored, and codes are converted to upper case. Raises BadInputError that names the line and the value.
    """
    rows = csv.reader(io.StringIO(document, newline=""), strict=True)
    header: list[str] = []
    found: dict[str, Coordinates | None] = {}
    lines: dict[str, int] = {}
    try:
        for row in rows:
            if not row:
                continue
            if not header:
                header = [cell.strip().lower() for cell in row]
                if not set(COLUMNS) <= set(header):
                    raise BadInputError(f"line {rows.line_num}: it must name the columns {','.join(COLUMNS)}")
                continue
            code, place = _parse_row(header, row, rows.line_num)
            if code in found and found[code] != place:
                raise BadInputError(
                    f"line {rows.line_num}: {code} has other coordinates in line {lines[code]}"
                )
            found[code] = place
            lines.setdefault(code, rows.line_num)
            if len(found) > limits.MAX_COORDINATES_IN_FILE:
                raise BadInputError(f"it has more than {limits.MAX_COORDINATES_IN_FILE:,} regions")
    except csv.Error as error:
        raise BadInputError(f"line {rows.line_num}: not valid CSV: {error}") from None
    if not header:
        raise BadInputError(f"it is empty: its first line must be `{','.join(COLUMNS)}`")
    return found


def _parse_row(header: list[str], row: list[str], line: int) -> tuple[str, Coordinates | None]:
    if len(row) != len(header):
        raise BadInputError(f"line {line}: {len(row)} values, not {len(header)}")
    code, latitude, longitude = (row[header.index(name)].strip() for name in COLUMNS)
    if not code:
        raise BadInputError(f"line {line}: the id is empty")
    if not latitude and not longitude:
        return code.upper(), None
    return code.upper(), Coordinates(
        _parse_degrees("latitude", latitude, 90, line), _parse_degrees("longitude", longitude, 180, line)
    )


def _parse_degrees(name: str, text: str, most: int, line: int) -> float:
    try:
        degrees = float(text)
    except ValueError:
        degrees = math.nan
    if not -most <= degrees <= most:
        raise BadInputError(
            f"line {line}: {name} must be decimal degrees from -{most} to {most}, not {text[:40]!r}"
        )
    return degrees
