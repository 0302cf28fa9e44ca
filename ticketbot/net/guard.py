"""May we call this address?

Users and tickets hand us addresses, and our host can reach what users cannot. So an address is parsed by rules strict
enough that no two parsers can read it differently, its name is looked up once, every answer must be public (or on the
operator's allow-list), and `fetch` then connects to those answers and to nothing else.

`check` is the whole decision. It opens no socket: the only thing it calls is `resolve`.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import idna

from ticketbot.errors import AddressRefused, FetchError, SettingsError

MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253
WEB_PORTS = (80, 443)
DEFAULT_PORT = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Called as resolve(host, port) with an ASCII host; answers like socket.getaddrinfo, or with plain address texts.
Resolve = Callable[[str, int], Iterable[Any]]

# Every special-purpose range of IPv4, and 168.63.129.16, which answers as the host on one large cloud.
DENIED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# IPv6 the other way round: only the global block is allowed, so mapped, NAT64, local and future ranges never are.
ALLOWED_V6 = ipaddress.IPv6Network("2000::/3")
DENIED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # IDNA reads all four as a dot
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # the last label of what browsers take for an IPv4 address


@dataclass(frozen=True)
class Target:
    """An address that may be called. `host` is ASCII, no brackets; `addresses` are the checked answers, in order."""

    scheme: str
    host: str
    port: int
    path: str  # with the query, without the fragment
    addresses: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def check(
    url: str,
    *,
    resolve: Resolve | None = None,
    allow: Sequence[str] = (),
    ports: Sequence[int] | None = WEB_PORTS,
) -> Target:
    """Parse `url`, look its name up once and check every answer; the returned target holds those answers.

    `resolve(host, port)` is called at most once, positionally, and only for names (a literal address needs no lookup);
    it answers like socket.getaddrinfo. `allow` holds hosts or CIDRs with an optional port ("erp.local", "10.0.0.0/8",
    "10.1.2.3:8080", "[fd00::/8]:8080") that may be called although not public; without a port, on any port.
    `ports=None` means any port. Raises AddressRefused, or FetchError("fetch_failed") when the name has no answer.
    """
    target = parse(url)
    rules = [allow_entry(entry) for entry in allow]
    trusted = any(rule.names(target.host, target.port) for rule in rules)
    if not trusted and _is_localhost(target.host):
        raise AddressRefused("address_refused")
    addresses: tuple[str, ...] = (target.host,)
    if not _is_literal(target.host):
        if not trusted and not _port_may_pass(target.port, rules, ports):
            raise AddressRefused("port_refused")  # said before the lookup: nothing could change it
        addresses = _look_up(target, resolve or system_resolve)
    if not trusted:
        _check_answers(addresses, target.port, rules, ports)
    return Target(target.scheme, target.host, target.port, target.path, addresses)


def one_url(values: Sequence[str]) -> str:
    """The one address in a repeated request parameter: none is url_missing, two are refused rather than one picked."""
    if len(values) > 1:
        raise AddressRefused("url_repeated")
    if not values or not values[0]:
        raise AddressRefused("url_missing")
    return values[0]


def parse(url: str) -> Target:
    """The parts of `url`, without a lookup. Raises AddressRefused."""
    if not isinstance(url, str):
        url = one_url(url or ())
    if not url:
        raise AddressRefused("url_missing")
    if len(url) > MAX_URL_CHARS:
        raise AddressRefused("url_too_long")
    if _FORBIDDEN.search(url):
        _malformed()
    parts = _split(url)
    if parts.scheme not in DEFAULT_PORT:
        raise AddressRefused("scheme_refused")
    if "@" in parts.netloc:
        raise AddressRefused("userinfo_refused")
    host, port = _host_and_port(parts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, DEFAULT_PORT[parts.scheme] if port is None else port, path)


def is_public(address: str | Address) -> bool:
    """Is this address (not a name) one that anybody on the internet could call as well?"""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in DENIED_V4)
    return ip.scope_id is None and ip in ALLOWED_V6 and not any(ip in network for network in DENIED_V6)


def system_resolve(host: str, port: int) -> Iterable[Any]:
    """The operating system's answer for `host`, in its order of preference."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


