"""Which addresses may be called: tables of addresses, names, allow-lists and spellings."""

import ipaddress
import random

import pytest
import urllib3

from ticketbot.errors import AddressRefused, FetchError, Refused, SettingsError
from ticketbot.net import guard

PUBLIC = "93.184.216.34"


def code_of(url, answers=(PUBLIC,), **options):
    try:
        guard.check(url, resolve=lambda host, port: answers, **options)
    except Refused as refused:
        return refused.code
    return None


# --- addresses --------------------------------------------------------------------------------------------------------


NEIGHBOURS = """
    1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255 172.32.0.0
    192.0.1.1 192.167.255.255 198.17.255.255 223.255.255.255 2606:2800:220:1::1 2001:200::1 2003::1 3ffe::1
    2620:4f:8001::1
"""
NOT_GLOBAL = """
    :: ::1 ::ffff:93.184.216.34 ::93.184.216.34 ::ffff:0:93.184.216.34 64:ff9b::5db8:d822 64:ff9b:1::1 100::1 1fff::1
    4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2001:db8::1 2001::1 2002:7f00:1:: 2606:2800::1%eth0
    not-an-address
"""


@pytest.mark.parametrize("network", [*guard.DENIED_V4, *guard.DENIED_V6], ids=str)
def test_both_ends_of_a_denied_range_are_refused(network):
    assert not guard.is_public(network[0])
    assert not guard.is_public(network[-1])


@pytest.mark.parametrize("address", NEIGHBOURS.split())
def test_public_neighbours_of_denied_ranges_are_allowed(address):
    assert guard.is_public(address)


@pytest.mark.parametrize("address", NOT_GLOBAL.split())
def test_ipv6_is_refused_unless_global(address):
    assert not guard.is_public(address)


# The "recommended_v1" ranges of microsoft-antissrf 1.0.0 (MIT): a table that other people keep, to compare ours with.
ANTISSRF = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
    198.51.100.0/24
    203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::1/128 ::/128 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
    2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""


@pytest.mark.parametrize("text", ANTISSRF.split())
def test_every_range_that_others_deny_is_refused(text):
    network = ipaddress.ip_network(text)
    dice = random.Random(text)
    inside = [network[0], network[-1], *(network[dice.randrange(network.num_addresses)] for _ in range(50))]
    assert not any(guard.is_public(ip) for ip in inside)


def test_the_denied_ranges_hold_all_that_python_calls_not_global():
    # An independent table, kept by other people: what it calls special and we do not must be named here.
    dice = random.Random(7)
    for _ in range(20_000):
        ip = ipaddress.IPv4Address(dice.getrandbits(32))
        if not ip.is_global:
            assert not guard.is_public(ip), ip
        six = ipaddress.IPv6Address((0x2 << 124) | dice.getrandbits(124))
        if not six.is_global:
            assert not guard.is_public(six), six


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_once_and_keeps_its_answers():
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return [(2, 1, 6, "", (PUBLIC, port)), (2, 2, 17, "", (PUBLIC, port)), (2, 1, 6, "", ("1.1.1.1", port))]

    target = guard.check("http://x.test/a?b=c#d", resolve=resolve)
    assert asked == [("x.test", 80)]
    assert target == guard.Target("http", "x.test", 80, "/a?b=c", (PUBLIC, "1.1.1.1"))


@pytest.mark.parametrize("answers", [["127.0.0.1"], [PUBLIC, "::1"], [PUBLIC, "10.0.0.1"], ["fe80::1%eth0"], ["junk"]])
def test_one_refused_answer_refuses_the_name(answers):
    assert code_of("http://x.test/", answers) == "address_refused"


def test_a_literal_needs_no_lookup():
    def resolve(host, port):
        raise AssertionError("looked up")

    assert guard.check(f"http://{PUBLIC}/", resolve=resolve).addresses == (PUBLIC,)
    assert guard.check("https://[2606:2800:220:1::1]/", resolve=resolve).addresses == ("2606:2800:220:1::1",)


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_without_an_answer_is_a_failed_fetch(failure):
    def resolve(host, port):
        raise failure

    with pytest.raises(FetchError) as refused:
        guard.check("http://x.test/", resolve=resolve)
    assert refused.value.code == "fetch_failed"
    assert code_of("http://x.test/", []) == "fetch_failed"


