"""docs/connect/monitoring.md: its metrics are those that are served, its alerts are PromQL, and Prometheus scrapes."""

import json
import re
import subprocess
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from msgspec.structs import replace

from orchboard.config import Settings
from tests.connect.pages import find, read_page
from tests.support.raw_http import Wire
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.waiting import wait_until

PAGE = read_page("monitoring.md")
TABLES = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
METRICS = set(
    re.findall(r"^\| `((?:orchboard|livepeer_orch)_\w+)(?:\{[\w, ]+\})?` \|", TABLES["Metrics"], re.MULTILINE)
)
# Served with POSTGRES_READ only: tests/store/postgres/test_standbys.py
OF_STANDBYS = {name for name in METRICS if "standby" in name} | {"orchboard_computed_answers_total"}
HISTOGRAMS = set(re.findall(r"^\| `(\w+)(?:\{[\w, ]+\})?` \| Histogram", TABLES["Metrics"], re.MULTILINE))
ALERTS = re.findall(r"^\| `(.+?)` \| (\d+[mh]) \|", TABLES["Alerts"], re.MULTILINE)
SCRAPING = PAGE.partition("```yaml\n")[2].partition("```")[0]


def test_the_page_has_every_metric_that_is_served_and_no_other(
    settings: Settings, start_server: StartServer
) -> None:
    shown = replace(settings, orchestrator_names="address", orchestrator_metrics=True)
    server = start_server(shown)
    client = Client(server.url)
    client.post_stats(transcoding(orchestrator="my-orchestrator"))
    with Wire(server.port) as wire:
        assert wire.ask(b"GET / HTTP/1.1\r\nContent-Length: nine\r\n\r\n").status == 400

    def served(kind: str = r"\w+") -> set[str]:
        text = client.get("/metrics").data.decode()
        return set(re.findall(rf"^# TYPE (\w+) {kind}$", text, re.MULTILINE))

    wait_until(lambda: "orchboard_background_success_age_seconds" in served())
    assert served() == METRICS - OF_STANDBYS
    assert served("histogram") == HISTOGRAMS
    assert served("counter") == {name for name in METRICS - OF_STANDBYS if name.endswith("_total")}


def metrics_in(expression: str) -> set[str]:
    """The metrics of an expression in PromQL, without the suffixes of a histogram."""
    names = re.findall(r"\b(?:orchboard|livepeer_orch)_\w+|\bup\b", expression)
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in names}


def test_every_alert_is_on_metrics_of_the_page() -> None:
    assert len(ALERTS) == 19
    for expression, _ in ALERTS:
        names = metrics_in(expression)
        assert names
        assert names <= METRICS | {"up"}


def test_prometheus_scrapes_with_the_configuration_of_the_page(
    settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    prometheus = find("prometheus")
    server = start_server(settings)
    file = tmp_path / "prometheus.yml"
    file.write_text(SCRAPING.replace(":8080", f":{server.port}").replace("15s", "200ms"))
    log = tmp_path / "log"
    with log.open("wb") as errors:
        started = subprocess.Popen(
            [prometheus, f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}",
             "--web.listen-address=127.0.0.1:0"],
            stderr=errors,
        )  # fmt: skip
    try:
        listening = re.compile(r"Listening on\S* address=(127\.0\.0\.1:\d+)|address=(127\.0\.0\.1:[1-9]\d*)")
        wait_until(lambda: started.poll() is not None or listening.search(log.read_text()) is not None)
        found = listening.search(log.read_text())
        assert found, log.read_text()
        url = f"http://{found[1] or found[2]}/api/v1/query?query=orchboard_database_up"

        def values() -> list[str]:
            try:
                with urlopen(url, timeout=10) as answer:
                    return [one["value"][1] for one in json.load(answer)["data"]["result"]]
            except HTTPError as not_ready:  # 503
                not_ready.close()
                return []

        wait_until(lambda: values() == ["1"])
    finally:
        started.terminate()
        started.wait(30)
