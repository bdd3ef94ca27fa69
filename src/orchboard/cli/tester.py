"""orchboard tester"""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

MAX_NAME = 56

# Standard Webhooks requires 24 to 64.
KEY_BYTES = 32

tester = App(
    name="tester",
    help="""Give job testers their own keys, and revoke them.

    A tester with its own key signs with that key instead of SECRET, and sends its name in the header
    `Orchboard-Tester`. The server stores the tester's name with each result. Testers without a key sign with SECRET.
    A running server notices a change within two seconds.

    **Examples**

    ```
    orchboard tester add muc-1 --region MUC
    ```
    """,
)


@tester.command
def add(
    name: Annotated[str, Parameter(help="Name of the tester: letters, digits, `.`, `_` and `-`.")],
    /,
    *,
    region: Annotated[
        tuple[str, ...],
        Parameter(
            help="A region that it may post from; repeat for several. Default: all regions.", negative=""
        ),
    ] = (),
) -> None:
    """Create a key for a tester, and print it. It is not shown again.

    To replace a key without interruption, add a second name, configure the tester with it, then revoke the first.

    **Examples**

    ```
    orchboard tester add muc-1 --region MUC --region FRA
    orchboard tester add any-1 > any-1.key
    ```
    """
    import asyncio
    import base64
    import secrets

    from orchboard.cli.database import database_url, open_testers
    from orchboard.cli.settings import read_environment
    from orchboard.cli.streams import require_output
    from orchboard.errors import BadInputError
    from orchboard.signing import WEBHOOK_PREFIX

    require_output("the key")
    name, codes = _parse_name(name), sorted({code.strip().upper() for code in region})
    key = WEBHOOK_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    settings = read_environment()

    async def insert(url: str) -> None:
        async with open_testers(settings, url) as (testers, regions):
            known = {one.id for one in await regions.current()}
            if unknown := [code for code in codes if code not in known]:
                raise BadInputError(
                    f"there is no region {', '.join(unknown)}: `orchboard region list` shows all regions"
                )
            if not await testers.add(name, key, codes or None):
                raise BadInputError(f"{name} already has a key: `orchboard tester revoke {name}` revokes it")

    with database_url(settings) as url:
        asyncio.run(insert(url))
    print(key)
    print(
        f"orchboard: this is the key of {name}; it is not shown again. The tester signs with it and sends the header "
        f"Orchboard-Tester: {name}",
        file=sys.stderr,
    )


@tester.command(name="list")
def list_testers(*, json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False) -> None:
    """List the testers that have or had a key. Keys are not shown.

    **Examples**

    ```
    orchboard tester list
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_testers
    from orchboard.cli.output import print_json, print_table
    from orchboard.cli.settings import read_environment

    settings = read_environment()

    async def fetch(url: str) -> None:
        async with open_testers(settings, url) as (testers, _):
            found = await testers.fetch()
        if json:
            print_json({"testers": found})
            return
        rows = [
            [
                one.name,
                "any" if one.regions is None else " ".join(one.regions),
                f"{one.added_at:%Y-%m-%d %H:%M}",
                f"{one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else "",
            ]
            for one in found
        ]
        print_table(("tester", "regions", "added", "revoked"), rows, empty="no tester has its own key")

    with database_url(settings) as url:
        asyncio.run(fetch(url))


@tester.command
def revoke(name: Annotated[str, Parameter(help="Name of the tester.")], /) -> None:
    """Revoke a tester's key permanently. Its results and their tester's name remain.

    **Examples**

    ```
    orchboard tester revoke muc-1
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_testers
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError

    settings = read_environment()

    async def update(url: str) -> None:
        async with open_testers(settings, url) as (testers, _):
            if not await testers.revoke(name):
                raise BadInputError(f"{name} has no key: `orchboard tester list` shows all testers")
        print(f"the key of {name} is revoked")

    with database_url(settings) as url:
        asyncio.run(update(url))


def _parse_name(name: str) -> str:
    import re

    from orchboard.errors import BadInputError

    if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", name):
        raise BadInputError(f"a tester's name must have 1 to {MAX_NAME} letters, digits, `.`, `_` and `-`")
    return name
