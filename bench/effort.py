"""How long a run takes its time."""

from msgspec import Struct


class Effort(Struct, frozen=True):
    """How often and how long things are measured.

    questions -- each uncached question, so many times
    rounds, seconds -- of what is measured in turns: so many rounds, each side so long in each (wrk wants whole ones)
    fire_s -- how long posts and questions come together
    starts -- of the server
    """

    questions: int = 25
    rounds: int = 7
    seconds: int = 3
    fire_s: float = 60.0
    starts: int = 7


QUICK = Effort(questions=5, rounds=1, seconds=1, fire_s=5.0, starts=1)
