"""orchboard post"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orchboard.cli.usage import refuse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchboard.cli.result_files import ResultText
    from orchboard.client import Client
    from orchboard.stats import JobType


def post(
    *files: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            validator=refuse_options,
            help="Files to read; `-` or no file: standard input.",
        ),
    ],
    url: Annotated[
        str | None, Parameter(help="Base URL of the server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None,
    example: Annotated[
        bool,
        Parameter(
            help="Send an example result instead of files: transcoding, or ai with the argument `ai`.",
            negative="",
        ),
    ] = False,
    key: Annotated[
        bool,
        Parameter(
            help="Send an Idempotency-Key. With --no-key: only the bare signature, and no retry of a request that may have arrived."
        ),
    ] = True,
    tester: Annotated[
        str | None, Parameter(help="Name of the tester, if SECRET is its own key. [ORCHBOARD_TESTER]")
    ] = None,
    json: Annotated[bool, Parameter(help="Print the outcome as JSON.", negative="")] = False,
    timeout: Annotated[float, Parameter(help="Seconds for each result, including retries.")] = 30.0,
) -> int:
    """Sign results and send them to a server.

    A file contains one result (a JSON object), an array of results, or one result a line. Each is signed with
    SECRET, or with the secret that `orchboard serve --generate-secret` stored. Requests are retried while the
    server is unreachable or busy. Refused results are reported and not sent again. The exit status is 0 when
    all results were stored.

    **Examples**

    ```
    orchboard post --example
    orchboard post --example ai
    orchboard post results/*.json
    my-tester | orchboard post --url https://leaderboard.example
    ```
    """
    from datetime import UTC, datetime

    from orchboard.cli.output import print_first_retry, print_json
    from orchboard.cli.result_files import example_result
    from orchboard.cli.settings import read_environment, signing_secret
    from orchboard.client import Client
    from orchboard.stats import JobType

    settings = read_environment()
    secret = signing_secret(settings)
    tester = settings.orchboard_tester if tester is None else tester
    client = Client(
        url or settings.orchboard_url,
        secret=secret.value,
        tester=tester,
        timeout=timeout,
        max_retries=None,
        on_retry=print_first_retry,
    )
    if not example and not files and sys.stdin.isatty():
        print("orchboard: reading results from the terminal; end with Ctrl-D", file=sys.stderr)
    tally = Tally()
    job_types = [_parse_job_type(name) for name in files or (JobType.TRANSCODING,)] if example else []
    examples = [example_result(datetime.now(UTC), job_type) for job_type in job_types]
    results = examples or _read(files or ("-",), tally)
    _send(client, results, tally, remedy=_remedy(tester, secret.source), with_key=key)
    if json:
        print_json(asdict(tally))
    else:
        _print_tally(tally)
        for job_type in job_types if tally.stored else ():
            _print_links(client.url, job_type)
    return 0 if not tally.refused else 1


@dataclass
class Tally:
    """The outcome of sending. A file that cannot be read counts as one refused result."""

    stored: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    not_sent: int = 0

    def refuse(self, source: str, error: object) -> None:
        """Count a refused result, with the reason."""
        self.refused.append({"source": source, "error": str(error)})

    def __str__(self) -> str:
        refused = f", refused {len(self.refused):,}" if self.refused else ""
        return f"stored {self.stored:,}{refused}" + (f", not sent {self.not_sent:,}" if self.not_sent else "")


def _print_tally(tally: Tally) -> None:
    from orchboard.cli.cells import printable

    for refusal in tally.refused:
        print(f"orchboard: {printable(refusal['source'])}: {printable(refusal['error'])}", file=sys.stderr)
    print(tally)


def _read(files: Sequence[str], tally: Tally) -> list[ResultText]:
    """The results of all files that can be read."""
    import errno
    from pathlib import Path

    from orchboard.cli.result_files import read_results
    from orchboard.errors import BadInputError

    results: list[ResultText] = []
    for file in files:
        name = "standard input" if file == "-" else file
        try:
            text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            results += read_results(name, text)
        except OSError as error:
            tally.refuse(name, "it is closed" if error.errno == errno.EBADF else error.strerror)
        except BadInputError as error:
            tally.refuse(name, error)
    return results


def _send(
    client: Client, results: Sequence[ResultText], tally: Tally, *, remedy: str, with_key: bool
) -> None:
    """Send the results in order. Stops when the server is unreachable or has another secret."""
    from orchboard.cli.output import progress_bar
    from orchboard.client import ClientError, RefusedError, UnreachableError
    from orchboard.client.errors import NOT_AUTHENTICATED

    with progress_bar(shown=len(results) > 1) as bar:
        task = bar.add_task("sending", total=len(results))
        for position, result in enumerate(results, start=1):
            tally.not_sent = len(results) - position
            try:
                client.post(result.body, key=None if with_key else "")
            except UnreachableError as error:
                return tally.refuse(result.source, error)
            except ClientError as error:
                if isinstance(error, RefusedError) and error.is_unauthenticated:
                    has_reason = str(error) != NOT_AUTHENTICATED
                    return tally.refuse(result.source, error if has_reason else f"{error}: {remedy}")
                tally.refuse(result.source, error)
            else:
                tally.stored += 1
            bar.advance(task)
    return None


def _remedy(tester: str, source: str) -> str:
    if tester:
        named = "SECRET" if source == "SECRET" else f"what {source} holds"
        return f"check that {named} is the key of {tester} and not revoked (`orchboard tester list`)"
    if source == "SECRET":
        return "check that SECRET equals the server's"
    return f"it was signed with the secret in {source}; if the server uses another one, set SECRET to it"


def _parse_job_type(name: str) -> JobType:
    from orchboard.errors import BadInputError
    from orchboard.stats import JobType

    if name not in tuple(JobType):
        raise BadInputError(f"--example must be {' or '.join(JobType)}, not {name[:40]!r}")
    return JobType(name)


def _print_links(url: str, job_type: JobType) -> None:
    from orchboard.stats import EXAMPLE_ORCHESTRATOR, JobType

    named = "" if job_type is JobType.TRANSCODING else f"job_type={job_type}&"
    query = f"?{named}orchestrator={EXAMPLE_ORCHESTRATOR}"
    print(f"its page:   {url}/{query}")
    print(f"as stored:  {url}/api/raw_stats{query}")
