"""orchboard post"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchboard.client import Client, Result


def post(
    *files: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="Files to read; - or none: standard input.")
    ],
    url: Annotated[
        str | None, Parameter(help="The server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None,
    example: Annotated[
        bool, Parameter(help="Send one made-up transcoding result instead.", negative="")
    ] = False,
    key: Annotated[
        bool, Parameter(help="Send an Idempotency-Key, so that a retry stores nothing twice.")
    ] = True,
    json: Annotated[bool, Parameter(help="Say what became of them as JSON.", negative="")] = False,
    timeout: Annotated[float, Parameter(help="Seconds for each result, retries included.")] = 30.0,
) -> int:
    """Sign and send results to a server.

    A file holds one result (a JSON object), an array of them, or one a line. Each is signed with SECRET,
    or with the secret that `orchboard serve --generate-secret` keeps. While the server is away or busy it
    is asked again; what it refuses is reported and not sent again. Exit status 0: all were stored.

    `orchboard post --example` sends a first result; `orchboard post results/*.json` sends a directory;
    `my-tester | orchboard post --url https://leaderboard.example` sends what a tester prints.
    """
    import os
    import sys

    from orchboard.cli.database import read_environment, signing_secret
    from orchboard.cli.output import print_json, printable
    from orchboard.client import Client

    settings = read_environment()
    secret = signing_secret(settings)
    client = Client(url or settings.orchboard_url, timeout_s=timeout)
    if not example and not files and sys.stdin.isatty():
        print("orchboard: reading results from the terminal; end with Ctrl-D", file=sys.stderr)
    results, refused = _example() if example else _read(files or ("-",))
    stored = _send(client, results, refused, secret=secret, with_key=key)
    if json:
        print_json({"stored": stored, "refused": [{"source": s, "error": why} for s, why in refused]})
    else:
        for source, why in refused:
            print(f"orchboard: {printable(source)}: {printable(why)}", file=sys.stderr)
        print(f"stored {stored} of {stored + len(refused)}" if refused or stored > 1 else "stored")
        if example and stored:
            _print_where_to_look(client.url)
    sys.stdout.flush()
    return os.EX_OK if not refused else 1


def _example() -> tuple[list[Result], list[tuple[str, str]]]:
    from datetime import UTC, datetime

    from orchboard.client import example_result

    return [example_result(datetime.now(UTC))], []


def _read(files: Sequence[str]) -> tuple[list[Result], list[tuple[str, str]]]:
    """The results of all files, and the files that can't be read, each with the reason."""
    import sys
    from pathlib import Path

    from orchboard.client import read_results
    from orchboard.errors import BadInputError

    results: list[Result] = []
    refused: list[tuple[str, str]] = []
    for file in files:
        name = "standard input" if file == "-" else file
        try:
            text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            results += read_results(name, text)
        except OSError as error:
            refused.append((name, error.strerror or str(error)))
        except BadInputError as error:
            refused.append((name, str(error)))
    return results, refused


def _send(
    client: Client, results: Sequence[Result], refused: list[tuple[str, str]], *, secret: str, with_key: bool
) -> int:
    """How many were stored; the others are added to `refused`. Stops when going on is no use."""
    from orchboard.cli.output import progress_bar
    from orchboard.client import ServerRefusedError, ServerUnreachableError, new_key

    stored = 0
    with progress_bar(shown=len(results) > 1) as bar:
        task = bar.add_task("sending", total=len(results))
        for sent, result in enumerate(results, start=1):
            hopeless = False
            try:
                client.post(result.body, secret, key=new_key() if with_key else None)
                stored += 1
            except ServerRefusedError as error:
                hopeless = error.status == 403
                why = " (is SECRET the same here and there?)" if hopeless else ""
                refused.append((result.source, f"{error}{why}"))
            except ServerUnreachableError as error:
                hopeless = True
                refused.append((result.source, str(error)))
            if hopeless:
                refused += [(left.source, "not sent, after the failure before") for left in results[sent:]]
                break
            bar.advance(task)
    return stored


def _print_where_to_look(url: str) -> None:
    from orchboard.client import EXAMPLE_ORCHESTRATOR

    print(f"its page:   {url}/?orchestrator={EXAMPLE_ORCHESTRATOR}")
    print(f"as stored:  {url}/api/raw_stats?orchestrator={EXAMPLE_ORCHESTRATOR}")
