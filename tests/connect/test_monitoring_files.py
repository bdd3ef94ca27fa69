"""contrib/prometheus and contrib/grafana: their metrics are those of docs/connect/monitoring.md, which are those served."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.connect.pages import find
from tests.connect.test_monitoring import ALERTS, METRICS

CONTRIB = Path(__file__).parent.parent.parent / "contrib"
RULES = (CONTRIB / "prometheus/orchboard.rules.yml").read_text()
DASHBOARD = json.loads((CONTRIB / "grafana/orchboard.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

_ALERT_TESTS = """
rule_files: [orchboard.rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{job="orchboard"}', values: '1 1 1 0x5'}
      - {series: 'orchboard_database_up', values: '1 1 1 0x5'}
      - {series: 'orchboard_background_success_age_seconds{task="rollups"}', values: '60x2 2000x10'}
      - {series: 'orchboard_background_success_age_seconds{task="expire_keys"}', values: '2000x20'}
    alert_rule_test:
      - {eval_time: 2m, alertname: OrchboardDown, exp_alerts: []}
      - {eval_time: 3m, alertname: OrchboardDown, exp_alerts: []}
      - eval_time: 5m
        alertname: OrchboardDown
        exp_alerts: [{exp_labels: {severity: critical, job: orchboard}, exp_annotations: DOWN}]
      - eval_time: 5m
        alertname: OrchboardDatabaseDown
        exp_alerts: [{exp_labels: {severity: critical}, exp_annotations: DATABASE}]
      - eval_time: 9m
        alertname: OrchboardTaskBehind
        exp_alerts: [{exp_labels: {severity: warning, task: rollups}, exp_annotations: TASK}]
      - {eval_time: 9m, alertname: OrchboardKeysNotExpired, exp_alerts: []}
"""


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


def test_alerts_fire_after_their_time_and_for_their_task_only(tmp_path: Path) -> None:
    shutil.copy(CONTRIB / "prometheus/orchboard.rules.yml", tmp_path)
    tests = _ALERT_TESTS
    names = {"DOWN": "OrchboardDown", "DATABASE": "OrchboardDatabaseDown", "TASK": "OrchboardTaskBehind"}
    for word, alert in names.items():
        [(summary, step)] = re.findall(
            rf'alert: {alert}\n(?:.*\n)*?          summary: (".*")\n          first_step: (".*")', RULES
        )
        tests = tests.replace(
            f"exp_annotations: {word}", f"exp_annotations: {{summary: {summary}, first_step: {step}}}"
        )
    file = tmp_path / "tests.yml"
    file.write_text(tests)
    assert "SUCCESS" in promtool("test", "rules", file)


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    shown = {name for expression in EXPRESSIONS for name in re.findall(r"orchboard_\w+", expression)}
    assert shown == METRICS


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
