"""Webhooks that a receiver may meet: which verify, and which are refused without an exception of another kind.

The input is a sentence about one or several deliveries; each is signed here from the specification alone, so that our
own signer cannot agree with our own verifier about a mistake.
"""

import base64
import hashlib
import hmac
import json
import re

from ticketbot.deliver.sign import verify
from ticketbot.errors import SignatureRefused

EXPECT = {"ok", "json"}
GIVEN = set()
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_800_000_000
BODY = b'{"a": 1}'
SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def run(case, request):
    deliveries = deliveries_of(case.input)
    assert deliveries
    for headers, body in deliveries:
        assert ok(headers, body) == case.expect["ok"], headers
        if "json" in case.expect:
            assert parsed(body) == case.expect["json"]


def ok(headers, body):
    try:
        verify(body, headers, SECRET, now=NOW)
    except SignatureRefused:
        return False
    return True


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def signature(msg_id, stamp, body, key=KEY):
    signed = hmac.new(key, f"{msg_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def delivery(body=BODY, msg_id="msg_1", stamp=str(NOW), **changes):
    """Headers, signed as told; then `signature=` or `body=` changed."""
    headers = {"webhook-id": msg_id, "webhook-timestamp": stamp, "webhook-signature": signature(msg_id, stamp, body)}
    return {**headers, **changes}, body


def signed_as(text):
    return delivery(**{"webhook-signature": text})


def deliveries_of(text):
    for pattern, build in SENTENCES:
        if match := re.search(pattern, text, re.IGNORECASE):
            return build(match)
    raise LookupError(f"nobody knows the delivery {text!r}")


def _at(match):
    parts = re.findall(AMOUNT, match.string, re.IGNORECASE)
    amount_s = sum(int(number.replace(",", "")) * SECONDS[unit.lower()] for number, unit in parts)
    signs = (1,) if "future" in match.string or "ahead" in match.string else (-1,)
    signs = (-1, 1) if "both" in match.string or "off" in match.string else signs
    return [delivery(stamp=str(NOW + sign * amount_s)) for sign in signs]


def _many(match):
    count = int(match[1].replace(",", ""))
    return [signed_as(" ".join(["v1,AAAA"] * (count - 1) + [delivery()[0]["webhook-signature"]]))]


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def _among(text):
    """ "three signatures, the third valid": as many as it says, the right one where it says, else the last; or none."""
    count = next((number for number, word in enumerate(WORDS) if re.search(rf"\b{word} sig", text, re.IGNORECASE)), 2)
    place = next((number for number, word in enumerate(PLACES) if re.search(rf"\b{word}\b", text)), count - 1)
    good = delivery()[0]["webhook-signature"]
    wrong = re.search(r"(all|both|each|every)\b.*(wrong|bad|invalid|forged)|none", text)
    return signed_as(" ".join(good if number == place and not wrong else "v1,AAAA" for number in range(count)))


def _missing(match):
    headers, body = delivery()
    return [({name: value for name, value in headers.items() if name != gone}, body) for gone in headers]


def _other_key(match):
    return [signed_as(signature("msg_1", str(NOW), BODY, key=b"k" * 32))]


def _ids(match):
    length = re.search(r"(\d[\d,]*) (?:char|byte)", match.string)
    long = "m" * (int(length[1].replace(",", "")) if length else 1000)
    bad = {"'.'|\\bdots?\\b": "msg.1", "characters|long|bytes": long, "CR ?LF|newline|line break": "msg\r\n1"}
    bad |= {"empty": "", "space|blank": "msg 1", "NUL": "m\0", "non-?ASCII|unicode|umlaut": "m\u00e4", "slash|/": "m/1"}
    bad |= {"quote|SQL": "m' OR 1=1", "semicolon": "m;1", "comma": "m,1", "colon": "m:1", "tab": "m\t1", "<": "<m>"}
    found = [msg_id for words, msg_id in bad.items() if re.search(words, match.string, re.IGNORECASE)]
    if not found:
        raise LookupError(f"nobody knows the id in {match.string!r}")
    return [delivery(msg_id=msg_id) for msg_id in found]


def _twice(match):
    """A header that came twice, as servers hand it on: one value with a comma."""
    headers, body = delivery()
    name = f"webhook-{match['what'].lower()}"
    return [({**headers, name: f"{headers[name]}, {headers[name]}"}, body)]


def _written(match):
    """A header as it stands; <valid> (or "valid", "good") in it is the right signature."""
    good = delivery()[0]["webhook-signature"]
    text = re.sub(
        r"(v1,)?<[^<>]*(valid|good|right|correct)[^<>]*>|v1,(valid|good|right|correct)\b", good, match[1].strip("'\"")
    )
    return [signed_as(text)]


def _beside(match):
    """Another signature beside the right one."""
    good = delivery()[0]["webhook-signature"]
    other = "v2,AAAA" if re.search(r"unknown (version|scheme)|v2", match.string) else "v1,AAAA"
    other = "v1a," + base64.b64encode(bytes(64)).decode() if "v1a" in match.string else other
    pair = (good, other) if re.search(r"first (is |one )?(valid|right|good)", match.string) else (other, good)
    return [signed_as(" ".join(pair))]


def _spoilt(match):
    good, text = delivery()[0]["webhook-signature"], match.string.lower()
    raw = base64.b64decode(good[3:])
    if "hex" in text:
        return [signed_as("v1," + raw.hex())]
    if "url" in text:
        return [signed_as("v1," + base64.urlsafe_b64encode(b"\xfb\xff" + raw[2:]).decode())]
    if re.search(r"non-?ascii|unicode", text):
        return [signed_as("v1,\u00e4" + good[4:]), signed_as("v1,\u0661" + good[4:])]
    if re.search(r"without (the )?(v1|version|prefix)|no (version|prefix)", text):
        return [signed_as(good[3:])]
    if "padding" in text:
        return [signed_as(good + "="), signed_as(good + "AAAA")]
    if re.search(r"junk|extra|trailing|appended|longer", text):
        return [signed_as(good + "AAAA"), signed_as(good[:10] + "*" + good[10:])]
    if re.search(r"lower|upper|case", text):
        return [signed_as("v1," + good[3:].swapcase())]
    if "space" in text:
        return [signed_as(good[:10] + " " + good[10:])]
    return [
        signed_as(good[: len(good) // 2]),
        signed_as(good[:-2]),
        signed_as("v1," + base64.b64encode(raw[:16]).decode()),
    ]


def _other_content(match):
    """Signed over something else: the body alone, with SHA-1, without the time, for another id or another body."""
    text = match.string.lower()

    def made(content, how=hashlib.sha256):
        return "v1," + base64.b64encode(hmac.new(KEY, content, how).digest()).decode()

    contents = {
        "sha-?1": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.sha1),
        "sha-?512": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.sha512),
        "sha-?384": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.sha384),
        "sha-?224": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.sha224),
        "sha-?3\\b": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.sha3_256),
        "blake": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.blake2b),
        "md5": made(f"msg_1.{NOW}.".encode() + BODY, hashlib.md5),
        "body (only|alone)|only (over )?the body": made(BODY),
        "without (the )?(time|stamp)": made(b"msg_1." + BODY),
        "without (the )?id": made(f"{NOW}.".encode() + BODY),
        "(an)?other id": made(f"msg_2.{NOW}.".encode() + BODY),
        "(an)?other (body|payload)": made(f"msg_1.{NOW}.".encode() + b"{}"),
        "(an)?other time": made(f"msg_1.{NOW - 1}.".encode() + BODY),
    }
    found = [signature for words, signature in contents.items() if re.search(words, text)]
    return [signed_as(signature) for signature in found]


