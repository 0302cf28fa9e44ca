"""A certificate authority of our own, for servers on loopback: trust it with SSL_CERT_FILE."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """`Authority(folder)`: `.ca_file` to trust, `.server_context("x.test")` for a server of that name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback authority")])
        self._certificate = self._sign(self._name, self._key, x509.BasicConstraints(True, None))
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str, *, expired: bool = False, trusted: bool = True) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_chain(host, expired=expired, trusted=trusted))
        return context

    def server_chain(self, host: str, *, expired: bool = False, trusted: bool = True) -> Path:
        """A file with a certificate for `host` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        signer = self if trusted else Authority(_new_folder(self._folder))
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        certificate = signer._sign(subject, key, x509.BasicConstraints(False, None), names, expired=expired)
        chain = _new_folder(self._folder) / "chain.pem"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))
        return chain

    def _sign(self, subject, key, basic, names=None, *, expired=False):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
            .add_extension(basic, critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _new_folder(parent: Path) -> Path:
    folder = parent / f"{len(list(parent.iterdir()))}"
    folder.mkdir()
    return folder
