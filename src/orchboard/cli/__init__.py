"""The command line: parses, calls, prints. One file a command, loaded when it is called."""

from __future__ import annotations

import sys
from contextlib import suppress
from keyword import iskeyword
from typing import TYPE_CHECKING, NoReturn

from orchboard.cli import streams
from orchboard.errors import DatabaseUnavailableError, Refusal, SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import App

HELP = """The leaderboard server of the Livepeer network on PostgreSQL.

To start, run `orchboard serve --generate-secret`, which starts a server with an embedded database, and
`orchboard post --example`, which stores a first result. `orchboard doctor` reports problems.
`orchboard help COMMAND` shows the help of a command, with examples.
"""

# The name of each command, its module and its function (`import_` for a keyword), and the first line of its help.
COMMANDS = {
    "serve": "Run the server.",
    "demo": "Run a server with a simulated month of results.",
    "post": "Sign results and send them to a server.",
    "get": "Query a running server and print the answer as a table.",
    "top": "Show the orchestrators by rank.",
    "history": "Show scores and round trips over time.",
    "uptime": "Show when jobs succeeded, as cells and percentages.",
    "compare": "Compare orchestrators, and test their differences.",
    "why": "Explain the score of an orchestrator.",
    "errors": "Show the errors of results, the most frequent first.",
    "watch": "Print new results and changed ranks as they come.",
    "export": "Write the results of any window, or their sums, to a file.",
    "coverage": "Show who tests what, and who is silent.",
    "region": "List, add, rename and remove regions.",
    "secret": "Show where the secret that signs results is stored.",
    "tester": "Give job testers their own keys, and revoke them.",
    "orchestrator": "Give orchestrators names, shown beside their addresses.",
    "migrate": "Migrate the database schema up and down.",
    "rollups": "Verify and rebuild the rollups that long windows use.",
    "prune": "Delete old results; their rollups stay.",
    "distribute": "Distribute the results over a Citus cluster, and back.",
    "spool": "Show results that are not in the database yet.",
    "backup": "Write all results to a file.",
    "restore": "Store the results of a backup.",
    "import": "Store results from files: NDJSON, CSV, Parquet or a backup.",
    "mirror": "Copy another leaderboard's results through its API.",
    "diff": "List the differences between the answers of two servers.",
    "doctor": "Report problems with the settings and the database.",
    "simulate": "Simulate a network, in bulk or live.",
    "psql": "Open psql on the database.",
    "url": "Print the URL of the database.",
    "openapi": "Print the OpenAPI document of the API.",
    "completion": "Print a completion script for a shell.",
}

# `serve` without options needs no parser, which would cost 3 MB of memory and 60 ms.
_SERVE = ["serve"]

# Handled here because the parser would wrap the lines.
_VERSION = ["--version", "-V"]

EXIT_CODES: dict[type[Refusal], int] = {SetupError: 3, DatabaseUnavailableError: 4}


def make_app(named: str = "") -> App:
    """The program. `named` is the command that is called; its help comes from its module."""
    from cyclopts import App, Parameter

    app = App(
        name="orchboard",
        help=HELP,
        version_flags=_VERSION,
        help_format="markdown",
        default_parameter=Parameter(
            show_default=lambda value: None if value is False or value in ("", ()) else value
        ),
        print_error=False,
        exit_on_error=False,
    )
    for position, (name, summary) in enumerate(COMMANDS.items()):
        # A summary given here would replace the longer help of the command's module.
        help_text = None if name == named else summary
        module = f"{name}_" if iskeyword(name) else name
        app.command(f"orchboard.cli.{module}:{module}", name=name, help=help_text, sort_key=position)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exit status: 0 done, 1 refused, 2 usage, 3 setup, 4 database unavailable, 130 interrupted."""
    streams.prepare()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            _run(words)
        finally:
            streams.flush()
    except Refusal as refusal:
        _end(_sentence(refusal), EXIT_CODES.get(type(refusal), 1))
    except ModuleNotFoundError as error:
        from orchboard.cli.extras import explain_missing

        sentence = explain_missing(error, words)
        if sentence is None:
            raise
        _end(sentence, EXIT_CODES[SetupError])
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        streams.abandon()
        sys.exit(1)
    except OSError as error:
        _end(streams.explain(error), 1)
    except UnicodeEncodeError:
        _end("an argument or a setting is not valid UTF-8", 1)


def _run(words: list[str]) -> None:
    """Call the command. Its exit status, if it has one, comes out as SystemExit."""
    if words == _SERVE:
        from orchboard.cli.run_server import run_server

        run_server()
        return
    if words and words[0] in _VERSION:
        from orchboard.cli.version import version

        print(version())
        return
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    from cyclopts import CycloptsError

    try:
        make_app(words[0] if words else "")(words)
    except CycloptsError as error:
        from orchboard.cli.usage import explain

        _end(explain(error), 2)


def _end(sentence: str, status: int) -> NoReturn:
    with suppress(OSError):
        print(f"orchboard: {sentence}", file=sys.stderr)
    streams.abandon()
    sys.exit(status)


def _sentence(refusal: Refusal) -> str:
    if isinstance(refusal, DatabaseUnavailableError) and refusal.__cause__:
        from orchboard.store.connection.failures import describe_failure, has_answered

        outcome = "refused" if has_answered(refusal.__cause__) else "did not answer"
        return f"the database {outcome}: {describe_failure(refusal.__cause__)}"
    return str(refusal)
