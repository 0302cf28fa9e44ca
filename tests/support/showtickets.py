"""Tickets for the showcase: pictures on tickets, what was said about them, and how the deliveries went."""

import random

from sqlalchemy import select

from ticketbot.db.models import Answer, Attempt, EndpointState, File, FileTicket
from ticketbot.deliver import admin, outbox

ACCEPTED = b'{"ok": true, "ticket": "updated"}'
DOWN = b"<html><body><h1>503 Service Unavailable</h1></body></html>"


def fill(site):
    """Two pictures a ticket, answered as they came; most delivered, some at the second try, some given up."""
    now, dice = site.clock.now, random.Random(3)
    with site.db.read() as session:
        newest = select(File.id, File.sha256, File.staged_at).where(File.sha256.is_not(None)).order_by(File.staged_at)
        files = [tuple(row) for row in session.execute(newest)]
    for number, (file_id, sha256, at) in enumerate(files):
        with site.db.write() as session:
            session.add(FileTicket(file_id=file_id, ticket=f"INC-{48100 + number // 2}", resolved_at=at))
            session.flush()
            outbox.announce(session, site.db, site.settings, sha256, at)
        outbox.decide_tickets(site.db, site.settings, at + site.settings.deliver.ticket_quiet_s)
    with site.db.write() as session:
        for answer in session.scalars(select(Answer).where(Answer.endpoint == "desk").order_by(Answer.id)):
            _try(session, answer, dice.random(), now)
        session.add(EndpointState(name="desk", last_success_at=now - 12, recent=[], secrets=[]))
    for name in ("desk", "archive"):
        admin.rotate_secret(site.db, site.settings, name, "ada", now - 86400)


def _try(session, answer, luck, now):
    if luck > 0.08:
        failures, answer.state = (1 if luck > 0.9 else 0), "delivered"
    else:
        failures, answer.state = (9, "dead") if luck < 0.02 else (2, "pending")
    at = answer.created_at + 1
    for number in range(1, failures + 1):
        down = {"status": 503, "error": "the receiver answered 503", "response": DOWN}
        session.add(Attempt(answer_id=answer.id, number=number, at=at, took_ms=212, **down))
        at += 60
    answer.attempts = failures + (answer.state == "delivered")
    answer.last_status, answer.last_error, answer.due_at = 503, "the receiver answered 503", now + 340
    if answer.state == "delivered":
        session.add(
            Attempt(answer_id=answer.id, number=answer.attempts, at=at, took_ms=48, status=200, response=ACCEPTED)
        )
        answer.last_status, answer.last_error, answer.delivered_at = 200, None, at
