"""contrib/patroni, and how `python -m chaos patroni` uses it. The experiment itself takes minutes and runs by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.__main__ import prove
from chaos.patroni import CONFIGURATION, NODES
from chaos.scenarios import patroni
from chaos.verdict import Scale

ROOT = Path(__file__).parent.parent.parent
CONTRIB = ROOT / "contrib/patroni"


def configuration() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    return parsed


def variables(name: str) -> dict[str, str]:
    lines = (CONTRIB / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_no_commit_is_acknowledged_by_one_node_alone() -> None:
    dcs = configuration()["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True
    assert dcs["synchronous_mode_strict"] is True
    assert dcs["postgresql"]["parameters"]["synchronous_commit"] == "on"


def test_a_leader_can_retry_before_its_lock_expires() -> None:
    dcs = configuration()["bootstrap"]["dcs"]
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_the_target_of_the_experiment_is_what_the_configuration_allows() -> None:
    dcs = configuration()["bootstrap"]["dcs"]
    assert dcs["ttl"] + dcs["loop_wait"] <= patroni.LEADER_WITHIN_S


def test_three_nodes_are_named_in_etcd_and_in_patroni() -> None:
    etcd, node = variables("etcd.env"), variables("node.env")
    members = dict(member.split("=", 1) for member in etcd["ETCD_INITIAL_CLUSTER"].split(","))
    assert tuple(members) == NODES
    assert members[etcd["ETCD_NAME"]] == etcd["ETCD_INITIAL_ADVERTISE_PEER_URLS"]
    clients = [address.replace("http://", "").replace(":2380", ":2379") for address in members.values()]
    assert node["PATRONI_ETCD3_HOSTS"].split(",") == clients
    assert node["PATRONI_NAME"] == etcd["ETCD_NAME"]


def test_the_unit_reads_the_files_of_the_document() -> None:
    unit, document = (CONTRIB / "patroni.service").read_text(), (ROOT / "docs/operations.md").read_text()
    for path in ("/etc/patroni/node.env", "/etc/patroni/patroni.yml"):
        assert path in unit
        assert path in document
    for file in CONTRIB.iterdir():
        assert file.name in document, file.name


def test_the_document_has_the_url_of_all_nodes() -> None:
    assert (
        f"@{','.join(NODES)}/leaderboard?target_session_attrs=read-write"
        in (ROOT / "docs/operations.md").read_text()
    )


def test_the_experiment_is_listed() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "chaos", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "patroni" in shown
    assert "`patroni`" in (ROOT / "docs/trust.md").read_text()


def test_without_etcd_the_experiment_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prove("patroni", Scale.SMALL) == []
    reason = "skipped patroni: the program etcd is missing; Debian's package is etcd-server.\n"
    assert capsys.readouterr().out == reason
