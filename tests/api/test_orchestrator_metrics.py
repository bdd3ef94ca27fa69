"""GET /metrics with ORCHESTRATOR_METRICS=on: the series of livepeer-exporter, of all orchestrators."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.metrics import read_metrics
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

NAMES = {
    "success_rate": "livepeer_orch_test_stream_success_rate",
    "upload_time": "livepeer_orch_test_stream_upload_time",
    "download_time": "livepeer_orch_test_stream_download_time",
    "transcode_time": "livepeer_orch_test_stream_transcode_time",
    "round_trip_time": "livepeer_orch_test_stream_round_trip_time",
}
OTHER = "0x" + "ab" * 20
HOSTILE = 'a"b\\c\n# TYPE up counter\nup{x="1"} 7\n'


@pytest.fixture
def exporting(settings: Settings, start_server: StartServer) -> Client:
    return Client(start_server(replace(settings, orchestrator_metrics=True)).url)


def test_they_are_off_unless_the_setting_turns_them_on(client: Client) -> None:
    client.post_stats(transcoding())
    assert not [name for name in read_metrics(client).kinds if name.startswith("livepeer_")]


def test_each_orchestrator_and_region_has_its_latest_result(exporting: Client) -> None:
    exporting.post_stats(transcoding(success_rate=0.1, upload_time=99.0))
    numbers = dict(zip(NAMES, (0.75, 0.5, 0.25, 2.5, 3.5), strict=True))
    exporting.post_stats(transcoding(orchestrator=ORCHESTRATOR.upper().replace("0X", "0x"), **numbers))
    exporting.post_stats(transcoding(region="FRA", **dict.fromkeys(NAMES, 1.0)))
    exporting.post_stats(transcoding(orchestrator=OTHER, region="FRA", **dict.fromkeys(NAMES, 0.0)))
    exporting.post_stats(ai(region="FRA", orchestrator="0xai"))
    found = read_metrics(exporting)
    for measure, name in NAMES.items():
        assert found.kinds[name] == "gauge"
        assert found.labelled(name) == {
            (("orchestrator", ORCHESTRATOR), ("region", "MDW")): numbers[measure],
            (("orchestrator", ORCHESTRATOR), ("region", "FRA")): 1.0,
            (("orchestrator", OTHER), ("region", "FRA")): 0.0,
        }


def test_results_that_are_no_verdict_or_older_than_the_window_are_not_shown(
    exporting: Client, execute: Callable[[str], None]
) -> None:
    exporting.post_stats(transcoding(region="SIN"))
    execute("UPDATE events SET event_time = event_time - interval '25 hours'")
    exporting.post_stats(transcoding(success_rate=0.5))
    exporting.post_stats(transcoding(success_rate=0, test_outcome="unscored: busy"))
    found = read_metrics(exporting).labelled(NAMES["success_rate"])
    assert found == {(("orchestrator", ORCHESTRATOR), ("region", "MDW")): 0.5}


def test_numbers_that_are_missing_or_no_numbers_are_zero(
    exporting: Client, execute: Callable[[str], None]
) -> None:
    exporting.post_stats(transcoding())
    execute(
        """UPDATE events SET payload = payload - 'upload_time' || '{"download_time": "NaN", "transcode_time": [1]}'"""
    )
    found = read_metrics(exporting)
    for measure in ("upload_time", "download_time", "transcode_time"):
        assert list(found.labelled(NAMES[measure]).values()) == [0.0]


def test_hostile_names_are_data(exporting: Client, execute: Callable[[str], None]) -> None:
    assert exporting.post_stats(transcoding(orchestrator=HOSTILE)).data == b"ok"
    execute(f"UPDATE regions SET name = E'{HOSTILE[:20]}' WHERE name = 'MDW'".replace("\\c", "\\\\c"))
    found = read_metrics(exporting)
    assert found.value("up") is None
    assert [dict(labels) for labels in found.labelled(NAMES["success_rate"])] == [
        {"orchestrator": HOSTILE.lower().strip(), "region": HOSTILE[:20]}
    ]
