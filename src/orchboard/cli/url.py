"""orchboard url"""

from typing import Annotated

from cyclopts import Parameter


def url(
    *, hide_password: Annotated[bool, Parameter(help="Print *** for the password.", negative="")] = False
) -> None:
    """Print the URL of the database.

    POSTGRES, or that of the embedded database if there is one; starts nothing. For other programs
    that speak to Postgres:

    `pg_dump "$(orchboard url)" > backup.sql` while `orchboard serve` runs.
    """
    from orchboard.cli.database import known_url, read_environment
    from orchboard.postgres_url import without_password

    address = known_url(read_environment())
    if hide_password:
        shown, password = without_password(address)
        address = shown.replace("@", ":***@", 1) if password and "@" in shown else shown
    print(address)
