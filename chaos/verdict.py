"""What a proof gives."""

from enum import StrEnum

from msgspec import Struct


class Scale(StrEnum):
    """How much of it: a small one is for the tests, seconds; a full one for `make chaos`, minutes."""

    SMALL = "small"
    FULL = "full"


class Verdict(Struct, frozen=True):
    """One line of the table.

    promise -- what was promised, in a few words
    figure -- what was seen, with the numbers that make it mean something
    target -- what was promised, as a number
    is_met -- whether it held
    """

    promise: str
    figure: str
    target: str
    is_met: bool
