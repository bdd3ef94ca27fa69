from itertools import combinations
from pathlib import Path

from orchboard.store.spool.location import spool_path

DATA = Path("/data")


def test_the_spool_path_does_not_depend_on_user_password_or_options() -> None:
    path = DATA / "spool" / "board-0f6f7acfe542.sqlite"
    for login in ("", "me@", "you:hush@", "you:h%2Fsh?#@"):
        for options in ("", "?sslmode=require", "?password=a&connect_timeout=5"):
            assert spool_path(DATA, f"postgresql://{login}db:5433/board{options}") == path


def test_each_database_has_its_own_spool() -> None:
    for login in ("me:hush", "me:h?sh", "me:h#sh"):
        paths = [
            spool_path(DATA, f"postgresql://{login}@{rest}")
            for rest in (
                "db/board", "db:5433/board", "db2/board", "db,db2/board", "db/other", "/board?host=/run",
                "/board?service=a", "/board?service=b", "db/board?hostaddr=127.0.0.1", "db/board?port=1",
            )
        ]  # fmt: skip
        assert all(one != other for one, other in combinations(paths, 2))
        assert "hush" not in "".join(map(str, paths))
