"""`python -m chaos [NAME …] [--small]`: prove every promise, or those that are named, and print a table.

Ends with 1 when one did not hold.
"""

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
    scale = Scale.SMALL if "--small" in sys.argv[1:] else Scale.FULL
    known = sorted(module.name for module in iter_modules(scenarios.__path__))
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")] or known
    if unknown := sorted(set(wanted) - set(known)):
        print(f"no such scenario: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    verdicts = [verdict for name in wanted for verdict in prove(name, scale)]
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
