"""Root directories of bare Debians, and programs that run in them."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.artefacts.tools import need_root, tool

# Made once, and copied for each test.
_CACHE = Path(__file__).parent.parent.parent / "dist" / "roots"

# A plain user of every root.
USER = "someone"


class Root(Struct, frozen=True):
    """A Debian in a directory of this machine."""

    directory: Path

    def command(
        self, *words: str | Path, user: str = "root", environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command that runs a program in it, with /proc and /dev, as the process that is started: signals reach it.

        user -- root, or USER, whose home directory it then starts in
        environment -- all that it has besides HOME and PATH
        """
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {
            "HOME": home,
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            **(environment or {}),
        }
        script = (
            'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root=$1 user=$2 && shift 2 && '
            'exec chroot --userspec="$user:$user" "$root" /usr/bin/env -i "$@"'
        )
        inside = ["/bin/sh", "-c", f'cd {home} && exec "$@"', "sh", *map(str, words)]
        assigned = [f"{name}={value}" for name, value in variables.items()]
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(self.directory), user, *assigned, *inside]

    def run(
        self, *words: str | Path, user: str = "root", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a program in it to its end: its standard output. Fails with what it wrote unless it ends with 0."""
        done = subprocess.run(
            self.command(*words, user=user, environment=environment),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def debian_root(suite: str, *packages: str) -> Iterator[Root]:
    """A fresh copy of a bare Debian, removed at the end. Skips the test where none can be made.

    suite -- "bookworm" or "trixie"; packages -- that are in it besides the minimal ones
    """
    kept = kept_root(suite, *packages)
    with tempfile.TemporaryDirectory(prefix=f".{suite}-", dir=_CACHE) as place:
        root = Path(place) / "root"
        subprocess.run(["cp", "--archive", kept, root], check=True)
        Path(place).chmod(0o755)
        yield Root(root)


def kept_root(suite: str, *packages: str) -> Path:
    """A bare Debian that is made once and must not be changed. Skips the test where none can be made."""
    need_root("a root directory of Debian")
    debootstrap = tool("debootstrap", remedy="apt-get install debootstrap")
    kept = _CACHE / "-".join([suite, *sorted(packages)])
    if not kept.exists():
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=_make(_CACHE)))
        made.chmod(0o755)
        include = [f"--include={','.join(packages)}"] if packages else []
        done = subprocess.run(
            [debootstrap, "--variant=minbase", *include, suite, made],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        subprocess.run(["chroot", made, "useradd", "--create-home", USER], check=True)
        shutil.rmtree(made / "var/cache/apt/archives", ignore_errors=True)
        made.rename(kept)
    return kept


def _make(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
