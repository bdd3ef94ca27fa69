"""orchboard openapi"""

from typing import Annotated

from cyclopts import Parameter


def openapi(
    *, markdown: Annotated[bool, Parameter(help="For people, as in docs/api.md.", negative="")] = False
) -> None:
    """Print the API's OpenAPI document.

    OpenAPI 3.1 in JSON, for generators and API tools; a running server has it at /openapi.json, with
    pages to read it at /docs.

    **Examples**

    ```
    orchboard openapi > openapi.json
    orchboard openapi --markdown > api.md
    ```
    """
    import sys

    from orchboard.api.docs_page import api_markdown
    from orchboard.api.openapi import openapi_json

    if markdown:
        sys.stdout.write(api_markdown())
    else:
        sys.stdout.buffer.write(openapi_json().rstrip(b"\n") + b"\n")
    sys.stdout.flush()
