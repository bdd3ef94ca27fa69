"""GET /metrics"""

from pathlib import Path

from msgspec.structs import replace

from orchboard import __version__
from orchboard.config import Settings
from orchboard.store.spool.sqlite_file import SpoolFile
from tests.support.metrics import read_metrics
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.submissions import spooled
from tests.support.waiting import wait_until


def read(client: Client) -> dict[str, float]:
    """Every gauge by its name and labels."""
    metrics = read_metrics(client)
    gauges: dict[str, float] = {}
    for (name, labels), number in metrics.samples.items():
        if metrics.kinds.get(name) == "gauge":
            texts = [f'{key}="{value}"' for key, value in labels]
            gauges[name + (f"{{{','.join(texts)}}}" if texts else "")] = number
    return gauges | {"orchboard_build_info": gauges.pop(f'orchboard_build_info{{version="{__version__}"}}')}


OTHERS = (
    "orchboard_background_", "orchboard_rollup_", "orchboard_clock_", "orchboard_newest_", "orchboard_answer_cache_",
    "orchboard_database_connections",
)  # fmt: skip


def of_database_and_spool(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if not name.startswith(OTHERS)}


def test_rollups_background_tasks_and_the_clock_have_metrics(client: Client) -> None:
    name = 'orchboard_background_success_age_seconds{task="rollups"}'
    wait_until(lambda: name in read(client))
    found = read(client)
    assert found["orchboard_rollup_pending_invalidations"] == 0
    assert 0 <= found["orchboard_rollup_watermark_age_seconds"] < 150
    assert abs(found["orchboard_clock_skew_seconds"]) < 5
    for task in ("rollups", "expire_keys"):
        assert 0 <= found[f'orchboard_background_success_age_seconds{{task="{task}"}}'] < 60
        assert found[f'orchboard_background_failures{{task="{task}"}}'] == 0
        assert found[f'orchboard_background_restarts{{task="{task}"}}'] == 0


def test_all_is_well(client: Client) -> None:
    assert of_database_and_spool(read(client)) == {
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
    file.add([spooled(1_700_000_000_000_000, region="FRA", payload=b"{}") for _ in range(2)])
    file.dead_letter([(1, "nobody wants it")])
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


def test_a_spool_that_can_not_be_read_has_no_metrics_but_its_state(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "s.sqlite"
    spool.parent.mkdir()
    spool.write_bytes(b"this is no database, whatever its name is" * 100)
    found = read(Client(start_server(settings, spool_path=spool).url))
    assert of_database_and_spool(found) == {
        "orchboard_build_info": 1,
        "orchboard_database_up": 1,
        "orchboard_spool_up": 0,
    }
