"""contrib/prometheus and contrib/grafana: their metrics are those of docs/connect/monitoring.md, which are those served."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.connect.pages import find
from tests.connect.test_monitoring import ALERTS, METRICS, metrics_in

CONTRIB = Path(__file__).parent.parent.parent / "contrib"
RULES = (CONTRIB / "prometheus/orchboard.rules.yml").read_text()
DASHBOARD = json.loads((CONTRIB / "grafana/orchboard.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

# Of each alert: series, in the notation of promtool, one value a minute; when it does not fire yet, when it fires, and its labels.
_ALERT_TESTS = {
    "OrchboardDown": (['up{JOB} 1 1 1 0x5'], 3, 5, {}),
    "OrchboardDatabaseDown": (["orchboard_database_up{JOB} 1 1 1 0x5"], 3, 5, {}),
    "OrchboardTaskBehind": (
        [
            'orchboard_background_success_age_seconds{JOB,task="rollups"} 60x2 2000x10',
            'orchboard_background_success_age_seconds{JOB,task="expire_keys"} 2000x20',
        ],
        7, 9, {"task": "rollups"},
    ),
    "OrchboardNoResults": (
        [
            "orchboard_database_up{JOB} 1x60",
            'orchboard_newest_result_age_seconds{JOB,job_type="ai",region="FRA"} 1700+60x60',
            'orchboard_newest_result_age_seconds{JOB,job_type="ai",region="LAX"} 9000+60x60',
        ],
        11, 13, {},
    ),
    "OrchboardJobTypeSilent": (
        [
            'orchboard_newest_result_age_seconds{JOB,job_type="ai",region="FRA"} 30x60',
            'orchboard_newest_result_age_seconds{JOB,job_type="transcoding",region="FRA"} 10800+60x60',
            'orchboard_newest_result_age_seconds{JOB,job_type="transcoding",region="LAX"} 20000+60x60',
        ],
        10, 12, {"job_type": "transcoding"},
    ),
    "OrchboardRegionSilent": (
        [
            'orchboard_newest_result_age_seconds{JOB,job_type="ai",region="FRA"} 30x60',
            'orchboard_newest_result_age_seconds{JOB,job_type="ai",region="LAX"} 10800+60x60',
        ],
        10, 12, {"job_type": "ai", "region": "LAX"},
    ),
    "OrchboardErrors": (
        [
            'orchboard_http_requests_total{JOB,route="/",status="200"} 0+1000x60',
            'orchboard_http_requests_total{JOB,route="/",status="503"} 0x10 0+11x50',
        ],
        14, 25, {},
    ),
    "OrchboardSlow": (
        [
            'orchboard_http_request_duration_seconds_bucket{JOB,route="/",le="1.0"} 0+98x60',
            'orchboard_http_request_duration_seconds_bucket{JOB,route="/",le="2.5"} 0+100x60',
            'orchboard_http_request_duration_seconds_bucket{JOB,route="/",le="+Inf"} 0+100x60',
            'orchboard_http_request_duration_seconds_bucket{JOB,route="/api/raw_stats",le="1.0"} 0x60',
            'orchboard_http_request_duration_seconds_bucket{JOB,route="/api/raw_stats",le="+Inf"} 0+100x60',
        ],
        10, 12, {},
    ),
    "OrchboardSpoolGrows": (["orchboard_spool_waiting_results{JOB} 0x5 0+3x60"], 14, 30, {}),
    "OrchboardPoolExhausted": (
        [
            'orchboard_database_connections{JOB,state="in_use"} 9 9 10x30',
            'orchboard_database_connections{JOB,state="idle"} 20x30',
            "orchboard_database_connections_max{JOB} 10x30",
        ],
        3, 5, {},
    ),
}  # fmt: skip

_JOB = {"job": "orchboard", "instance": "board:8080"}


def promtool(*words: str | Path) -> str:
    done = subprocess.run([find("promtool"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration_and_every_rule() -> None:
    said = promtool("check", "config", CONTRIB / "prometheus/prometheus.yml")
    assert f"SUCCESS: {len(ALERTS)} rules found" in said


def test_the_rules_are_the_alerts_of_the_page() -> None:
    rules = re.findall(r"^        expr: (.+)\n        for: (\d+[mh])$", RULES, re.MULTILINE)
    assert rules == ALERTS


def _test_of(alert: str) -> dict[str, Any]:
    series, not_yet, fires, labels = _ALERT_TESTS[alert]
    [(severity, summary, step)] = re.findall(
        rf'alert: {alert}\n(?:.*\n)*?          severity: (\w+)\n(?:.*\n)*?          summary: "(.*)"\n'
        '          first_step: "(.*)"',
        RULES,
    )
    expected = {
        "exp_labels": {**_JOB, **labels, "severity": severity},
        "exp_annotations": {"summary": summary, "first_step": step},
    }
    job = ",".join(f'{name}="{value}"' for name, value in _JOB.items())
    pairs = (line.replace("{JOB", "{" + job).partition("} ") for line in series)
    return {
        "interval": "1m",
        "input_series": [{"series": name + "}", "values": values} for name, _, values in pairs],
        "alert_rule_test": [
            {"eval_time": f"{not_yet}m", "alertname": alert, "exp_alerts": []},
            {"eval_time": f"{fires}m", "alertname": alert, "exp_alerts": [expected]},
        ],
    }


def run_tests(directory: Path, tests: list[dict[str, Any]]) -> str:
    shutil.copy(CONTRIB / "prometheus/orchboard.rules.yml", directory)
    file = directory / "tests.json"  # which is YAML, too
    file.write_text(
        json.dumps({"rule_files": ["orchboard.rules.yml"], "evaluation_interval": "1m", "tests": tests})
    )
    return promtool("test", "rules", file)


@pytest.mark.parametrize("alert", _ALERT_TESTS)
def test_an_alert_fires_after_its_time_and_with_the_labels_of_what_is_wrong(
    alert: str, tmp_path: Path
) -> None:
    assert "SUCCESS" in run_tests(tmp_path, [_test_of(alert)])


def test_a_board_that_never_had_a_result_is_an_alert_and_one_without_its_database_another(
    tmp_path: Path,
) -> None:
    test = _test_of("OrchboardNoResults")
    database = 'orchboard_database_up{job="orchboard",instance="board:8080"}'
    never = {**test, "input_series": [{"series": database, "values": "1x60"}]}
    never["alert_rule_test"] = test["alert_rule_test"][1:]
    away = {
        **test,
        "input_series": [{"series": database, "values": "0x60"}],
        "alert_rule_test": [{"eval_time": "30m", "alertname": "OrchboardNoResults", "exp_alerts": []}],
    }
    assert "SUCCESS" in run_tests(tmp_path, [never, away])


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    shown = {name for expression in EXPRESSIONS for name in metrics_in(expression)}
    assert shown == METRICS | {"up"}


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"r{number}", "expr": expression.replace("$job", "orchboard").replace("$instance", ".*")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_depends_on_no_name_of_one_grafana() -> None:
    sources = re.findall(r'"uid": "(.*?)"', json.dumps(DASHBOARD))
    assert set(sources) == {"${datasource}", "orchboard"}
    assert "id" not in DASHBOARD and "__inputs" not in DASHBOARD


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
