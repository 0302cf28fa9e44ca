"""A cleaning that has ended, with its suspects, in one call."""

from ticketbot.db.models import Cleaning, Label, SecondOpinion, Suspect
from ticketbot.review import labels


def labelled(site, sha256, word, *, who="nora", key="", how="page", blind=False):
    """A person's word; -> the event's id."""
    with site.db.write() as session:
        event = labels.record(
            session, sha256=sha256, new=word, who=who, at=site.clock.now - 900, how=how, blind=blind,
            key=key or f"{who}-{sha256[:20]}-{word}",
        )  # fmt: skip
        return event.id


def cleaning(site, rows, *, ago_s=600.0):
    """rows: [(sha256, suggested, p_label, cluster, conflict), …] of labelled pictures, the worst first. -> its id"""
    now = site.clock.now
    with site.db.write() as session:
        times = {"started_at": now - ago_s, "finished_at": now - ago_s + 40}
        made = Cleaning(state="succeeded", cause="schedule", n_pictures=1620, labels_until=0, **times)
        session.add(made)
        session.flush()
        for rank, (sha256, suggested, p_label, cluster, conflict) in enumerate(rows, 1):
            label = session.get(Label, sha256).category
            p_other = None if p_label is None else round(1 - p_label - 0.02, 2)
            values = {"label": label, "suggested": suggested, "p_label": p_label, "p_suggested": p_other}
            session.add(
                Suspect(cleaning_id=made.id, rank=rank, sha256=sha256, cluster=cluster, conflict=conflict, **values)
            )
        return made.id


def differ(site, sha256, first, second):
    """Two people, two words."""
    one = labelled(site, sha256, first, who="nora", blind=True)
    two = labelled(site, sha256, second, who="otto", blind=True)
    with site.db.write() as session:
        words = {"first": first, "first_who": "nora", "first_event": one, "second": second, "second_who": "otto"}
        session.add(SecondOpinion(sha256=sha256, second_event=two, **words))


def some(site, hashes, categories=("reports", "errors", "screens", "tickets")):
    """Label all of them; the first half is suspect, in pairs of look-alikes of which every second pair differs."""
    for number, sha256 in enumerate(hashes):
        labelled(site, sha256, categories[number // 2 % 4] if number % 4 != 3 else categories[(number // 2 + 1) % 4])
    half = hashes[: len(hashes) // 2]
    rows = []
    for number, sha256 in enumerate(half):
        with site.db.read() as session:
            label = session.get(Label, sha256).category
        other = categories[(categories.index(label) + 1) % 4]
        rows.append((sha256, other, round(0.02 + number / 100, 2), number // 2, number % 4 > 1))
    return cleaning(site, rows)
