"""The web app with all its pages, and the real server where a sentence is about sockets.

The input is a sentence; WEB_SCENES finds, by pattern, who sends what. A scene returns the answers in the order of the
sentence; what else was seen (a log, a cookie, rows) goes into `office.seen`.
"""

import fnmatch
import logging
import re
from types import SimpleNamespace

from tests.acceptance import databases, web_scenes, web_trouble
from tests.acceptance.web_scenes import Office
from tests.support.site import PASSWORD

HEADERS = {
    *("Content-Disposition", "Content-Type", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"),
    *("Strict-Transport-Security", "Set-Cookie", "Cache-Control", "Location", "Allow", "Retry-After"),
    *("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy", "WWW-Authenticate"),
}
EXPECT = {"status", "code", "logged", "retry_after", "rotated", "redirect", "body_has_no", "rows", *HEADERS}
GIVEN = set()
# In no log line of any case: a webhook secret, a token of ours, the password of every account here.
SECRET = re.compile(rf"whsec_[A-Za-z0-9+/]{{8}}|\btb_[0-9a-f]{{12}}_[A-Za-z0-9_-]{{20}}|{PASSWORD}")


def run(case, request):
    scene = scene_of(case.input)
    caplog = request.getfixturevalue("caplog")
    caplog.set_level(logging.DEBUG)
    with databases.each(request) as grounds:
        for folder, db in grounds:
            caplog.clear()
            with Office(folder, db, request) as office:
                before = office.rows()
                answers = scene(office)
                office.seen.setdefault("extra_rows", office.rows() - before)
                check(case.expect, answers, office, caplog.text)


def scene_of(text):
    """Who sends what the sentence says. Raises LookupError."""
    for pattern, scene in (*web_trouble.SCENES, *web_scenes.SCENES):
        if match := re.search(pattern, text, re.IGNORECASE):
            return lambda office: scene(office, match)
    raise LookupError(f"nobody knows how to send {text!r}")


def check(expect, answers, office, log):
    if "status" in expect:
        _check_status(expect["status"], answers)
    if "code" in expect:
        assert {answer.json["code"] for answer in answers} == {expect["code"]}
    if "logged" in expect:
        assert office.seen["secret"] not in log and ("=…" in log or "?token=" not in log)
    assert not (leak := SECRET.search(log)), leak
    if "retry_after" in expect:
        assert ("Retry-After" in answers[-1].headers) == expect["retry_after"]
        assert int(answers[-1].headers["Retry-After"]) > 0
    if "rotated" in expect:
        assert office.seen["rotated"] == expect["rotated"]
    if "redirect" in expect:
        assert {answer.location for answer in answers} == {expect["redirect"]}
    if "rows" in expect:
        assert "none" in expect["rows"] and office.seen["extra_rows"] <= 0
    for name in HEADERS & set(expect):
        for answer in answers:
            assert _fits(answer.headers.get(name, ""), expect[name]), (name, answer.headers)
    for answer in answers:
        body = answer.text if isinstance(answer, SimpleNamespace) else answer.data.decode("utf-8", "replace")
        assert not any(word in body for word in expect.get("body_has_no", ()))
        assert "Traceback" not in body
        if answer.status_code in (502, 503):
            assert answer.status_code in _statuses(expect), body
        if answer.status_code == 500:
            assert office.seen.get("error_is_meant"), body


def _statuses(expect):
    wanted = expect.get("status", [])
    return [wanted] if isinstance(wanted, int) else wanted


def _check_status(wanted, answers):
    """One status for all answers; or a list: one each, in order, or (for many answers) those that are fine."""
    found = [answer.status_code for answer in answers]
    if isinstance(wanted, int):
        assert set(found) == {wanted} or found[-1:] == [wanted], found
    elif len(wanted) == len(found):
        assert found == wanted or set(found) <= set(wanted), found
    else:
        assert set(found) <= set(wanted), found


def _fits(value, wanted):
    """ "..." stands for anything; parts between semicolons may come in any order."""
    if "..." not in wanted and all(part.strip() in value for part in wanted.split(";")):
        return True
    pattern = wanted.replace("[", "[[]").replace("...", "*").replace("…", "*")
    return fnmatch.fnmatchcase(value, pattern) or value.startswith(wanted)
