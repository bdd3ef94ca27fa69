"""Where a point of the earth is on the map of the pages: the Equal Earth projection, cut to the inhabited latitudes."""

import math

from orchboard.coordinates import Coordinates

WIDTH, HEIGHT = 1000.0, 433.0
"""The size of the map. `static/land.svg` has this view box."""

CENTRAL_MERIDIAN = 11.0
"""Degrees. The map's left and right edges are then 169° W: between Alaska and Chukotka, thus no continent is cut."""

NORTH = 83.7
"""The latitude of the upper edge: the north of Greenland. The lower edge is that of HEIGHT, south of Cape Horn."""

_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_M = math.sqrt(3) / 2


def equal_earth(latitude: float, longitude: float) -> tuple[float, float]:
    """x and y on a sphere of radius 1, from degrees; y grows to the north.

    B. Šavrič, T. Patterson and B. Jenny: The Equal Earth map projection. International Journal of Geographical Information
    Science, 2018.

    >>> [round(each, 4) for each in equal_earth(0, 180)], [round(each, 4) for each in equal_earth(90, 0)]
    ([2.7066, 0.0], [0.0, 1.3174])
    """
    theta = math.asin(_M * math.sin(math.radians(latitude)))
    square = theta * theta
    sixth = square**3
    slope = _A1 + 3 * _A2 * square + sixth * (7 * _A3 + 9 * _A4 * square)
    x = math.radians(longitude) * math.cos(theta) / (_M * slope)
    return x, theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))


_EDGE = equal_earth(0, 180)[0]
_SCALE = WIDTH / (2 * _EDGE)
_TOP = equal_earth(NORTH, 0)[1]


def place(latitude: float, longitude: float) -> tuple[float, float]:
    """x and y on the map, from the upper left corner.

    longitude -- degrees east of CENTRAL_MERIDIAN: beyond 180 for a part of a continent across the map's edge
    """
    x, y = equal_earth(latitude, longitude)
    return (x + _EDGE) * _SCALE, (_TOP - y) * _SCALE


def position(coordinates: Coordinates) -> tuple[float, float] | None:
    """x and y on the map; None for a place north or south of it.

    >>> [round(each) for each in position(Coordinates(0, CENTRAL_MERIDIAN)) or ()]
    [500, 239]
    """
    east = (coordinates.longitude - CENTRAL_MERIDIAN + 180) % 360 - 180
    x, y = place(coordinates.latitude, east)
    return (x, y) if 0 <= y <= HEIGHT else None
