import pytest

from tests.support.program import Orchboard
from tests.support.samples import ai
from tests.support.server import Client


def test_a_region_is_added_listed_and_renamed(orchboard: Orchboard, database_url: str) -> None:
    assert orchboard("region", "add", "muc", "Munich", POSTGRES=database_url).status == 0
    again = orchboard("region", "add", "MUC", "Other", "--job-type", "ai", POSTGRES=database_url)
    assert (again.status, again.out) == (0, "MUC already exists for ai\n")
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
        (("add", " ", "x"), "a region's code must be printable text"),
        (("add", "x" * 57, "x"), "at most 56 characters, not 57"),
        (
            ("add", "a b", "x"),
            "a region's code must consist of letters, digits, `.`, `_` and `-`, such as LAX2, not 'A B'",
        ),
        (("add", "mün", "x"), "not 'MÜN'"),
        (("add", "a/b", "x"), "not 'A/B'"),
        (("remove", "NOPE"), "there is no region NOPE"),
        (("remove", "global"), "GLOBAL can't be removed"),
        (("add", "X", "x" * 129), "at most 128 characters, not 129"),
    ],
)
def test_what_is_no_region_is_refused(
    orchboard: Orchboard, database_url: str, arguments: tuple[str, ...], reason: str
) -> None:
    done = orchboard("region", *arguments, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert reason in done.err


@pytest.mark.parametrize("code", ["LAX2", "eu-west_1.a", "0", "X" * 56])
def test_a_code_of_letters_digits_and_joiners_is_added_in_upper_case(
    orchboard: Orchboard, database_url: str, code: str
) -> None:
    done = orchboard("region", "add", code, "x", POSTGRES=database_url)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0].split()[0] == code.upper()


def test_a_region_is_removed_for_one_job_type_and_then_for_both(
    orchboard: Orchboard, database_url: str
) -> None:
    def job_types() -> list[str]:
        listed = orchboard("region", "list", "--json", POSTGRES=database_url).json()["regions"]
        return [one["type"] for one in listed if one["id"] == "MUC"]

    orchboard("region", "add", "MUC", "Munich", POSTGRES=database_url)
    done = orchboard("region", "remove", "muc", "--job-type", "ai", POSTGRES=database_url)
    assert (done.status, done.out, job_types()) == (0, "MUC removed for ai\n", ["transcoding"])
    done = orchboard("region", "remove", "MUC", POSTGRES=database_url)
    assert (done.status, done.out, job_types()) == (0, "MUC removed\n", [])


def test_a_region_with_results_is_not_removed(
    orchboard: Orchboard, database_url: str, client: Client
) -> None:
    for _ in range(2):
        assert client.post_stats(ai()).status == 200
    done = orchboard("region", "remove", "FRA", POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert done.err == "orchboard: FRA can't be removed: results refer to it (2 ai)\n"
    assert (
        orchboard("region", "remove", "FRA", "--job-type", "transcoding", POSTGRES=database_url).status == 0
    )
    assert client.post_stats(ai()).status == 200


def test_a_server_with_a_removed_region_cached_refuses_one_result_and_refreshes(
    orchboard: Orchboard, database_url: str, client: Client
) -> None:
    """LAX is a region of transcoding alone at first; the first AI result from there registers it for AI too."""
    assert client.post_stats(ai(region="LAX")).status == 200
    orchboard("psql", "-c", "DELETE FROM events", POSTGRES=database_url)
    assert orchboard("region", "remove", "LAX", "--job-type", "ai", POSTGRES=database_url).status == 0
    assert [client.post_stats(ai(region="LAX")).status for _ in range(2)] == [503, 200]


def test_a_database_that_is_away_is_one_sentence(orchboard: Orchboard) -> None:
    done = orchboard("region", "list", POSTGRES="postgresql://u:hush@127.0.0.1:1/x", DB_TIMEOUT="1")
    assert (done.status, done.out) == (4, "")
    assert "the connection was refused" in done.err
    assert len(done.err.splitlines()) == 1
    assert "hush" not in done.err
