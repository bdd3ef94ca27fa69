"""Usage errors in the style of the other error messages."""

from __future__ import annotations

from shlex import quote
from typing import Literal, get_args, get_origin

from cyclopts import (
    Argument,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

_WANTED = {int: "a whole number", float: "a number", bool: "no value"}


def explain(error: CycloptsError) -> str:
    """One sentence that names the wrong word, argument or option, and the help to read."""
    called = " ".join(("orchboard", *(error.command_chain or ())))
    return f"{_problem(error)}; see `{called} --help`"


def refuse_options(_: object, files: str | tuple[str, ...]) -> None:
    """Validate file names: reject misspelt options, but accept `-`. Raises ValueError."""
    for file in (files,) if isinstance(files, str) else files:
        if file.startswith("-") and file != "-":
            raise ValueError(f"there is no option {file}")


def _problem(error: CycloptsError) -> str:
    unused = error.unused_tokens or []
    if isinstance(error, UnknownCommandError):
        return f"there is no command {quote(unused[0])}{_suggestion(str(error))}"
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument{'s' * (len(unused) > 1)}: {' '.join(map(quote, unused))}"
    if isinstance(error, MissingArgumentError) and error.argument:
        named = error.keyword or _name(error.argument)
        return f"{named} needs a value" if named.startswith("-") else f"the argument {named} is missing"
    if isinstance(error, UnknownOptionError):
        return f"there is no option {error.token.keyword or error.token.value}{_suggestion(str(error))}"
    if isinstance(error, CoercionError) and error.token and error.argument and error.target_type in _WANTED:
        named = error.token.keyword or _name(error.argument)
        return f"{named} takes {_WANTED[error.target_type]}, not {quote(error.token.value)}"
    if isinstance(error, CoercionError) and error.token and get_origin(error.target_type) is Literal:
        choices = ", ".join(map(str, get_args(error.target_type)))
        return f"{quote(error.token.value)} is not one of {choices}"
    if isinstance(error, ValidationError):
        return error.exception_message
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice"
    error.verbose = False
    return str(error).rstrip(".")


def _name(argument: Argument) -> str:
    """The name in the help: `--port`, or `FILE` for a positional argument."""
    name = argument.name
    return name if name.startswith("-") and argument.field_info.is_keyword else name.lstrip("-").upper()


def _suggestion(said: str) -> str:
    """The suggestion of cyclopts."""
    _, found, guess = said.partition("Did you mean ")
    return f" (did you mean {guess.partition('?')[0].replace(chr(34), '')}?)" if found else ""
