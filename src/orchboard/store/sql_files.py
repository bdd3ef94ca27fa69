"""Loads SQL statements by name. Each is a file in the `sql/` directory of the package that runs it, or in `store/sql/`
if several packages do."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def sql(name: str) -> str:
    """The text of `<name>.sql` in any `sql/` directory of `store/`; names are unique. Read once per process.

    Raises KeyError for an unknown name.
    """
    return _files()[f"{name}.sql"].read_text("utf-8")


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
