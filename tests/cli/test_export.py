"""orchboard export"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.api.test_export import fill
from tests.support.program import Orchboard
from tests.support.server import Client, RunningServer


def test_an_export_goes_to_standard_output_or_a_file(
    orchboard: Orchboard, server: RunningServer, client: Client, execute: Callable[..., None], tmp_path: Path
) -> None:
    fill(execute, 300)
    whole = client.get("/api/export", window="7d").data
    done = orchboard("export", "--window", "7d", ORCHBOARD_URL=server.url)
    assert (done.status, done.out.encode()) == (0, whole)
    table = tmp_path / "results.csv"
    assert orchboard("export", "--window", "7d", "-o", str(table), ORCHBOARD_URL=server.url).status == 0
    assert table.read_bytes() == client.get("/api/export", window="7d", format="csv").data
    asked = ("rollups", "--bucket", "1d", "--region", "fra", "--limit", "2", "--window", "7d")
    rows = [
        json.loads(line) for line in orchboard("export", *asked, ORCHBOARD_URL=server.url).out.splitlines()
    ]
    assert [row["region"] for row in rows] == ["FRA", "FRA"]


def test_resume_continues_a_file_after_its_last_complete_row(
    orchboard: Orchboard, server: RunningServer, client: Client, execute: Callable[..., None], tmp_path: Path
) -> None:
    fill(execute, 300)
    for ending in ("csv", "ndjson"):
        whole = client.get("/api/export", window="7d", format=ending).data
        for size in (0, 10, 200, len(whole) // 2, len(whole) - 1, len(whole)):
            file = tmp_path / f"part.{ending}"
            file.write_bytes(whole[:size])
            done = orchboard(
                "export", "--window", "7d", "--resume", "-o", str(file), ORCHBOARD_URL=server.url
            )
            assert (done.status, file.read_bytes() == whole) == (0, True), (ending, size, done.err)


def test_what_can_not_be_exported_is_said(
    orchboard: Orchboard, server: RunningServer, tmp_path: Path
) -> None:
    def fails(*asked: str) -> str:
        done = orchboard("export", *asked, ORCHBOARD_URL=server.url)
        assert (done.status, done.out) == (1, "")
        return done.err

    assert "window can't be combined with since or until" in fails("--window", "7d", "--since", "1h")
    assert "--resume continues a file of --output" in fails("--resume")
    assert "can't write" in fails("-o", str(tmp_path / "no" / "such"))
    assert "scored can't be combined with what=rollups" in fails("rollups", "--scored", "true")
    (tmp_path / "other.ndjson").write_text('{"a":1}\n')
    assert "is not an export in ndjson" in fails("--resume", "-o", str(tmp_path / "other.ndjson"))


def test_a_refusal_leaves_the_file_as_it_was(
    orchboard: Orchboard, server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "results.csv"
    file.write_text("of last week")
    for url in (server.url, "http://127.0.0.1:1"):
        done = orchboard("export", "--window", "2w", "-o", str(file), ORCHBOARD_URL=url)
        assert done.status != 0
        assert file.read_text() == "of last week"
