# SPDX-License-Identifier: Apache-2.0
"""What the custodian made, checked with another library before anybody is given it."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from vmm_keystore.errors import CustodianError
from vmm_keystore.policy.certificate_chain import public_key_der
from vmm_keystore.policy.certificate_names import Alternative, AlternativeKind, CertificateNames, name_text


def checked_request(der: bytes, names: CertificateNames, public_der: bytes) -> str:
    """A certification request as PEM: of this key, for these names, its signature valid.

    Raises:
        CustodianError: it is not.
    """
    try:
        request = x509.load_der_x509_csr(der)
        fits = request.is_signature_valid and _is_for(request, names, public_der)
    except (ValueError, UnsupportedAlgorithm):
        fits = False
    if not fits:
        raise CustodianError("the custodian made a request that is not what it was asked for")
    return request.public_bytes(Encoding.PEM).decode()


def checked_certificate(der: bytes, names: CertificateNames, public_der: bytes, *, is_ca: bool) -> x509.Certificate:
    """A self-signed certificate, checked likewise.

    Raises:
        CustodianError: it is not what was asked for.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(certificate)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        fits = constraints.ca == is_ca and _is_for(certificate, names, public_der)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        fits = False
    if not fits:
        raise CustodianError("the custodian made a certificate that is not what it was asked for")
    return certificate


def _is_for(made: x509.Certificate | x509.CertificateSigningRequest, names: CertificateNames, public: bytes) -> bool:
    return (
        public_key_der(made) == public
        and name_text(made.subject) == names.subject_text
        and _alternatives(made) == names.alternatives
    )


def _alternatives(made: x509.Certificate | x509.CertificateSigningRequest) -> tuple[Alternative, ...]:
    try:
        found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    kinds: dict[type[x509.GeneralName], AlternativeKind] = {
        x509.DNSName: AlternativeKind.DNS,
        x509.IPAddress: AlternativeKind.IP,
        x509.RFC822Name: AlternativeKind.EMAIL,
        x509.UniformResourceIdentifier: AlternativeKind.URI,
    }
    return tuple(Alternative(kinds[type(name)], str(name.value)) for name in found)
