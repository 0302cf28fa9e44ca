"""A trusted authority for TLS on loopback."""

import pytest

from tests.support.tls import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(authority, monkeypatch):
    """The authority, trusted by everything in this process for the length of the test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    return authority
