"""orchboard psql"""

from typing import Annotated

from cyclopts import Parameter


def psql(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="For psql itself.")]) -> int:
    """Open psql on the database.

    On POSTGRES, or on the embedded database, which is started if need be and runs as long as the shell
    is open. What psql is given and how it exits is psql's own business.

    **Examples**

    ```
    orchboard psql
    orchboard psql -c 'select count(*) from events'
    ```
    """
    import os
    import signal
    import subprocess

    from orchboard.cli.database import database_url, find_psql
    from orchboard.cli.settings import read_environment
    from orchboard.postgres_url import without_password

    settings = read_environment()
    program = find_psql(settings)
    with database_url(settings) as url:
        address, password = without_password(url)
        # Other users see a command line, but not an environment.
        environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
        if settings.postgres:
            os.execve(program, [program, *arguments, address], environment)  # noqa: S606 - psql is meant to run
        signal.signal(signal.SIGINT, lambda *_: None)  # psql handles it; we stay for the database
        command = [program, *arguments, address]
        return subprocess.run(command, env=environment, check=False).returncode
