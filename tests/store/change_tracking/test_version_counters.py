"""Counters of what was stored, shared by the workers of one server."""

import json
import mmap
import multiprocessing
import os
from multiprocessing.synchronize import Event as EventType
from pathlib import Path

import pytest

from orchboard.errors import SetupError
from orchboard.results.parse import ParsedStats, parse_stats
from orchboard.serving.worker import InheritedDescriptor
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import (
    EVERYTHING,
    SLOTS,
    Changes,
    job_type_slot,
    model_slot,
    orchestrator_slot,
    region_slot,
    shared_counters,
)
from tests.support.samples import ai, transcoding


def stored(sent: dict[str, object]) -> list[ParsedStats]:
    return [parse_stats(json.dumps(sent).encode())]


A_MODEL = model_slot("text-to-image", "ByteDance/SDXL-Lightning")
SLOT_OF = {
    "transcoding": job_type_slot(JobType.TRANSCODING),
    "ai": job_type_slot(JobType.AI),
    "its model": A_MODEL,
    "another model": model_slot("text-to-image", "another"),
    "its orchestrator": orchestrator_slot(str(transcoding()["orchestrator"])),
    "another orchestrator": orchestrator_slot("0xother"),
    "MDW transcoding": region_slot(JobType.TRANSCODING, "MDW"),
    "FRA ai": region_slot(JobType.AI, "FRA"),
    "FRA transcoding": region_slot(JobType.TRANSCODING, "FRA"),
}


@pytest.mark.parametrize(
    ("sent", "moved"),
    [
        (transcoding(), {"transcoding", "its orchestrator", "MDW transcoding"}),
        (ai(), {"ai", "its model", "its orchestrator", "FRA ai"}),
        (ai(model="another"), {"ai", "another model", "its orchestrator", "FRA ai"}),
        (transcoding(orchestrator="0xOTHER"), {"transcoding", "another orchestrator", "MDW transcoding"}),
        (transcoding(region="fra"), {"transcoding", "its orchestrator", "FRA transcoding"}),
    ],
)
def test_a_result_moves_the_counters_of_what_it_is_part_of_and_no_others(
    sent: dict[str, object], moved: set[str]
) -> None:
    changes = Changes.alone()
    tokens = {name: changes.token_of(slot) for name, slot in SLOT_OF.items()}
    before = {name: token() for name, token in tokens.items()}
    changes.note(stored(sent))
    assert {name for name, token in tokens.items() if token() != before[name]} == moved


def test_a_token_stands_still_until_one_of_its_slots_moves() -> None:
    changes = Changes.alone()
    token = changes.token_of(EVERYTHING, SLOT_OF["ai"], A_MODEL)
    before = token()
    changes.note(stored(transcoding()))
    assert token() == before
    changes.note_everything()
    assert token() != before


def test_names_are_not_run_together_and_may_be_anything() -> None:
    assert model_slot("a", "bc") != model_slot("ab", "c")
    assert 0 < model_slot("\ud800", "é") < SLOTS
    assert orchestrator_slot("") not in (EVERYTHING, *map(job_type_slot, JobType))


def test_each_worker_counts_in_a_lane_of_its_own_and_sees_all() -> None:
    memory = mmap.mmap(-1, SLOTS * 8 * 2)
    one, other = Changes(memory, 0), Changes(memory, 1)
    tokens = [changes.token_of(SLOT_OF["ai"]) for changes in (one, other)]
    seen = {tokens[0]()}
    for changes in (one, other, other, one):
        changes.note(stored(ai()))
        assert tokens[0]() == tokens[1]()
        seen.add(tokens[0]())
    assert len(seen) == 5, "no two states look alike"


def _count(counters: int, times: int) -> None:
    changes = Changes.shared(counters)
    for _ in range(times):
        changes.note_everything()


def test_no_count_of_any_process_is_lost_and_a_dead_ones_lane_is_used_again() -> None:
    spawn = multiprocessing.get_context("spawn")
    with shared_counters(1) as counters:
        for _ in range(2):
            workers = [
                spawn.Process(target=_count, args=(InheritedDescriptor(counters), 1000)) for _ in range(2)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(20)
                assert worker.exitcode == 0
        token = Changes.shared(counters).token_of(EVERYTHING)()
        assert isinstance(token, bytes)
        lanes = [int.from_bytes(token[at : at + 8], "little") for at in range(0, len(token), 8)]
        assert sum(lanes) == 4000
        assert lanes.count(0) >= len(lanes) - 2, "the second two went on where the first had ended"


def test_a_counter_is_never_seen_half_written() -> None:
    with shared_counters(1) as counters:
        counting = multiprocessing.get_context("spawn").Process(
            target=_count, args=(InheritedDescriptor(counters), 1_000_000)
        )
        counting.start()
        read = mmap.mmap(counters, 0, prot=mmap.PROT_READ)
        token, before = Changes(read).token_of(EVERYTHING), 0
        while counting.is_alive():
            state = token()
            assert isinstance(state, bytes)
            now = int.from_bytes(state[:8], "little")
            assert now >= before
            before = now
        assert before > 100_000


def _hold(counters: int, held: EventType, done: EventType) -> None:
    changes = Changes.shared(counters)
    held.set()
    assert done.wait(20)
    del changes


def test_more_workers_than_there_are_lanes_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one lane"
    path.write_bytes(bytes(SLOTS * 8))
    counters = os.open(path, os.O_RDWR)
    spawn = multiprocessing.get_context("spawn")
    held, done = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=_hold, args=(InheritedDescriptor(counters), held, done))
    holder.start()
    try:
        assert held.wait(20)
        with pytest.raises(SetupError, match="more workers"):
            Changes.shared(counters)
    finally:
        done.set()
        holder.join(20)
    assert Changes.shared(counters), "free again"
    os.close(counters)


def test_the_counters_have_no_name_that_anybody_could_remove() -> None:
    with shared_counters(1) as counters:
        assert os.fstat(counters).st_nlink == 0
        assert os.fstat(counters).st_size >= SLOTS * 8
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(counters)