def test_every_refused_address_reads_the_same():
    texts = set()
    for url, answers in [("http://127.0.0.1/", ()), ("http://x.test/", ["10.0.0.1"]), ("http://0x7f.1/", ())]:
        with pytest.raises(AddressRefused) as refused:
            guard.check(url, resolve=lambda host, port, answers=answers: answers)
        texts.add(str(refused.value))
    assert len(texts) == 1


# --- spellings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, code",
    [
        ("", "url_missing"),
        ("http://x.test/" + "a" * 2048, "url_too_long"),
        ("http://x.test/ a", "url_malformed"),
        ("http://x.test/\x7f", "url_malformed"),
        ("http://x.test/\ud800", "url_malformed"),
        ("http:x.test", "url_malformed"),
        ("http://", "url_malformed"),
        ("http://x.test:/", "url_malformed"),
        ("http://x.test:0080/", "url_malformed"),
        ("http://x.test:80a/", "url_malformed"),
        ("http://x.test:65536/", "url_malformed"),
        ("http://x.test:٨٠/", "url_malformed"),
        ("http://[127.0.0.1]/", "url_malformed"),
        ("http://[v1.a]/", "url_malformed"),
        ("http://[fe80::1%25eth0]/", "url_malformed"),
        ("http://%31%32%37.0.0.1/", "url_malformed"),
        ("http://127.0.0.１/", "url_malformed"),
        ("http://\u212aelvin.test/", "url_malformed"),
        ("http://xn--a/", "url_malformed"),
        ("http://☃.test/", "url_malformed"),
        ("http://a\u200bb.test/", "url_malformed"),
        ("http://faß\u3002test\u3002\u3002/", "url_malformed"),
        ("http://./", "url_malformed"),
        ("http://" + "a" * 64 + ".test/", "url_malformed"),
        ("http://a b.test/", "url_malformed"),
        ("http://user@x.test/", "userinfo_refused"),
        ("http://x.test:80:80/", "url_malformed"),
        ("ftp://x.test/", "scheme_refused"),
        ("//x.test/", "scheme_refused"),
        ("javascript:alert(1)", "scheme_refused"),
        ("http://x.test:8080/", "port_refused"),
        ("http://93.184.216.34.:80/", "address_refused"),
        ("http://1.2.3.4.5/", "address_refused"),
        ("http://256.256.256.256/", "address_refused"),
        ("http://x.0x/", "address_refused"),
        ("http://127.0.0.1:22/", "address_refused"),
        ("http://LOCALHOST/", "address_refused"),
        ("http://localhost./", "address_refused"),
        ("http://a.localhost/", "address_refused"),
        ("http://127\uff0e0\uff610\u30021/", "address_refused"),
        ("HTTPS://X.test:443/", None),
        ("http://x.test./", None),
        ("http://a_b.x-.test/", None),
        ("http://bücher.test/größe.jpg?ü", None),
        ("http://BÜCHER.test/", None),
        ("http://xn--bcher-kva.test/", None),
        ("http://x.test#@127.0.0.1/", None),
        ("http://x.test?@127.0.0.1/", None),
        ("http://x.test//127.0.0.1/", None),
    ],
)
def test_a_spelling_is_read_one_way_or_refused(url, code):
    assert code_of(url) == code


def test_names_are_sent_in_ascii():
    assert guard.parse("http://Bücher.TEST/").host == "xn--bcher-kva.test"
    assert guard.parse("http://faß.test/").host == "xn--fa-hia.test"  # 2008, not the "fass" of 2003


@pytest.mark.parametrize("values, code", [(["a", "b"], "url_repeated"), ([], "url_missing"), ([""], "url_missing")])
def test_a_repeated_parameter_is_refused_rather_than_picked(values, code):
    with pytest.raises(AddressRefused) as refused:
        guard.one_url(values)
    assert refused.value.code == code


