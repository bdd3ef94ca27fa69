"""`orchboard orchestrator`: names beside addresses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_tables import on_a_terminal
from tests.support.program import Orchboard

A, B, C = (f"0x{number:040x}" for number in (0xA, 0xB, 0xC))

REVERSED = "a name must not contain U+202E (RIGHT-TO-LEFT OVERRIDE), which changes the direction of text"


def names_in(orchboard: Orchboard, url: str) -> dict[str, str]:
    listed = orchboard("orchestrator", "list", "--json", POSTGRES=url).json()["orchestrators"]
    return {one["address"]: one["name"] for one in listed}


def test_a_name_is_set_listed_and_removed(orchboard: Orchboard, database_url: str) -> None:
    mixed = A.upper().replace("X", "x")
    done = orchboard("orchestrator", "name", mixed, " Größe 🦙 ", POSTGRES=database_url)
    assert (done.status, done.out, done.err) == (0, f"{A} is now Größe 🦙\n", "")
    [one] = orchboard("orchestrator", "list", "--json", POSTGRES=database_url).json()["orchestrators"]
    assert (one["address"], one["name"], one["source"]) == (A, "Größe 🦙", "operator")
    table = orchboard("orchestrator", "list", POSTGRES=database_url).out.splitlines()
    assert table[0].split() == ["address", "name", "source", "updated"]
    assert table[2].split()[:4] == [A, "Größe", "🦙", "operator"]
    done = orchboard("orchestrator", "name", mixed, "--remove", POSTGRES=database_url)
    assert (done.status, done.out) == (0, f"the name of {A} is removed\n")
    empty = orchboard("orchestrator", "list", POSTGRES=database_url)
    assert (empty.status, empty.out, empty.err) == (0, "", "no orchestrator has a name\n")


def test_a_removed_name_of_names_url_may_come_again(
    orchboard: Orchboard, database_url: str, execute: Callable[[str], None]
) -> None:
    execute(f"INSERT INTO orchestrator_names VALUES ('{A}', 'one', 'url')")
    done = orchboard("orchestrator", "name", A, "--remove", POSTGRES=database_url)
    assert done.out == f"the name of {A} is removed; a server with NAMES_URL may set it again\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((A, "--remove"), f"{A} has no name: `orchboard orchestrator list` shows all names"),
        ((A,), "give either a name or --remove"),
        ((A, "x", "--remove"), "give either a name or --remove"),
        (("0x12", "x"), "an address must be 0x and 40 hex digits, not '0x12'"),
        (("0x\x1b[31m", "x"), "an address must be 0x and 40 hex digits, not '0x\\x1b[31m'"),
        ((A, " "), "a name must not be empty"),
        ((A, "x" * 65), "a name must have at most 64 characters, not 65"),
        ((A, "a\x1bb"), "a name must not contain the control character U+001B"),
        ((A, "a\u202eb"), "U+202E (RIGHT-TO-LEFT OVERRIDE), which changes the direction of text"),
        ((A, "a\udcffb"), "a name must not contain bytes that are not UTF-8"),
    ],
)
def test_what_cant_be_done_is_refused_in_one_line(
    orchboard: Orchboard, database_url: str, arguments: tuple[str, ...], reason: str
) -> None:
    done = orchboard("orchestrator", "name", *arguments, POSTGRES=database_url)
    assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert reason in done.err


def test_a_file_is_imported_and_what_changed_is_counted(
    orchboard: Orchboard, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "names.csv").write_bytes(f'\ufeffaddress,name\r\n{A},one\r\n{B},"two, too"\r\n'.encode())
    done = orchboard("orchestrator", "import", "names.csv", POSTGRES=database_url)
    assert (done.status, done.out, done.err) == (0, "2 added, 0 changed, 0 unchanged\n", "")
    more = f"address,name\n{A},one\n{B},zwei\n{C},drei\n{C},drei\n".encode()
    done = orchboard("orchestrator", "import", "-", stdin=more, POSTGRES=database_url)
    assert (done.status, done.out) == (0, "1 added, 1 changed, 1 unchanged\n")
    assert names_in(orchboard, database_url) == {A: "one", B: "zwei", C: "drei"}


def test_a_file_with_a_bad_line_stores_nothing_and_each_is_named(
    orchboard: Orchboard, database_url: str
) -> None:
    lines = f"address,name\n{A},one\n0x,two\n{B},\u202e\x1b\n{A},other\n".encode() + f"{C},\xff\n".encode(
        "latin-1"
    )
    done = orchboard("orchestrator", "import", "-", stdin=lines, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        "orchboard: standard input, line 3: an address must be 0x and 40 hex digits, not '0x'",
        f"orchboard: standard input, line 4: {REVERSED}",
        f"orchboard: standard input, line 5: {A} has another name in line 2",
        "orchboard: standard input, line 6: a name must not contain bytes that are not UTF-8",
        "orchboard: nothing was stored: 4 lines are invalid",
    ]
    assert names_in(orchboard, database_url) == {}
    many = "address,name\n" + "0x,two\n" * 30
    done = orchboard("orchestrator", "import", "-", stdin=many.encode(), POSTGRES=database_url)
    assert done.err.splitlines()[-2:] == [
        "orchboard: and 10 more",
        "orchboard: nothing was stored: 30 lines are invalid",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "standard input: it is empty"),
        (b"orchestrator,name\n", "standard input: its first line must be `address,name`"),
        ("address,name\n".encode("utf-16"), "standard input: it is UTF-16"),
    ],
)
def test_what_is_no_file_of_names_is_refused(
    orchboard: Orchboard, database_url: str, content: bytes, reason: str
) -> None:
    done = orchboard("orchestrator", "import", "-", stdin=content, POSTGRES=database_url)
    assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert reason in done.err


def test_a_missing_file_and_an_unknown_option_are_one_line(orchboard: Orchboard, database_url: str) -> None:
    missing = orchboard("orchestrator", "import", "none.csv", POSTGRES=database_url)
    assert (missing.status, missing.err) == (1, "orchboard: No such file or directory: none.csv\n")
    wrong = orchboard("orchestrator", "import", "--csv", POSTGRES=database_url)
    assert (wrong.status, len(wrong.err.splitlines())) == (2, 1)


def test_a_row_is_one_line_of_80_columns_with_the_whole_address(
    orchboard: Orchboard, database_url: str, tmp_path: Path
) -> None:
    for address, name in ((A, "x" * 64), (B, "図" * 64), (C, "a")):
        assert orchboard("orchestrator", "name", address, name, POSTGRES=database_url).status == 0
    lines = on_a_terminal(["orchestrator", "list"], 80, tmp_path, POSTGRES=database_url)
    assert len(lines) == 2 + 3
    assert [line.split()[0] for line in lines[2:]] == [A, B, C]


def test_a_database_that_is_away_is_one_sentence(orchboard: Orchboard) -> None:
    done = orchboard("orchestrator", "list", POSTGRES="postgresql://u:hush@127.0.0.1:1/x", DB_TIMEOUT="1")
    assert (done.status, done.out, len(done.err.splitlines())) == (4, "", 1)
    assert "hush" not in done.err


def test_an_embedded_database_is_started_when_there_is_no_other(orchboard: Orchboard) -> None:
    assert orchboard("orchestrator", "name", A, "one").status == 0
    assert orchboard("orchestrator", "list", "--json").json()["orchestrators"][0]["name"] == "one"
