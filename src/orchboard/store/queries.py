"""The SQL files of `store/sql/`, by name."""

from functools import cache
from importlib.resources import files


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`; read once a process."""
    return files("orchboard.store").joinpath("sql", f"{name}.sql").read_text("utf-8")
