"""What speaks to sockets: the connection protocol, request parsing, timeouts and limits for clients, the fast path past
ASGI, and the ASGI application for everything else.

May import `api`, `answers` and what lies below them. Start reading at `protocol.py`.
"""
