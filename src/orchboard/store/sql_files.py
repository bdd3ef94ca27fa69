"""Loads SQL statements by name. Each is a file in the `sql/` directory of the package that runs it, or in `store/sql/`
if several packages do.

Two macros are expanded, with constants only:

{each measure: sum(e.@) AS @} -- the text for each of MEASURES, separated by commas; @ is its name, # its
    number from 1
{include name} -- the text of `name.sql` without its header and its semicolon, for what two statements share
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from orchboard.store.measures import MEASURES


@cache
def sql(name: str) -> str:
    """The text of `<name>.sql` in any `sql/` directory of `store/`; names are unique. Read once per process.

    Raises KeyError for an unknown name.
    """
    text = _files()[f"{name}.sql"].read_text("utf-8")
    return re.sub(r"\{(each measure:|include) (.*?)\}", _expand, text)


def _expand(macro: re.Match[str]) -> str:
    if macro[1] == "include":
        return re.sub(r"\A(--.*\n)*|;\s*\Z", "", sql(macro[2]))
    measures = enumerate(MEASURES, 1)
    return ", ".join(macro[2].replace("@", measure).replace("#", str(number)) for number, measure in measures)


@cache
def _files() -> dict[str, Traversable]:
    store = files("orchboard.store")
    rooms = (store, *(entry for entry in store.iterdir() if entry.is_dir()))
    return {file.name: file for room in rooms for file in _statements(room.joinpath("sql"))}


def _statements(directory: Traversable) -> Iterator[Traversable]:
    return (
        (file for file in directory.iterdir() if file.name.endswith(".sql"))
        if directory.is_dir()
        else iter(())
    )
