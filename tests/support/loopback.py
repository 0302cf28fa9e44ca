"""Two small servers on a loopback port: one that takes JSON, one that gives what a dictionary says."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class _Loopback:
    """Serves while it is open; `netloc` is its address and port."""

    def __init__(self, handler):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.netloc}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Hook(_Loopback):
    """Takes every POST; `got`: their JSON, in order."""

    def __init__(self):
        self.got = []
        hook = self

        class Handler(_Handler):
            def do_POST(self):
                hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(200, {}, b"")

        super().__init__(Handler)


class Pages(_Loopback):
    """`pages`: path -> (status, headers, body), anything else is a 404; `asked`: (path, headers), in order.

    A path in `stuck` is not answered before the server closes.
    """

    def __init__(self):
        self.pages, self.asked, self.stuck = {}, [], set()
        self._closing = threading.Event()
        served = self

        class Handler(_Handler):
            def do_GET(self):
                served.asked.append((self.path, dict(self.headers)))
                if self.path in served.stuck:
                    served._closing.wait(60)
                self.answer(*served.pages.get(self.path, (404, {}, b"{}")))

        super().__init__(Handler)

    def __exit__(self, *error):
        self._closing.set()
        super().__exit__(*error)
