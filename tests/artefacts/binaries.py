"""The binary in bare Debian roots: where it lies there, what runs there, and a server that it starts."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec import Struct

from tests.artefacts.roots import USER, Root, debian_root

DIST = Path(__file__).parent.parent.parent / "dist"

# Where the three forms lie in a root.
ONE_FILE, SLIM, DIRECTORY = (
    "/usr/local/bin/orchboard",
    "/usr/local/bin/orchboard-slim",
    "/opt/orchboard/orchboard",
)

# As whom the program runs in which Debian; the short set has the first.
PLACES = [
    ("bookworm", USER),
    pytest.param(("bookworm", "root"), marks=pytest.mark.full),
    pytest.param(("trixie", USER), marks=pytest.mark.full),
    pytest.param(("trixie", "root"), marks=pytest.mark.full),
]


class Machine(Struct, frozen=True):
    """A bare Debian with the binary, and the user that runs it."""

    root: Root
    user: str

    def run(self, *words: str, **environment: str) -> str:
        """What a program prints that ends with 0."""
        return self.root.run(*words, user=self.user, environment=environment)

    @contextmanager
    def serving(
        self, program: str, *words: str, **environment: str
    ) -> Iterator[tuple["subprocess.Popen[str]", str]]:
        """`PROGRAM serve`: its process and its address. Killed at the end if it still runs."""
        command = self.root.command(
            program, "serve", "--port", "0", *words, user=self.user, environment=environment
        )
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                address = re.search(r"http://\S+", server.stdout.readline())
                assert address
                yield server, address[0]
            finally:
                server.kill()

    def processes(self) -> dict[int, str]:
        """What runs there: the command lines by process."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "root").readlink() == self.root.directory:
                    found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        return found

    def unpacked(self) -> list[str]:
        """The names of the directories that one-file programs have unpacked themselves to."""
        cache = "var/cache" if self.user == "root" else f"home/{self.user}/.cache"
        return sorted(path.name for path in (self.root.directory / cache / "orchboard").glob("*"))


@contextmanager
def machine(suite: str, user: str) -> Iterator[Machine]:
    """A fresh bare Debian with all forms of the binary; fails where they are not built."""
    assert (DIST / "orchboard").exists(), "make binary builds it"
    with debian_root(suite) as root:
        for program in (ONE_FILE, SLIM):
            # Named as no other root's: root sees the processes of all of them, and keeps what one of them runs.
            built = (DIST / Path(program).name).read_bytes()
            digest = re.search(rb"-([0-9a-f]{16})/", built[:4096])
            assert digest
            copy = root.directory / program[1:]
            copy.write_bytes(built.replace(digest[1], secrets.token_hex(8).encode()))
            copy.chmod(0o755)
        shutil.copytree(DIST / "orchboard-dir", root.directory / "opt/orchboard", symlinks=True)
        yield Machine(root, user)


def executable(pid: int) -> str:
    """The path of the program that a process runs, as its own root has it."""
    return os.readlink(f"/proc/{pid}/exe")
