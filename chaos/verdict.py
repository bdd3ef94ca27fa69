"""The result of an experiment."""

from enum import StrEnum

from msgspec import Struct


class Scale(StrEnum):
    """Size of an experiment: `small` takes seconds and runs in the tests, `full` takes minutes and is for `make chaos`."""

    SMALL = "small"
    FULL = "full"


class Verdict(Struct, frozen=True):
    """The result for one promise.

    promise -- the promise, in a few words
    figure -- the observation, with sample sizes
    target -- the promised value
    is_met -- whether the promise held
    """

    promise: str
    figure: str
    target: str
    is_met: bool
