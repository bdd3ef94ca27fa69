"""The differences between answers or pages and expected ones."""

import math
from collections.abc import Iterator
from typing import Any

from orchboard.web.rendering import format_percent, format_score


def differing_rows(found: list[list[str]], expected: list[list[Any]], path: str) -> Iterator[str]:
    """The differences between the rows of a page and the expected names and numbers."""
    if len(found) != len(expected) or any(map(lambda one, other: len(one) != len(other), found, expected)):
        yield f"{path}: {found}, not {expected}"
        return
    for texts, values in zip(found, expected, strict=True):
        for text, value in zip(texts, values, strict=True):
            if not is_shown(text, value):
                yield f"{path}: {text!r} in {texts}, not {value!r} of {values}"


def is_shown(text: str, value: Any) -> bool:
    """Whether a cell shows a value. Numbers may differ by the error of summation."""
    if isinstance(value, tuple):
        name, number = value
        return text.startswith(f"{name} ") and is_shown(text.removeprefix(f"{name} "), number)
    if isinstance(value, float):
        format_ = format_percent if text.endswith("%") else format_score
        return text in {format_(value * (1 + off) + off) for off in (-1e-9, 0, 1e-9)}
    return text == str(value) or text.endswith(f" {value}")


def json_differences(found: Any, expected: Any, path: str) -> Iterator[str]:
    """The differences between two answers. Numbers may differ by 1e-9."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for name in found:
            yield from json_differences(found[name], expected[name], f"{path} {name}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from json_differences(one, other, f"{path} {place}")
    elif _is_number(found) and _is_number(expected) and float in (type(found), type(expected)):
        if not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{path}: {found!r}, not {expected!r}"
    elif found != expected or isinstance(found, bool) is not isinstance(expected, bool):
        yield f"{path}: {found!r}, not {expected!r}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
