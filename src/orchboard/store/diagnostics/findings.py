"""The findings of checks."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """The severity of a finding. An error keeps the server from working."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True, rename={"message": "says"}):
    """The result of a check. In JSON, `message` is named `says`. remedy -- empty if there is nothing to do"""

    level: Level
    about: str
    message: str
    remedy: str = ""
