"""The answer of GET /badge/{address}.json."""

from typing import Literal, TypeAlias

from msgspec import Struct

BadgeColor: TypeAlias = Literal["brightgreen", "orange", "red", "lightgrey"]


class Badge(Struct, frozen=True, kw_only=True, rename="camel"):
    """A badge in the form of shields.io's endpoint badges.

    schemaVersion -- of this form
    label -- what is shown: the metric, the window and the filters
    message -- the number, or why there is none
    color -- shields.io's name of the color of the message
    """

    schema_version: Literal[1] = 1
    label: str
    message: str
    color: BadgeColor
