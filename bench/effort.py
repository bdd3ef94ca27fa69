"""How long a run takes its time."""

from msgspec import Struct


class Effort(Struct, frozen=True):
    """How often and how long things are measured.

    questions -- each uncached question, so many times
    rounds, seconds -- of what is measured interleaved: so many rounds, each side so long
    fire_s -- how long posts and questions come together
    starts -- of the server
    """

    questions: int = 25
    rounds: int = 7
    seconds: float = 2.5
    fire_s: float = 60.0
    starts: int = 7


QUICK = Effort(questions=5, rounds=1, seconds=1.0, fire_s=5.0, starts=1)
