"""The command line: parses, calls, prints. One file a command."""

import sys

from cyclopts import App

from orchboard import __version__
from orchboard.cli.serve import serve
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError

HELP = """The orchestrator leaderboard of the Livepeer network: results in, scores out, on Postgres.

First time here? `orchboard serve --generate-secret` starts a server with a database of its own;
`orchboard post --example` stores a first result in it.
"""

EXIT_CODES: dict[type[Refusal], int] = {SetupError: 3, DatabaseUnavailableError: 4}

app = App(name="orchboard", help=HELP, version=__version__, help_format="markdown")
app.command(serve)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 refused, 2 usage, 3 setup, 4 database away, 130 interrupted."""
    try:
        app()
    except Refusal as refusal:
        print(f"orchboard: {refusal}", file=sys.stderr)
        sys.exit(EXIT_CODES.get(type(refusal), 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
