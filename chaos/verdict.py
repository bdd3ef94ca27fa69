"""The result of a scenario."""

from enum import StrEnum

from msgspec import Struct


class Scale(StrEnum):
    """The length of a scenario: small takes seconds, for the tests; full takes minutes, for `make chaos`."""

    SMALL = "small"
    FULL = "full"


class SkippedError(Exception):
    """A scenario that can't run on this machine. The message is the reason, in a sentence."""


class Verdict(Struct, frozen=True):
    """A row of the report.

    promise -- the promise in a few words
    figure -- what was observed, with numbers
    target -- the promise as a number
    is_met -- whether it holds
    """

    promise: str
    figure: str
    target: str
    is_met: bool
