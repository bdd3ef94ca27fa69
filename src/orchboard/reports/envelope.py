"""What every answer of the analytics begins with."""

from datetime import datetime

from msgspec import Struct


class AnswerWindow(Struct, frozen=True):
    """The window as the server understood it.

    name -- the parameter `window`; null when `since` or `until` was given
    since -- its start; null: from the first result on
    until -- its end; the time of the answer for a window that ends now
    """

    name: str | None
    since: datetime | None
    until: datetime


class Envelope(Struct, frozen=True, kw_only=True):
    """What every answer begins with.

    generated_at -- when the answer was computed, by the database's clock
    last_result_at -- receipt time of the last result in the window that was asked for; null without one
    window -- as the server understood it
    results -- the number of results that were asked for, scored or not
    """

    generated_at: datetime
    last_result_at: datetime | None
    window: AnswerWindow
    results: int
