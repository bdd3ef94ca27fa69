import pytest

from tests.cli.conftest import Orchboard


def test_a_region_is_added_listed_and_renamed(orchboard: Orchboard, database_url: str) -> None:
    assert orchboard("region", "add", "muc", "Munich", POSTGRES=database_url).status == 0
    again = orchboard("region", "add", "MUC", "Other", "--job-type", "ai", POSTGRES=database_url)
    assert (again.status, again.out) == (0, "MUC was there already for ai\n")
    assert orchboard("region", "rename", "muc", "Munich, Germany", POSTGRES=database_url).status == 0
    listed = orchboard("region", "list", "--json", POSTGRES=database_url).json()["regions"]
    assert [(one["type"], one["name"]) for one in listed if one["id"] == "MUC"] == [
        ("ai", "Munich, Germany"),
        ("transcoding", "Munich, Germany"),
    ]
    table = orchboard("region", "list", POSTGRES=database_url).out
    assert len(table.splitlines()) == 2 + len(listed)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("rename", "NOPE", "x"), "there is no region NOPE"),
        (("add", " ", "x"), "a region's code must be readable text"),
        (("add", "x" * 57, "x"), "at most 56 characters, not 57"),
        (("add", "X", "x" * 129), "at most 128 characters, not 129"),
    ],
)
def test_what_is_no_region_is_refused(
    orchboard: Orchboard, database_url: str, arguments: tuple[str, ...], reason: str
) -> None:
    done = orchboard("region", *arguments, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert reason in done.err


def test_a_database_that_is_away_is_one_sentence(orchboard: Orchboard) -> None:
    done = orchboard("region", "list", POSTGRES="postgresql://u:hush@127.0.0.1:1/x", DB_TIMEOUT="1")
    assert (done.status, done.out) == (4, "")
    assert "the connection was refused" in done.err
    assert len(done.err.splitlines()) == 1
    assert "hush" not in done.err
