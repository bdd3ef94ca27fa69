"""`python -m chaos [NAME …] [--small]`: prove every promise, or those that are named, and print a table.

Ends with 1 when one did not hold.
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
from chaos.verdict import Scale, Verdict


def main() -> int:
    """Run what the command line names."""
    known = sorted(module.name for module in iter_modules(scenarios.__path__))
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Prove every promise, or those that are named."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; none: all")
    parser.add_argument("--small", action="store_true", help="each shortly: seconds instead of minutes")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(known)}")
    scale = Scale.SMALL if given.small else Scale.FULL
    verdicts = [verdict for name in given.names or known for verdict in prove(name, scale)]
    return 0 if all(verdict.is_met for verdict in verdicts) else 1


def prove(name: str, scale: Scale) -> list[Verdict]:
    """The verdicts of one scenario, printed as they come."""
    module = import_module(f"chaos.scenarios.{name}")
    with tempfile.TemporaryDirectory(prefix=f"orchboard-{name}-") as directory:
        Path(directory).chmod(0o755)  # root's embedded Postgres is another user's
        try:
            verdicts: list[Verdict] = asyncio.run(module.prove(scale, Path(directory)))
        except Exception as error:
            traceback.print_exc()
            verdicts = [Verdict(name, f"broke off: {type(error).__name__}: {error}", "an end", is_met=False)]
    for verdict in verdicts:
        print(
            f"{'met   ' if verdict.is_met else 'MISSED'}  {verdict.promise}: {verdict.figure} ({verdict.target})",
            flush=True,
        )
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
