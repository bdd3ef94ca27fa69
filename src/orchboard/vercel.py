"""The entry point of Vercel's Python runtime (and of any ASGI server): `app`, on the database of POSTGRES.

The runtime may not send lifespan events: the database is then opened by the first request.
"""

from orchboard.app import app_from_environment

app = app_from_environment()
