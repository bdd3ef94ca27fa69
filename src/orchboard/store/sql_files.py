"""The SQL files of `store/`, by name: one statement a file, in the `sql/` directory of the room that runs it."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def sql(name: str) -> str:
    """The text of `<name>.sql`, wherever in `store/` it is: names are unique. Read once a process.

    Raises KeyError for a name without a file.
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
