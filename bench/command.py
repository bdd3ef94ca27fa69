"""The command line of the bench."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from bench.effort import QUICK, Effort
from bench.paths import MissingProgramError, default_directory
from bench.report import write_document
from bench.sections import LONG_SECTIONS, SECTIONS, measure


def main() -> int:
    """Measure and print the table. Returns 1 if a ratio target is missed, 2 if a section could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that started processes are stopped
    # Use compiled modules, as an installation does: compiling takes 0.2 s of each start, and memory.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    arguments = _parse(sys.argv[1:])
    sections = arguments.sections or [
        name
        for name in SECTIONS
        if name not in ("soak", "walks") and (arguments.full or name not in LONG_SECTIONS)
    ]
    effort = QUICK if arguments.quick else Effort()
    try:
        report = measure(
            sections,
            arguments.directory,
            effort,
            full=arguments.full,
            minutes=arguments.minutes,
            files=arguments.files,
            tell=_tell,
        )
    except MissingProgramError as error:
        _tell(f"bench: {error}")
        return 2
    except subprocess.CalledProcessError as error:
        _tell(f"bench: {error}\n{error.stderr or ''}")
        return 2
    report.command = " ".join(["python -m bench", *sys.argv[1:]])
    print(report.text())
    if arguments.write:
        write_document(report)
    if report.failures:
        return 2
    missed = [row for row in report.rows if row.is_ratio and row.met is False]
    return 1 if missed else 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure every speed target.")
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"one of {', '.join(SECTIONS)}; default: all except soak and walks",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="also measure ten million results and other numbers of connections",
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure everything once and briefly, to check the bench itself"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="duration of `soak` [60]")
    parser.add_argument("--files", action="store_true", help="list the files of each walk of `walks`")
    parser.add_argument("--write", action="store_true", help="rewrite docs/performance.md and docs/plots/")
    parser.add_argument(
        "--directory",
        type=Path,
        default=default_directory(),
        help="directory of databases kept between runs [BENCH_DIRECTORY]",
    )
    arguments = parser.parse_args(words)
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return arguments


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
