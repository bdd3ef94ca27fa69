"""GET /healthz"""

from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.endpoint import ApiContext
from orchboard.api.responses import json_now
from orchboard.server_state import Alive


async def healthz(_: Request, __: ApiContext) -> Response:
    """That the process answers, without looking at anything else."""
    return json_now(Alive(True))
