"""Version counters, shared by the workers of one server."""

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
    KEYS,
    VersionCounters,
    job_type_key,
    model_key,
    orchestrator_key,
    region_key,
    shared_memory_file,
)
from tests.support.samples import ai, transcoding


def stored(sent: dict[str, object]) -> list[ParsedStats]:
    return [parse_stats(json.dumps(sent).encode())]


A_MODEL = model_key("text-to-image", "ByteDance/SDXL-Lightning")
KEY_OF = {
    "transcoding": job_type_key(JobType.TRANSCODING),
    "ai": job_type_key(JobType.AI),
    "its model": A_MODEL,
    "another model": model_key("text-to-image", "another"),
    "its orchestrator": orchestrator_key(str(transcoding()["orchestrator"])),
    "another orchestrator": orchestrator_key("0xother"),
    "MDW transcoding": region_key(JobType.TRANSCODING, "MDW"),
    "FRA ai": region_key(JobType.AI, "FRA"),
    "FRA transcoding": region_key(JobType.TRANSCODING, "FRA"),
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
def test_a_result_raises_the_counters_of_its_keys_and_no_others(
    sent: dict[str, object], moved: set[str]
) -> None:
    changes = VersionCounters.alone()
    readers = {name: changes.version_reader(key) for name, key in KEY_OF.items()}
    before = {name: read_versions() for name, read_versions in readers.items()}
    changes.note(stored(sent))
    assert {name for name, read_versions in readers.items() if read_versions() != before[name]} == moved


def test_versions_are_unchanged_until_a_result_of_one_of_their_keys_is_noted() -> None:
    changes = VersionCounters.alone()
    read_versions = changes.version_reader(EVERYTHING, KEY_OF["ai"], A_MODEL)
    before = read_versions()
    changes.note(stored(transcoding()))
    assert read_versions() == before
    changes.invalidate_all()
    assert read_versions() != before


def test_names_are_separated_in_a_key_and_may_be_any_text() -> None:
    assert model_key("a", "bc") != model_key("ab", "c")
    assert 0 < model_key("\ud800", "é") < KEYS
    assert orchestrator_key("") not in (EVERYTHING, *map(job_type_key, JobType))


def test_each_worker_counts_in_its_own_slot_and_reads_all_slots() -> None:
    memory = mmap.mmap(-1, KEYS * 8 * 2)
    one, other = VersionCounters(memory, 0), VersionCounters(memory, 1)
    readers = [changes.version_reader(KEY_OF["ai"]) for changes in (one, other)]
    seen = {readers[0]()}
    for changes in (one, other, other, one):
        changes.note(stored(ai()))
        assert readers[0]() == readers[1]()
        seen.add(readers[0]())
    assert len(seen) == 5, "no two states are equal"


def _count(counters: int, times: int) -> None:
    changes = VersionCounters.shared(counters)
    for _ in range(times):
        changes.invalidate_all()


def test_no_count_is_lost_and_the_slot_of_a_dead_worker_is_reused() -> None:
    spawn = multiprocessing.get_context("spawn")
    with shared_memory_file(1) as counters:
        for _ in range(2):
            workers = [
                spawn.Process(target=_count, args=(InheritedDescriptor(counters), 1000)) for _ in range(2)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(20)
                assert worker.exitcode == 0
        read_versions = VersionCounters.shared(counters).version_reader(EVERYTHING)()
        assert isinstance(read_versions, bytes)
        slots = [
            int.from_bytes(read_versions[at : at + 8], "little") for at in range(0, len(read_versions), 8)
        ]
        assert sum(slots) == 4000
        assert slots.count(0) >= len(slots) - 2, "the second two reused the slots of the first"


def test_a_counter_is_never_read_half_written() -> None:
    with shared_memory_file(1) as counters:
        counting = multiprocessing.get_context("spawn").Process(
            target=_count, args=(InheritedDescriptor(counters), 1_000_000)
        )
        counting.start()
        read = mmap.mmap(counters, 0, prot=mmap.PROT_READ)
        read_versions, before = VersionCounters(read).version_reader(EVERYTHING), 0
        while counting.is_alive():
            state = read_versions()
            assert isinstance(state, bytes)
            now = int.from_bytes(state[:8], "little")
            assert now >= before
            before = now
        assert before > 100_000


def _hold(counters: int, held: EventType, done: EventType) -> None:
    changes = VersionCounters.shared(counters)
    held.set()
    assert done.wait(20)
    del changes


def test_more_workers_than_slots_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one slot"
    path.write_bytes(bytes(KEYS * 8))
    counters = os.open(path, os.O_RDWR)
    spawn = multiprocessing.get_context("spawn")
    held, done = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=_hold, args=(InheritedDescriptor(counters), held, done))
    holder.start()
    try:
        assert held.wait(20)
        with pytest.raises(SetupError, match="more workers"):
            VersionCounters.shared(counters)
    finally:
        done.set()
        holder.join(20)
    assert VersionCounters.shared(counters), "the slot is free again"
    os.close(counters)


def test_the_shared_memory_has_no_name_in_a_file_system() -> None:
    with shared_memory_file(1) as counters:
        assert os.fstat(counters).st_nlink == 0
        assert os.fstat(counters).st_size >= KEYS * 8
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(counters)
