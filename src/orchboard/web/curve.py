"""The figures of GET /methods: speed over the round trip, with one point marked."""

from collections.abc import Sequence
from functools import cache

from msgspec import Struct

from orchboard.stats import JobType

LEFT, TOP, WIDTH, HEIGHT = 34.0, 26.0, 312.0, 160.0
"""The area of the curve in the figure, which is 360 × 230."""

ENDS = (4, 10, 20)
"""The ratios at which the horizontal axis may end, the shortest first."""

_TICKS = {4: 1, 10: 2, 20: 5}
_STEPS = 120


class Mark(Struct, frozen=True):
    """The point of a calculator. is_beyond -- whether it is to the right of the figure, and is drawn at its edge"""

    x: float
    y: float
    speed: float
    is_beyond: bool

    @property
    def is_right(self) -> bool:
        """Whether its label is to the left of it."""
        return self.x > LEFT + 0.7 * WIDTH


class Curve(Struct, frozen=True):
    """A figure.

    path -- of the curve; ticks -- position and number, of each axis
    mark -- None without a point
    """

    path: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    mark: Mark | None


def curve(job_type: JobType, ratio: float | None, speed: float | None) -> Curve:
    """The figure of a job type.

    ratio -- of the point; None: infinite; speed -- None: no point
    """
    ends = [end for end in ENDS if ratio is not None and ratio <= end]
    end = ends[0] if ends else ENDS[-1 if speed is not None else 0]
    mark = None
    if speed is not None:
        at = float(end) if ratio is None else min(ratio, float(end))
        mark = Mark(_x(at, end), _y(speed), speed, is_beyond=not ends)
    return Curve(
        _path(job_type, end),
        [(_x(tick, end), str(tick)) for tick in range(0, end + 1, _TICKS[end])],
        [(_y(tick / 4), f"{tick / 4:g}") for tick in range(5)],
        mark,
    )


def speeds(job_type: JobType, ratios: Sequence[float]) -> list[float]:
    """The speed at each ratio of a round trip to its reference: the segment's duration, or the median for AI."""
    from orchboard.scoring import ai_round_trip_score, transcoding_round_trip_score  # numpy takes 0.2 s

    of_one = [1.0] * len(ratios)
    if job_type is JobType.AI:
        return list(map(float, ai_round_trip_score(ratios, of_one)))
    return list(map(float, transcoding_round_trip_score(of_one, ratios)))


@cache
def _path(job_type: JobType, end: int) -> str:
    # The limit at 0 is 1 for both, but for transcoding a round trip of exactly 0 scores 0.
    ratios = [max(end * step / _STEPS, 1e-9) for step in range(_STEPS + 1)]
    points = zip(ratios, speeds(job_type, ratios), strict=True)
    return "M" + "L".join(f"{_x(ratio, end):.1f} {_y(speed):.1f}" for ratio, speed in points)


def _x(ratio: float, end: int) -> float:
    return round(LEFT + WIDTH * ratio / end, 1)


def _y(speed: float) -> float:
    return round(TOP + HEIGHT * (1 - speed), 1)
