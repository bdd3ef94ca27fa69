from itertools import combinations
from pathlib import Path

from orchboard.store.spool.location import spool_path

DATA = Path("/data")


def test_a_spool_stays_where_it_was_when_users_passwords_or_options_change() -> None:
    path = DATA / "spool" / "board-0f6f7acfe542.sqlite"
    for login in ("", "me@", "you:hush@", "you:h%2Fsh?#@"):
        for options in ("", "?sslmode=require", "?password=a&connect_timeout=5"):
            assert spool_path(DATA, f"postgresql://{login}db:5433/board{options}") == path


def test_each_database_has_a_spool_of_its_own_whatever_the_password() -> None:
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
