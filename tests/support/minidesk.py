"""The made-up helpdesk of docs/add-a-system.md: versions, tags that are replaced, internal notes, an API key."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MiniDesk:
    def __init__(self, key="mini-secret-key"):
        self.tickets = {"7": {"id": 7, "category": None, "tags": ["vip"], "version": 3}}
        self.notes = {"7": []}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = 401, {}
                if self.headers.get("X-Api-Key") == key:
                    status, answer = outer.answer(self.command, self.path, self.headers, json.loads(body or b"{}"))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                if isinstance(answer, dict) and "version" in answer:
                    self.send_header("ETag", f'"{answer["version"]}"')
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PATCH = do_POST = _any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, method, path, headers, sent):
        match = re.fullmatch(r"/api/tickets/(\w+)(/notes)?", path)
        if not match or match[1] not in self.tickets:
            return 404, {"error": "no such ticket"}
        ticket, notes = self.tickets[match[1]], self.notes[match[1]]
        if match[2]:
            if method == "POST":
                notes.append(sent)
                return 201, sent
            return 200, notes
        if method == "PATCH":
            if headers.get("If-Match") != f'"{ticket["version"]}"':
                return 412, {"error": "somebody was quicker"}
            ticket.update(sent, version=ticket["version"] + 1)
        return 200, ticket

    def close(self):
        self.server.shutdown()
        self.server.server_close()
