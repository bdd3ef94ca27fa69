"""orchboard secret"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def secret(
    *,
    show: Annotated[bool, Parameter(help="Print the secret itself.", negative="")] = False,
    pid: Annotated[
        int | None,
        Parameter(help="Read the secret of the server with this process id, of the same user. Linux only."),
    ] = None,
) -> None:
    """Show where the secret that signs results is stored.

    It is `SECRET`, else the file named by `SECRET_FILE`, else the file that `orchboard serve --generate-secret` created
    in the data directory. Job testers need the secret itself, which `--show` prints.

    **Examples**

    ```
    orchboard secret
    SECRET="$(orchboard secret --show)" my-tester
    ```
    """
    import os
    import sys

    from orchboard.cli.settings import signing_secret
    from orchboard.config import read_settings
    from orchboard.runtime.logs import configure_logs

    configure_logs("error")
    found = signing_secret(read_settings(os.environ if pid is None else _environment_of(pid)))
    if show:
        print(found.value)
        return
    print(found.source)
    if sys.stdout.isatty():
        print("orchboard: `orchboard secret --show` prints the secret itself", file=sys.stderr)


def _environment_of(pid: int) -> dict[str, str]:
    """The environment of a process of this user. Raises BadInputError when it can't be read."""
    import os
    from pathlib import Path

    from orchboard.errors import BadInputError

    directory = Path(f"/proc/{pid}")
    try:
        variables = (directory / "environ").read_bytes().split(b"\0")
        where = (directory / "cwd").readlink()
    except OSError as error:
        raise BadInputError(f"the environment of process {pid} can't be read: {error.strerror}") from None
    pairs = (os.fsdecode(one).partition("=") for one in variables if one)
    environ = {name: value for name, _, value in pairs}
    named = ("POSTGRES_FILE", "SECRET_FILE", "ORCHBOARD_DATA")
    paths = {name: str(where / environ[name]) for name in named if environ.get(name)}
    return {**environ, **paths}
