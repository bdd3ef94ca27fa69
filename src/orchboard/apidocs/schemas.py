"""JSON Schemas of requests and answers, made from their types and the docstrings of these."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from orchboard import limits
from orchboard.api.aggregated_stats import AggregatedScores
from orchboard.results.parse import SentError, SentStats
from orchboard.stats import ErrorCount, Stats

REF = "#/components/schemas/"

# Types whose members are described in another type's docstring.
_DESCRIBED_BY: dict[type, type] = {SentStats: Stats, SentError: ErrorCount}

_NUMBERS_ONLY = {"additionalProperties": {"type": "number"}}
_ALLOWS_MORE_MEMBERS = {"additionalProperties": True}
_NAME = {"maxLength": limits.MAX_NAME_CHARACTERS}

# Constraints that the types can't express.
_BESIDES: dict[type, dict[str, Any]] = {
    AggregatedScores: _NUMBERS_ONLY,
    Stats: _ALLOWS_MORE_MEMBERS,
    SentStats: _ALLOWS_MORE_MEMBERS | {"required": ["region", "orchestrator"]},
}
_MEMBERS_BESIDES: dict[type, dict[str, dict[str, Any]]] = {
    SentStats: {
        "region": {"type": "string", "minLength": 1},
        "orchestrator": {
            "type": "string",
            "minLength": 1,
            "maxLength": limits.MAX_ORCHESTRATOR_CHARACTERS,
            "pattern": r"\S",
        },
        "pipeline": _NAME,
        "model": _NAME,
    },
}
_LEFT_OUT = {(ErrorCount, "message")}
"""Members that are missing in answers when they are empty."""


def schemas_of(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each type, and the named schemas that they refer to."""
    schemas, components = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    known = {struct.__name__: struct for struct in _structs()}
    return list(schemas), {
        name: _finished(known[name], schema) if name in known else _described(schema)
        for name, schema in sorted(components.items())
    }


def member_notes(struct: type) -> dict[str, str]:
    """The descriptions of members in a docstring: its lines `name, name -- text`, with their continuation lines.

    >>> member_notes(ErrorCount)["count"]
    'may be negative: a known tester miscounts'
    """
    notes: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(struct) or "").splitlines():
        if found := re.fullmatch(r"([a-zA-Z0-9_]+(?:, [a-zA-Z0-9_]+)*) -- (.+)", line):
            names = found[1].split(", ")
            notes |= dict.fromkeys(names, found[2])
        elif not line:
            names = []
        else:
            notes |= {name: f"{notes[name]} {line.strip()}" for name in names}
    return notes


def _structs() -> Iterable[type]:
    waiting: list[type] = [Struct]
    while waiting:
        struct = waiting.pop()
        waiting += struct.__subclasses__()
        yield struct


def _finished(struct: type, schema: dict[str, Any]) -> dict[str, Any]:
    notes: dict[str, str] = {}
    for described in (*reversed(struct.__mro__), _DESCRIBED_BY.get(struct, struct), struct):
        notes |= member_notes(described)
    besides = _MEMBERS_BESIDES.get(struct, {})
    sent = struct in _DESCRIBED_BY
    members = {
        name: _plain(member) | ({"description": notes[name]} if name in notes else {}) | besides.get(name, {})
        for name, member in schema["properties"].items()
    }
    always = [
        name
        for name, member in schema["properties"].items()
        if not sent
        and (name in schema["required"] or "default" in member)
        and (struct, name) not in _LEFT_OUT
    ]
    required = {"required": always} if always else {}
    del schema["required"]
    return _described(schema) | {"properties": members} | required | _BESIDES.get(struct, {})


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without its title, which repeats the name; the description without those of members."""
    paragraphs = inspect.cleandoc(schema.get("description", "")).split("\n\n")
    text = " ".join(" ".join(paragraph.split()) for paragraph in paragraphs if " -- " not in paragraph)
    return {key: value for key, value in schema.items() if key != "title"} | {"description": text}


def _plain(member: dict[str, Any]) -> dict[str, Any]:
    """The schema without its default, and with "type or null" in one `type`."""
    alternatives: list[dict[str, Any]] = member.get("anyOf", [])
    if len(alternatives) == 2 and alternatives[1] == {"type": "null"} and "type" in alternatives[0]:
        return alternatives[0] | {"type": [alternatives[0]["type"], "null"]}
    return {key: value for key, value in member.items() if key != "default"}
