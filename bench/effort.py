"""How thorough a run is."""

from msgspec import Struct


class Effort(Struct, frozen=True):
    """How often and how long things are measured.

    questions -- repetitions of each uncached request
    rounds, seconds -- rounds of alternating measurements, and seconds of each side in a round (integers for wrk)
    fire_s -- seconds of the mixed load
    starts -- starts of the server
    """

    questions: int = 25
    rounds: int = 7
    seconds: int = 3
    mixed_load_s: float = 60.0
    starts: int = 7


QUICK = Effort(questions=5, rounds=1, seconds=1, mixed_load_s=5.0, starts=1)
