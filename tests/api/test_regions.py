"""GET /api/regions"""

import csv
import time
from collections.abc import Callable
from importlib.resources import files

from tests.support.server import Client


def test_the_seeded_regions_are_there_sorted_by_type_then_global_then_name(client: Client) -> None:
    with files("orchboard.store.directories").joinpath("regions.csv").open("r", encoding="utf-8") as file:
        seeded = [{"id": row["id"], "name": row["name"], "type": row["type"]} for row in csv.DictReader(file)]
    expected = sorted(seeded, key=lambda region: (region["type"], region["id"] != "GLOBAL", region["name"]))
    answer = client.get("/api/regions").json()["regions"]
    assert answer == expected
    assert len(answer) == 26


def test_a_region_added_by_another_program_is_listed_within_a_second(
    client: Client, execute: Callable[[str], None]
) -> None:
    before = client.get("/api/regions").json()["regions"]
    execute("INSERT INTO regions (name, display_name, job_type_id) VALUES ('NEW', 'New', 1)")
    time.sleep(1)
    after = client.get("/api/regions").json()["regions"]
    assert [region["id"] for region in after if region not in before] == ["NEW"]
