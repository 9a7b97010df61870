# SPDX-License-Identifier: Apache-2.0
"""An authority of a test, whose own key is no guest's, and the certificates that it makes."""

from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509.oid import NameOID

BEGIN, END = datetime(2020, 2, 29), datetime(2060, 12, 31)  # noqa: DTZ001 - certificates have no other zone than UTC
"""Of both forms of time."""


def pem(*certificates: x509.Certificate) -> bytes:
    """All of them in one text."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


class Authority:
    """It signs whatever it is given."""

    def __init__(self, name: str) -> None:
        self.name, self._key = name, ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self._key.public_key(), is_authority=True)

    def issue(self, name: str, public_pem: bytes, *, key_id: bytes | None = None) -> x509.Certificate:
        """Another one each time, if only by its serial number.

        Args:
            name: its subject.
            public_pem: the subject's public key.
            key_id: the subject key identifier; by default what the public key gives.
        """
        return self._sign(name, load_pem_public_key(public_pem), key_id=key_id)

    def _sign(
        self, name: str, public_key: Any, *, is_authority: bool = False, key_id: bytes | None = None
    ) -> x509.Certificate:
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]) for common in (name, self.name))
        digest = x509.SubjectKeyIdentifier.from_public_key(public_key)
        builder = (
            x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number(), BEGIN, END)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier(key_id) if key_id else digest, critical=False)
        )
        return builder.sign(self._key, SHA256())
