"""orchboard psql"""

from typing import Annotated

from cyclopts import Parameter


def psql(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="Passed to psql.")]) -> int:
    """Open psql on the database.

    The database is that of POSTGRES, or the embedded one, which is started if necessary and runs until psql
    ends. Arguments and exit status are psql's.

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
        # Other users can read command lines, but not environments.
        environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
        if settings.postgres:
            os.execve(program, [program, *arguments, address], environment)  # noqa: S606 - psql is meant to run
        signal.signal(signal.SIGINT, lambda *_: None)  # psql handles it; the database must keep running
        command = [program, *arguments, address]
        return subprocess.run(command, env=environment, check=False).returncode
