"""Does a ticket system get the answers? A small one to look at: it takes webhooks and shows the tickets they tell of.

    POST /hook            401 when the signature is not ours, 400 when the body is no event, 413 when it is too large,
                          else 200; a webhook-id seen before changes nothing ("duplicate": true)
    GET  /                the tickets, for people
    GET  /tickets.json    the same and the counts, for programs

State is in memory: this desk lives as long as the demo.
"""

from __future__ import annotations

import html
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ticketbot.deliver.sign import verify
from ticketbot.errors import SignatureRefused

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024  # an event has under 20 kB
KEEP_IDS_S = 4 * 86_400  # longer than the sender repeats


@dataclass
class DeskPicture:
    """One picture as last heard of."""

    path: str
    user: str
    category: str
    confidence: float | None
    by: str


@dataclass
class DeskTicket:
    """`seq` of the newest event taken; `corrections`: "old -> new" for each change of mind."""

    ticket: str
    category: str | None = None
    confidence: float | None = None
    by: str = ""
    seq: int = 0
    answers: int = 0
    corrections: list[str] = field(default_factory=list)
    pictures: dict[str, DeskPicture] = field(default_factory=dict)


class Desk:
    """What arrived. Threads may call everything."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._secret, self._now = secret, now
        self._lock = threading.Lock()
        self._seen_at: dict[str, float] = {}
        self._tickets: dict[str, DeskTicket] = {}
        self._counts = {"received": 0, "taken": 0, "duplicates": 0, "refused": 0}

    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """HTTP status and answer for one webhook."""
        with self._lock:
            self._counts["received"] += 1
            now = self._now()
            try:
                message_id = verify(body, headers, self._secret, now=now)
                event = _event(body)
            except SignatureRefused as error:
                return self._refuse(401, str(error))
            except ValueError as error:
                return self._refuse(400, str(error))
            if message_id in self._seen_at:
                self._counts["duplicates"] += 1
                return 200, {"ok": True, "duplicate": True}
            self._forget_old_ids(now)
            self._seen_at[message_id] = now
            self._counts["taken"] += 1
            self._take(event["type"], event["data"])
            return 200, {"ok": True, "duplicate": False}

    def _refuse(self, status: int, why: str) -> tuple[int, dict[str, Any]]:
        self._counts["refused"] += 1
        log.warning("desk refused a webhook: %s", why)
        return status, {"ok": False, "error": why}

    def _forget_old_ids(self, now: float) -> None:
        while self._seen_at:  # in the order they came
            oldest = next(iter(self._seen_at))
            if self._seen_at[oldest] > now - KEEP_IDS_S:
                return
            del self._seen_at[oldest]

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        ticket = self._tickets.setdefault(name := _ticket_name(data), DeskTicket(name))
        for picture in data["pictures"]:
            if data["seq"] >= ticket.seq or picture["sha256"] not in ticket.pictures:
                ticket.pictures[picture["sha256"]] = _picture(picture)
        if data["seq"] <= ticket.seq:  # late: we know better already
            return
        ticket.seq = data["seq"]
        if kind.startswith("ticket."):
            ticket.answers += 1
            if kind == "ticket.corrected":
                ticket.corrections.append(f"{data['previous']} → {data['category']}")
            ticket.category, ticket.confidence, ticket.by = data["category"], data["confidence"], data["by"]

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def tickets(self) -> list[dict[str, Any]]:
        """The tickets by name, each with its pictures as a list."""
        with self._lock:
            listed = [asdict(self._tickets[name]) for name in sorted(self._tickets)]
        return [{**ticket, "pictures": list(ticket["pictures"].values())} for ticket in listed]


def _event(body: bytes) -> dict[str, Any]:
    """The event of a signed body. Raises ValueError when it is none of ours."""
    event = json.loads(body)
    try:
        data = event["data"]
        well_formed = isinstance(event["type"], str) and isinstance(data["seq"], int)
        well_formed = well_formed and isinstance(data["category"], str) and isinstance(data["pictures"], list)
        well_formed = well_formed and all(isinstance(picture["sha256"], str) for picture in data["pictures"])
        for key in ("ticket", "confidence", "by", "previous"):
            data[key]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the body is not an event: {type(error).__name__} {error}") from error
    if not well_formed:
        raise ValueError("the body is not an event")
    return dict(event)


def _ticket_name(data: dict[str, Any]) -> str:
    """The ticket; where the sender leaves finding it to us, user and path stand for it."""
    if data["ticket"] is not None:
        return str(data["ticket"])
    first = data["pictures"][0] if data["pictures"] else {}
    return f"{first.get('user')}/{first.get('path')}"


def _picture(picture: dict[str, Any]) -> DeskPicture:
    confidence = picture.get("confidence")
    return DeskPicture(
        path=str(picture.get("path")),
        user=str(picture.get("user")),
        category=str(picture.get("category")),
        confidence=confidence if isinstance(confidence, int | float) else None,
        by=str(picture.get("by")),
    )


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #243;
  background: #fafaf7 }
h1 { font-weight: 500; margin-bottom: .2rem } p { color: #687 }
table { border-collapse: collapse; width: 100%; background: #fff }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; border-bottom: 1px solid #e4e4dc }
th { font-weight: 500; color: #687 } td.number { text-align: right; font-variant-numeric: tabular-nums }
.category { background: #e8efe9; border-radius: .3rem; padding: .1rem .5rem }
.path { overflow-wrap: anywhere } .soft { color: #798 }
"""