# --- the allow-list ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Allow:
    """One entry of an allow-list: a name or a network, on one port or on any."""

    host: str | None
    network: Network | None
    port: int | None

    def names(self, host: str, port: int) -> bool:
        return self.host == host and self.port in (None, port)

    def covers(self, ip: Address, port: int) -> bool:
        return self.network is not None and ip in self.network and self.port in (None, port)


@functools.lru_cache(maxsize=1024)
def allow_entry(text: str) -> Allow:
    """Read one allow-list entry. Raises SettingsError when it is neither a host nor a CIDR."""
    host, port = _entry_parts(text.strip().lower())
    try:
        return Allow(None, ipaddress.ip_network(host, strict=False), port)
    except ValueError:
        pass
    try:
        return Allow(_ascii_host(host), None, port)
    except AddressRefused:
        raise SettingsError(f"{text!r} is no allow-list entry; write a host or a CIDR, like erp.local:8080") from None


def _entry_parts(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"\[(.*)\](?::(\d{1,5}))?", text) or re.fullmatch(r"([^:]*)(?::(\d{1,5}))?", text)
    if match is None:  # several colons without brackets: an IPv6 address or network
        return text, None
    return match[1], int(match[2]) if match[2] else None


# --- the decision, piece by piece -------------------------------------------------------------------------------------


def _port_may_pass(port: int, rules: Iterable[Allow], ports: Sequence[int] | None) -> bool:
    return ports is None or port in ports or any(rule.network and rule.port in (None, port) for rule in rules)


def _check_answers(addresses: Iterable[str], port: int, rules: Sequence[Allow], ports: Sequence[int] | None) -> None:
    codes = {_refusal(address, port, rules, ports) for address in addresses}
    for code in ("address_refused", "port_refused"):
        if code in codes:
            raise AddressRefused(code)


def _refusal(address: str, port: int, rules: Sequence[Allow], ports: Sequence[int] | None) -> str | None:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "address_refused"
    if any(rule.covers(ip, port) for rule in rules):
        return None
    if not is_public(ip):
        return "address_refused"
    return None if ports is None or port in ports else "port_refused"


def _look_up(target: Target, resolve: Resolve) -> tuple[str, ...]:
    try:
        answers = list(resolve(target.host, target.port))
    except (OSError, UnicodeError) as error:
        raise FetchError("fetch_failed", "the name could not be looked up") from error
    addresses = tuple(dict.fromkeys(a if isinstance(a, str) else a[4][0] for a in answers))
    if not addresses:
        raise FetchError("fetch_failed", "the name could not be looked up")
    return addresses


def _is_literal(host: str) -> bool:
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


# --- parsing ----------------------------------------------------------------------------------------------------------


def _malformed() -> NoReturn:
    raise AddressRefused("url_malformed")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        _malformed()


def _host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        _malformed()
    if not host or "%" in host:
        _malformed()
    # Rebuilt from its parts it must be what was written: no "[::1]x.example", no empty port, no leading zeros.
    rebuilt = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    if rebuilt != parts.netloc.lower():
        _malformed()
    # str.lower() turns U+212A (the Kelvin sign) into an ASCII k: a mapping, and IDNA 2008 knows none.
    if "\u212a" in parts.netloc:
        _malformed()
    host = _ipv6_host(host) if ":" in host else _ascii_host(host)
    if port == 0:
        raise AddressRefused("port_refused")
    return host, port


def _ipv6_host(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        _malformed()


def _ascii_host(host: str) -> str:
    labels = _DOTS.split(host)
    rooted = len(labels) > 1 and labels[-1] == ""
    if rooted:
        labels.pop()
    name = ".".join(_ascii_label(label) for label in labels)
    if len(name) > MAX_HOST_CHARS:
        _malformed()
    if _NUMBER.fullmatch(labels[-1]) and (rooted or not _is_dotted_quad(name)):
        raise AddressRefused("address_refused")  # 127.1, 0x7f000001, 0177.0.0.1: what C libraries call an address
    return name


def _ascii_label(label: str) -> str:
    if len(label) > 63:
        _malformed()
    try:
        if not label.isascii():
            label = idna.alabel(label).decode("ascii")
        elif label.startswith("xn--"):
            idna.ulabel(label)
    except UnicodeError:  # idna.IDNAError is one
        _malformed()
    if not _LABEL.fullmatch(label):
        _malformed()
    return label


def _is_dotted_quad(name: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(name)) == name
    except ValueError:
        return False
