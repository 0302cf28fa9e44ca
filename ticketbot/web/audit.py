"""Who did what?"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from ticketbot.db.models import Audit


def note(session: Session, now: float, who: str, what: str, **detail: Any) -> None:
    """Write down, in the same transaction as the deed, that `who` did `what` ("token made"). Never a secret."""
    session.add(Audit(at=now, who=who, what=what, detail=detail or None))
