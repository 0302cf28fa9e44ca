"""A server that plays a script: the requests must come in this order and be these, and get these answers.

with ScriptServer([Exchange("GET", "/tickets/7", answer={"id": 7})]) as server:
    ...
server.check()   nothing else came, nothing is left
"""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Exchange:
    """`sent`: the JSON that must come (None: no body); `headers`: some that must be there."""

    method: str
    path: str
    sent: Any = None
    status: int = 200
    answer: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    answer_headers: dict[str, str] = field(default_factory=dict)


class ScriptServer:
    def __init__(self, script):
        self.script = list(script)
        self.wrong: list[str] = []

    def play(self, method, path, headers, body):
        if not self.script:
            self.wrong.append(f"{method} {path} is one more than the script has")
            return Exchange(method, path, status=500)
        one = self.script.pop(0)
        sent = json.loads(body) if body else None
        for what, got, wanted in (
            ("request", f"{method} {path}", f"{one.method} {one.path}"),
            ("body", sent, one.sent),
            *((name, headers.get(name), value) for name, value in one.headers.items()),
        ):
            if got != wanted:
                self.wrong.append(f"{what}: {got!r} instead of {wanted!r}")
        return one

    def check(self):
        assert self.wrong == []
        assert [f"{one.method} {one.path}" for one in self.script] == []

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                one = outer.play(self.command, self.path, self.headers, body)
                text = one.answer if isinstance(one.answer, bytes) else json.dumps(one.answer).encode()
                if one.status == 204:
                    text = b""
                self.send_response(one.status)
                for name, value in {"Content-Length": str(len(text)), **one.answer_headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
