"""Rules for every test: no connection leaves this machine."""

import ipaddress
import sys


def _only_loopback(event, arguments):
    """A client that followed a hostile redirect reached a link-local address in a trial: refuse first of all."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # AF_UNIX
    host = str(address[0]).split("%")[0]
    if host in ("", "localhost") or ipaddress.ip_address(host).is_loopback:
        return
    raise PermissionError(f"a test tried to connect to {address!r}")


sys.addaudithook(_only_loopback)

pytest_plugins = ["tests.support.fixtures"]


def pytest_addoption(parser):
    parser.addoption("--badinputs", metavar="FILE", help="hostile inputs for tests/acceptance/test_badinputs.py")