def _changed(match):
    """What the sentence names was changed after signing; the body when it names nothing."""
    headers, text = delivery()[0], match.string.lower()
    if re.search(r"\bid\b", text):
        return [({**headers, "webhook-id": "msg_2"}, BODY)]
    if "timestamp" in text or "time " in text:
        return [({**headers, "webhook-timestamp": str(NOW - 1)}, BODY)]
    if "signature" in text.split(" ")[0]:
        return [signed_as(headers["webhook-signature"][:-5] + "AAAA=")]
    return [(headers, BODY.replace(b"1", b"2")), (headers, BODY + b" "), (headers, BODY[:-1]), (headers, b"")]


def _body_of(match):
    """A body that is signed as it is, whatever is in it."""
    text = match.string.lower()
    bodies = {
        "utf-?8|binary|bytes": b"\xff\xfe\x00",
        "empty": b"",
        "emoji|u\\+2028|ascii|unicode": "\u00e4 \U0001f3ab \u2028".encode(),
        "nul": b"a\0b",
        "not json|non-json|no json|html|plain text": b"hello",
        "mb|large|big|huge": b"x" * 10**6,
        "cr ?lf|newline|white ?space|spaces": b' {"a": 1}\r\n ',
        "dots?": b"a.b.c",
    }
    found = [body for words, body in bodies.items() if re.search(rf"\b(?:{words})\b", text)]
    return [delivery(body=body) for body in found or [BODY]]


