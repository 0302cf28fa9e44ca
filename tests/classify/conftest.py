import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.bundles import picture
from tests.support.shelf import jpeg
from ticketbot.imaging.decode import DecoderPool


class Pictures(BaseHTTPRequestHandler):
    """Serves a red picture at /red.jpg, text at /text.jpg, nothing elsewhere."""

    def do_GET(self):
        body = {"/red.jpg": jpeg(picture(0, px=96)), "/text.jpg": b"hello"}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def pictures():
    """The address of a picture server on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def decoders():
    """Guarded decoder children, shared by the tests of this part."""
    pool = DecoderPool(2, timeout_s=20)
    yield pool
    pool.close()
