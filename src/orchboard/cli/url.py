"""orchboard url"""

from typing import Annotated

from cyclopts import Parameter


def url(
    *,
    hide_password: Annotated[bool, Parameter(help="Print *** instead of the password.", negative="")] = False,
) -> None:
    """Print the URL of the database.

    The URL is POSTGRES, or that of the embedded database. The command starts nothing: the embedded database
    accepts connections only while `orchboard serve` or another command runs it.

    **Examples**

    ```
    orchboard url --hide-password
    pg_dump "$(orchboard url)" > backup.sql
    ```
    """
    import os

    from orchboard.cli.database import known_url
    from orchboard.cli.output import write_bytes
    from orchboard.cli.settings import read_environment
    from orchboard.postgres_url import without_password

    address = known_url(read_environment())
    if hide_password:
        shown, password = without_password(address)
        address = shown.replace("@", ":***@", 1) if password and "@" in shown else shown
    write_bytes(os.fsencode(address))
