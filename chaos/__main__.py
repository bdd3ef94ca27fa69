"""`python -m chaos [NAME …] [--small]`: run all scenarios, or those named, and print their verdicts.

The exit status is 1 if a promise did not hold.
"""

import argparse
import asyncio
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from chaos import scenarios
from chaos.verdict import Scale, SkippedError, Verdict


def main() -> int:
    """Run the scenarios of the command line; the exit status."""
    known = sorted(module.name for module in iter_modules(scenarios.__path__))
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Run all scenarios, or those named.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; default: all")
    parser.add_argument("--small", action="store_true", help="short forms: seconds instead of minutes")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(known)}")
    scale = Scale.SMALL if given.small else Scale.FULL
    verdicts = [verdict for name in given.names or known for verdict in prove(name, scale)]
    return 0 if all(verdict.is_met for verdict in verdicts) else 1


def prove(name: str, scale: Scale) -> list[Verdict]:
    """Run a scenario, print its verdicts and return them; none if it was skipped."""
    module = import_module(f"chaos.scenarios.{name}")
    with tempfile.TemporaryDirectory(prefix=f"orchboard-{name}-") as directory:
        Path(directory).chmod(0o755)  # root's embedded Postgres runs as another user
        try:
            verdicts: list[Verdict] = asyncio.run(module.prove(scale, Path(directory)))
        except SkippedError as reason:
            print(f"skipped {name}: {reason}", flush=True)
            return []
        except Exception as error:
            traceback.print_exc()
            verdicts = [Verdict(name, f"failed: {type(error).__name__}: {error}", "a verdict", is_met=False)]
    for verdict in verdicts:
        print(
            f"{'met   ' if verdict.is_met else 'MISSED'}  {verdict.promise}: {verdict.figure} ({verdict.target})",
            flush=True,
        )
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
