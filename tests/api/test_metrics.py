"""GET /metrics"""

import re
from pathlib import Path

from msgspec.structs import replace

from orchboard import __version__
from orchboard.config import Settings
from orchboard.store.spool_file import Spooled, SpoolFile
from tests.conftest import Client, StartServer, transcoding

LINE = re.compile(r"([a-z_]+)(\{[a-z_]+=\"[^\"\\\n]*\"\})? ([0-9.e+-]+)")


def read(client: Client) -> dict[str, float]:
    """Every sample by its name, with its HELP and TYPE before it."""
    answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.data.decode()
    assert text.endswith("\n")
    found: dict[str, float] = {}
    for family in re.split(r"^(?=# HELP )", text, flags=re.MULTILINE)[1:]:
        described, typed, *samples = family.splitlines()
        for sample in samples:
            match = LINE.fullmatch(sample)
            assert match, sample
            assert re.fullmatch(rf"# HELP {match[1]} \S.*", described)
            assert typed == f"# TYPE {match[1]} gauge"
            found[match[1] + (match[2] or "")] = float(match[3])
    return found | {"orchboard_build_info": found.pop(f'orchboard_build_info{{version="{__version__}"}}')}


def test_all_is_well(client: Client) -> None:
    assert read(client) == {
        "orchboard_build_info": 1,
        "orchboard_database_up": 1,
        "orchboard_spool_up": 1,
        "orchboard_spool_waiting_results": 0,
        "orchboard_spool_oldest_seconds": 0,
        "orchboard_spool_aside_results": 0,
        "orchboard_spool_used_ratio": 0,
    }


def test_what_waits_for_a_database_that_is_away_is_counted(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    file = SpoolFile(spool, max_bytes=2**20)
    file.add([Spooled(1_700_000_000_000_000, None, "FRA", "ai", "0xa", b"{}") for _ in range(2)])
    file.put_aside([(1, "nobody wants it")])
    file.close()
    gone = replace(settings, postgres="postgresql://me@127.0.0.1:1/none", spool_max_bytes=2**20)
    client = Client(start_server(gone, spool_path=spool).url)
    assert client.post_stats(transcoding()).data == b"ok"
    found = read(client)
    assert found["orchboard_database_up"] == 0
    assert found["orchboard_spool_waiting_results"] == 2
    assert found["orchboard_spool_aside_results"] == 1
    assert found["orchboard_spool_oldest_seconds"] > 90_000_000, "it came in 2023"
    assert 0 < found["orchboard_spool_used_ratio"] < 0.1


def test_a_spool_that_can_not_be_read_is_told_by_what_is_missing(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    spool.parent.mkdir()
    spool.write_bytes(b"this is no database, whatever its name is" * 100)
    found = read(Client(start_server(settings, spool_path=spool).url))
    assert found == {"orchboard_build_info": 1, "orchboard_database_up": 1, "orchboard_spool_up": 0}