def page(tickets: list[dict[str, Any]], counts: Mapping[str, int]) -> str:
    """The desk's only page. Every value is escaped: names of files are whatever a stranger typed."""
    rows = "\n".join(_row(ticket) for ticket in tickets) or '<tr><td colspan="5" class="soft">no ticket yet</td></tr>'
    told = ", ".join(f"{html.escape(name)} {number}" for name, number in counts.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ticket desk</title><link rel="stylesheet" href="/desk.css"></head><body>
<h1>Ticket desk</h1><p>{len(tickets)} tickets; webhooks: {told}</p>
<table><thead><tr><th>Ticket</th><th>Category</th><th>Confidence</th><th>Pictures</th><th>Corrections</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>"""


def _row(ticket: dict[str, Any]) -> str:
    pictures = "<br>".join(
        f'{html.escape(p["path"])} <span class="soft">{html.escape(p["category"])} {_percent(p["confidence"])}</span>'
        for p in ticket["pictures"]
    )
    category = f'<span class="category">{html.escape(ticket["category"])}</span>' if ticket["category"] else "open"
    corrections = "<br>".join(html.escape(line) for line in ticket["corrections"])
    return (
        f"<tr><td>{html.escape(ticket['ticket'])}</td><td>{category} "
        f'<span class="soft">{html.escape(str(ticket["by"]))}</span></td>'
        f'<td class="number">{_percent(ticket["confidence"])}</td>'
        f'<td class="path">{pictures}</td><td>{corrections}</td></tr>'
    )


def _percent(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.0%}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    desk: Desk


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds a silent connection may stay

    def do_GET(self) -> None:
        desk = self.server.desk
        if self.path == "/":
            self._answer(200, "text/html; charset=utf-8", page(desk.tickets(), desk.counts()))
        elif self.path == "/tickets.json":
            told = {"tickets": desk.tickets(), "counts": desk.counts()}
            self._answer(200, "application/json", json.dumps(told, ensure_ascii=False))
        elif self.path == "/desk.css":
            self._answer(200, "text/css", STYLE)
        else:
            self._answer(404, "text/plain", "not here")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/hook" or not length.isascii() or not length.isdigit():
            self._last_answer(404 if self.path != "/hook" else 411, "POST /hook with a Content-Length")
        elif int(length) > MAX_BODY_BYTES:
            self._last_answer(413, "too large")
        else:
            status, told = self.server.desk.receive(self.rfile.read(int(length)), dict(self.headers.items()))
            self._answer(status, "application/json", json.dumps(told))

    def _last_answer(self, status: int, text: str) -> None:
        """The body stays unread, so this connection cannot be used again."""
        self.close_connection = True
        self._answer(status, "text/plain", text)

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'self'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("desk: " + format, *args)


class RunningDesk:
    """The desk on 127.0.0.1 in a thread of its own; `port` 0 takes a free one. Close it, or use `with`."""

    def __init__(self, secret: str, port: int = 0, now: Callable[[], float] = time.time) -> None:
        self.desk = Desk(secret, now)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.desk = self.desk
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="desk", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def hook_url(self) -> str:
        return f"{self.url}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> RunningDesk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
