"""Which facts do we keep, and which states can they be in?

Every hand-off between stages is a row changing state here; files and workers only carry. Four small charts:

    file (a path in a source)               picture (a content, by sha256)
      seen ──► settling ──► staged            staged ◄──► archived (nothing archives yet)
        │         │           │                  │            │
        └────►  refused  ◄────┘ (changed)        └──► erased ◄┘  (tombstone: never collected again)
        any ──► gone (a complete scan did not see it) ──► seen

    prediction (picture x model)            answer (ticket x endpoint, the outbox)
      (none) ──► done                         pending ──► delivered
             └─► failed (its code says why)      │ ├────► dead ──► pending (redelivered by a person)
                                                 │ └────► cancelled (a newer answer replaced it)
                                                 └─ held ──► pending (dry run ended, or the quiet time is over)

Labels are events: `label_event` is append-only, `label` is what they add up to.
Times are Unix seconds (float, UTC). Paths are bytes: a file name need not be text.
"""

from ticketbot.db.models.base import Base, Id, one_of
from ticketbot.db.models.classify import Model, Prediction
from ticketbot.db.models.collect import (
    FILE_STATES,
    PICTURE_STATES,
    Directory,
    File,
    FileTicket,
    InboundEvent,
    IndexCursor,
    Picture,
    Source,
    TicketIndex,
    Tombstone,
)
from ticketbot.db.models.deliver import ANSWER_STATES, Answer, Attempt, EndpointState, Redelivery, Said, Ticket
from ticketbot.db.models.jobs import HandedOut, JobSlot, Lease, Switch
from ticketbot.db.models.people import Account, ApiToken, Audit, LoginBucket, WebSession
from ticketbot.db.models.retrain import Cleaning, Suspect, Training
from ticketbot.db.models.review import Label, LabelEvent, SecondOpinion, SortedCopy

__all__ = [
    "ANSWER_STATES",
    "FILE_STATES",
    "PICTURE_STATES",
    "Account",
    "Answer",
    "ApiToken",
    "Attempt",
    "Audit",
    "Base",
    "Cleaning",
    "Directory",
    "EndpointState",
    "File",
    "FileTicket",
    "HandedOut",
    "Id",
    "InboundEvent",
    "IndexCursor",
    "JobSlot",
    "Label",
    "LabelEvent",
    "Lease",
    "LoginBucket",
    "Model",
    "Picture",
    "Prediction",
    "Redelivery",
    "Said",
    "SecondOpinion",
    "SortedCopy",
    "Source",
    "Suspect",
    "Switch",
    "Ticket",
    "TicketIndex",
    "Tombstone",
    "Training",
    "WebSession",
    "one_of",
]