def _spelt(match):
    headers, body = delivery()
    changed = [{name.title(): value for name, value in headers.items()}]
    changed += [{name.upper(): value for name, value in headers.items()}]
    return [(names, body) for names in changed]


def _odd_stamps(match):
    odd = {"millisecond": str(NOW * 1000), "empty": "", "negative": f"-{NOW}", "hex": hex(NOW), "space": f" {NOW}"}
    odd |= {"zero|\\b0\\b": "0", "float|fraction|decimal": f"{NOW}.0", "iso|date": "2027-01-15T08:00:00Z"}
    odd |= {
        "leading zero": f"0{NOW}",
        "digits|arabic|unicode": "\u0661" * 10,
        "nan": "nan",
        "inf": "inf",
        "newline": f"{NOW}\n",
    }
    odd |= {"letter|text|not a number": "now", "huge|overflow|1e|long|large": "9" * 400, "plus|sign": f"+{NOW}"}
    found = [stamp for words, stamp in odd.items() if re.search(words, match.string, re.IGNORECASE)]
    return [delivery(stamp=stamp) for stamp in found]


AMOUNT = r"(\d[\d,]*) ?(s|sec|second|min|minute|h|hour)s?\b"
# What the sentence holds -> the deliveries it is about; the first that is found counts.
SENTENCES = (
    (r"webhook-signature: (.+)", _written),
    (r"timestamp '", lambda match: [delivery(stamp=stamp) for stamp in re.findall(r"'([^']*)'", match.string)]),
    (r"(two|double|repeated|several) webhook-(?P<what>id|timestamp)", _twice),
    (r"webhook-id\b(?!.*(missing|changed|swapped|header))|\bid (with|of \d)", _ids),
    (
        r"(other|another|wrong|old|foreign|expired|previous|unknown) (secret|key)|(key|secret) (of|from) (an)?other"
        r"|junk.*(key|secret)",
        _other_key,
    ),
    (AMOUNT, _at),
    (r"valid(?!-).*(v1a|v2|unknown)|(v1a|v2|unknown (version|scheme)).*(before|beside|and|valid(?!-)|then)", _beside),
    (r"v1a", lambda match: [signed_as("v1a," + base64.b64encode(bytes(64)).decode())]),
    (r"(\d[\d,]*) (?:signatures|entries|values|items)", _many),
    (r"first (signature |one )?(is )?(wrong|bad|invalid|valid|right)|(an)?other signature beside", _beside),
    (
        r"(two|three|four|five|six|seven|eight|nine|ten|second|several) signatures?|rotat",
        lambda match: [_among(match.string)],
    ),
    (r"(header|name).*(case|upper|lower|spelt)", _spelt),
    (
        r"timestamp.*(milli|empty|negative|hex|space|float|fraction|decimal|iso|date|zero|digits|nan|text|letter|number|huge|overflow|long|large|plus|inf)",
        _odd_stamps,
    ),
    (r"(changed|tampered|altered|flipped|modified|swapped|cut off)", _changed),
    (
        r"sha-?1|sha-?224|sha-?384|sha-?512|sha-?3|blake|md5|body (only|alone)|only (over )?the body"
        r"|without (the )?(time|stamp|id\b)|other (id|body|payload|time)",
        _other_content,
    ),
    (
        r"missing|(without|no) (a |the |any )?(webhook|headers?|signature(?! v)|id\b|timestamp)",
        _missing,
    ),
    (r"empty signature|signature (is |header )?empty", lambda match: [signed_as(""), signed_as("v1,"), signed_as(" ")]),
    (
        r"signature.*(hex|url|cut|trunc|short|half|junk|extra|trailing|padding|ascii|prefix|case|space|longer)|truncated",
        _spoilt,
    ),
    (r"body|payload|json|utf", _body_of),
    (r"valid|correct|good|control|prefix", lambda match: [delivery()]),
)
