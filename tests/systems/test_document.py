"""What a ticket system sends: JSON as it is, a form as what its fields say."""

import json
from urllib.parse import urlencode

import pytest

from ticketbot.systems import document


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"ticket": {"id": 7}}', {"ticket": {"id": 7}}),
        (b"[1]", [1]),
        (b"ticket=7", {"ticket": "7"}),
        (b"ticket[id]=7&ticket[title]=no+paper%21", {"ticket": {"id": "7", "title": "no paper!"}}),
        (b"files[]=a&files[]=b", {"files": ["a", "b"]}),
        (b"tag=a&tag=b&tag=c", {"tag": ["a", "b", "c"]}),
        (b"f[0][name]=a&f[0][url]=u&f[1][name]=b", {"f": [{"name": "a", "url": "u"}, {"name": "b"}]}),
        (b"empty=&ticket=7\n", {"empty": "", "ticket": "7"}),
        (b"payload=plain&ticket=7", {"payload": "plain", "ticket": "7"}),
    ],
)
def test_a_document_is_what_was_sent(body, found):
    assert document.read(body) == found


def test_a_payload_is_the_document():
    inner = {"ticket": {"id": 7, "title": "ä & = ["}}
    assert document.read(urlencode({"token": "x", "payload": json.dumps(inner)}).encode()) == inner


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"hello", b'{"a": ', b"a[b=1", b"=1", b"a=1&a[b]=2", b"a[b]=2&a=1", "ä=1".encode(), b"payload={broken"),
        *(b"[" * 100_000, b"&".join(b"a=1" for _ in range(2000)), b"a" + b"[b]" * 50 + b"=1"),
    ],
)
def test_anything_else_is_refused(body):
    with pytest.raises(ValueError):
        document.read(body)
