"""orchboard serve"""

from typing import Annotated

from cyclopts import Parameter

from orchboard.cli.run_server import run_server


def serve(
    *,
    host: Annotated[
        str | None, Parameter(help="Address to listen on; 0.0.0.0 for all addresses. [HOST]")
    ] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 picks a free port. [PORT]")] = None,
    workers: Annotated[int | None, Parameter(help="Number of server processes. [WORKERS]")] = None,
    generate_secret: Annotated[
        bool,
        Parameter(
            help="If SECRET is not set, use the secret in the data directory; create it once.", negative=""
        ),
    ] = False,
    fd: Annotated[
        int | None,
        Parameter(
            help="File descriptor of a listening socket to accept connections from, instead of HOST and PORT."
        ),
    ] = None,
) -> None:
    """Run the server.

    It uses the database of POSTGRES. If POSTGRES is not set, it starts and stops an embedded database. It migrates
    the database first. Settings come from the environment (docs/settings.md); options override variables.

    SIGTERM stops the server gracefully, SIGHUP restarts it; neither fails a request. Socket activation by systemd is
    supported.

    **Examples**

    ```
    orchboard serve --generate-secret --port 8081
    POSTGRES=postgresql://… SECRET=… orchboard serve
    ```
    """
    run_server(host=host, port=port, workers=workers, generate_secret=generate_secret, fd=fd)
