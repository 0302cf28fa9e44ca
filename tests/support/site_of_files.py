"""A web site of a few files on loopback, which counts what is asked of it."""

import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """pages: path -> (status, content type, body), or a path to redirect to."""

    def __init__(self, pages, delay_s=0.0):
        self.pages, self.delay_s = pages, delay_s
        self.asked, self.at_once, self.most_at_once = Counter(), 0, 0
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, path):
        with self.lock:
            self.asked[path] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.delay_s)
        with self.lock:
            self.at_once -= 1
        return self.pages.get(path, (404, "text/plain", b"gone"))


@contextmanager
def serving(pages, delay_s=0.0):
    site = Site(pages, delay_s)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = site.answer(self.path)
            status, kind, body = (302, "text/plain", b"") if isinstance(found, str) else found
            self.send_response(status)
            if isinstance(found, str):
                self.send_header("Location", found)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
