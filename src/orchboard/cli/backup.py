"""orchboard backup"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchboard.cli.usage import refuse_options


def backup(
    file: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True, validator=refuse_options, help="File to write; `-` is standard output."
        ),
    ],
    /,
) -> None:
    """Write all results to a file.

    The file holds the regions, and each result with its receipt time, orchestrator, region and payload. It is a
    snapshot of one moment; servers may run meanwhile. The format is JSON lines compressed with zstd; the last line
    has a digest. The file gets its name only when it is complete and on disk. The database is not changed, not even
    migrated: a database of the reference server (schema version 3) can be backed up too.

    **Examples**

    ```
    orchboard backup results.jsonl.zst
    orchboard backup - | ssh other 'cat > results.jsonl.zst'
    ```
    """
    import asyncio
    import time

    from orchboard.cli.database import database_url, translate_driver_errors
    from orchboard.cli.progress import progress
    from orchboard.cli.settings import read_environment
    from orchboard.cli.streams import require_output
    from orchboard.store.postgres.database import Database
    from orchboard.store.transfer.archive import atomic_file
    from orchboard.store.transfer.backup import back_up

    settings = read_environment()
    if is_piped := file == "-":
        require_output("the backup")
    began_at = time.monotonic()
    target = nullcontext(sys.stdout.buffer) if is_piped else atomic_file(Path(file))
    with (
        target as out,
        database_url(settings) as url,
        translate_driver_errors(),
        progress("backing up") as report,
    ):
        connect = Database(url, connections=1, timeout_s=settings.db_timeout_s).connect
        trailer = asyncio.run(back_up(connect, out, on_progress=report))
    stream = sys.stderr if is_piped else sys.stdout
    took_s = time.monotonic() - began_at
    print(f"backed up {trailer.results:,} results in {took_s:.1f} s", file=stream)
    print(f"sha256 {trailer.results_sha256}", file=stream)
