"""Someone else's HTTP server with documents."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def documents(*bodies: bytes) -> Iterator[str]:
    """Serve one body after the other, the last one for ever; an empty body is a 500."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[min(len(asked), len(bodies) - 1)]
            asked.append(self.path)
            self.send_response(200 if body else 500)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/document"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
