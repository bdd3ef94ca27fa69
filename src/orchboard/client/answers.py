"""The documents of the API as Python values. Unknown members are ignored; a null list is an empty one."""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from orchboard.stats import Pipeline, ScoresByPair, Stats, TopScore

T = TypeVar("T")


class RawResult(Stats, frozen=True, kw_only=True):
    """A stored result: the fields of Stats, zero where the server left them out.

    extra_fields -- the members that the contract does not name, such as `test_outcome`
    """

    extra_fields: dict[str, Any] = field(default_factory=dict)


class ServerRegion(Struct, frozen=True):
    """A region, for one job type.

    id -- upper-case region code
    name -- for people
    type -- the job type: a value of JobType, or one that a newer server has added
    """

    id: str
    name: str
    type: str


class _Regions(Struct):
    regions: tuple[ServerRegion, ...] | None


class _Pipeline(Struct):
    id: str
    models: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None


class _Pipelines(Struct):
    pipelines: tuple[_Pipeline, ...] | None


_FIELDS = frozenset(Stats.__struct_fields__)


def decode(body: bytes, kind: type[T]) -> T:
    """The document of that type. Raises ValueError."""
    return msgspec.json.decode(body, type=kind)


def decode_scores(body: bytes) -> ScoresByPair:
    """Of aggregated_stats. Raises ValueError."""
    return decode(body, ScoresByPair)


def decode_raw(body: bytes) -> dict[str, list[RawResult]]:
    """Of raw_stats. Raises ValueError."""
    regions = decode(body, dict[str, list[dict[str, Any]] | None])
    return {region: [_raw_result(row) for row in rows or ()] for region, rows in regions.items()}


def _raw_result(row: dict[str, Any]) -> RawResult:
    fields = {name: value for name, value in row.items() if name in _FIELDS and value is not None}
    extra_fields = {name: value for name, value in row.items() if name not in _FIELDS}
    return msgspec.convert({**fields, "extra_fields": extra_fields}, RawResult)


def decode_regions(body: bytes) -> tuple[ServerRegion, ...]:
    """Of regions. Raises ValueError."""
    return decode(body, _Regions).regions or ()


def decode_pipelines(body: bytes) -> tuple[Pipeline, ...]:
    """Of pipelines. Raises ValueError."""
    found = decode(body, _Pipelines).pipelines or ()
    return tuple(Pipeline(one.id, one.models or (), one.regions or ()) for one in found)


def decode_top(body: bytes) -> TopScore | None:
    """Of top_ai_score; None for the empty object. Raises ValueError."""
    return decode(body, TopScore) if decode(body, dict[str, Any]) else None
