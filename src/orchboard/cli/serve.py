"""orchboard serve"""

from typing import Annotated

from cyclopts import Parameter

from orchboard.cli.run_server import run_server


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; 0.0.0.0 for all. [HOST]")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free one. [PORT]")] = None,
    workers: Annotated[int | None, Parameter(help="Server processes. [WORKERS]")] = None,
    generate_secret: Annotated[
        bool, Parameter(help="Without SECRET, use one kept in the data directory, made once.", negative="")
    ] = False,
    fd: Annotated[
        int | None,
        Parameter(
            help="Take connections from this open descriptor, a socket that listens, instead of HOST and PORT."
        ),
    ] = None,
) -> None:
    """Serve the leaderboard.

    On the database of POSTGRES; without it, on an embedded one, which is started and stopped with the
    server. Migrates the database first. Settings come from the environment (see the README's table);
    a flag given here goes before its variable.

    SIGTERM stops it without failing a request, SIGHUP restarts it so. A socket that systemd hands over is taken.

    **Examples**

    ```
    orchboard serve --generate-secret --port 8081
    POSTGRES=postgresql://… SECRET=… orchboard serve
    ```
    """
    run_server(host=host, port=port, workers=workers, generate_secret=generate_secret, fd=fd)