# --- allow-list -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, answers, allow, code",
    [
        ("http://10.1.2.3/", (), ["10.0.0.0/8"], None),
        ("http://10.1.2.3:8080/", (), ["10.0.0.0/8"], None),
        ("http://10.1.2.3:8080/", (), ["10.0.0.0/8:8080"], None),
        ("http://10.1.2.3:8081/", (), ["10.0.0.0/8:8080"], "address_refused"),
        ("http://11.1.2.3:8080/", (), ["10.0.0.0/8:8080"], "port_refused"),
        ("http://192.168.0.1/", (), ["10.0.0.0/8"], "address_refused"),
        ("http://erp.local/", ["10.1.2.3"], ["erp.local"], None),
        ("http://ERP.local:8080/", ["10.1.2.3"], ["erp.LOCAL:8080"], None),
        ("http://erp.local:8081/", ["10.1.2.3"], ["erp.local:8080"], "port_refused"),
        ("http://other.local/", ["10.1.2.3"], ["erp.local"], "address_refused"),
        ("http://x.erp.local/", ["10.1.2.3"], ["erp.local"], "address_refused"),
        ("http://erp.local/", ["10.1.2.3"], ["10.0.0.0/8"], None),
        ("http://erp.local/", ["10.1.2.3", "127.0.0.1"], ["10.0.0.0/8"], "address_refused"),
        ("http://erp.local:8080/", ["10.1.2.3", PUBLIC], ["10.0.0.0/8"], "port_refused"),
        ("http://localhost/", ["127.0.0.1"], ["localhost"], None),
        ("http://[fd00::1]:8080/", (), ["[fd00::/8]:8080"], None),
        ("http://[fd00::1]/", (), ["fd00::/8"], None),
        ("http://[::ffff:10.1.2.3]/", (), ["10.0.0.0/8"], "address_refused"),
        ("http://bücher.local/", ["10.1.2.3"], ["bücher.local"], None),
        ("http://x.test/", [PUBLIC], ["erp.local"], None),
    ],
)
def test_an_allow_list_opens_what_it_names_and_no_more(url, answers, allow, code):
    assert code_of(url, answers, allow=allow) == code


@pytest.mark.parametrize("entry", ["", "*", "http://erp.local", "erp local", "erp.local/8", "a@b", "10.0.0.0/33"])
def test_an_allow_list_entry_nobody_can_read_is_an_error(entry):
    with pytest.raises(SettingsError):
        guard.check("http://x.test/", resolve=lambda host, port: [PUBLIC], allow=[entry])


def test_any_port_may_be_called_when_no_ports_are_named():
    assert code_of("http://x.test:8443/", ports=None) is None
    assert code_of("http://x.test:0/", ports=None) == "port_refused"


# --- anything ---------------------------------------------------------------------------------------------------------

SCHEMES = [
    "http://",
    "https://",
    "HTTP://",
    "http:/",
    "http:",
    "//",
    "file://",
    "http:///",
    "ht\ttp://",
    "http://http://",
]
PIECES = [
    *"""127.0.0.1 127.1 0x7f.1 localhost x.test [::1] [::ffff:7f00:1] [fe80::1%25lo] 2130706433
        @ : :: :80 :0 :+80 :8_0 / \\ ? # % %2e %00 . .. 。 ． ｡ - _ a Z 0 9 [ ] [] ; & = ' <
        xn-- xn--bcher-kva bücher ß İ ı ⓛ ① ℀ ☃ 😀""".split(),  # noqa: SIM905 (a list of one a line is unreadable)
    *"\x00\n\t \u212a\u200d\u00ad\u202e\ud800",
]


def tricky(dice):
    scheme = dice.choice(SCHEMES[:2] if dice.random() < 0.7 else SCHEMES)
    return scheme + "".join(dice.choice(PIECES) for _ in range(dice.randint(0, 7)))


def how_urllib3_reads(url):
    try:
        theirs = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return None
    host = theirs.host.strip("[]").rstrip(".")
    return theirs.scheme, host, theirs.port or guard.DEFAULT_PORT[theirs.scheme]


def test_no_spelling_surprises_us_and_urllib3_reads_the_host_we_checked():
    dice = random.Random(20_000)
    accepted = 0
    for _ in range(20_000):
        url = tricky(dice)
        try:
            target = guard.check(url, resolve=lambda host, port: [PUBLIC])
        except Refused:
            continue
        accepted += 1
        assert how_urllib3_reads(target.url) == (target.scheme, target.host, target.port), url
        assert how_urllib3_reads(url) in ((target.scheme, target.host, target.port), None), url
        assert all(guard.is_public(address) for address in target.addresses), url
    assert accepted > 200  # else this proves nothing
