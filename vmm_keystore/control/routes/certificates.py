# SPDX-License-Identifier: Apache-2.0
"""Routes of certificates."""

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, Version, router
from vmm_keystore.policy.certificate_names import AlternativeKind, WantedNames


@router.post("/keys/{label}/csr")
def request_certificate(label: str, body: models.CertificateRequest, service: Service, caller: Caller) -> models.Signed:
    """Make a certification request (PKCS#10), signed with the key."""
    return answers.signed(service.certificates.request(caller, label, body.version, _names(body)))


@router.post("/keys/{label}/self-sign")
def self_sign(label: str, body: models.CertificateSelfSign, service: Service, caller: Caller) -> models.Signed:
    """Make a certificate that the key itself signs."""
    made = service.certificates.self_sign(caller, label, body.version, _names(body), days=body.days, is_ca=body.ca)
    return answers.signed(made)


@router.get("/keys/{label}/certificate")
def show_certificate(label: str, service: Service, version: Version = None) -> models.CertificateChain:
    """The chain of a version."""
    return answers.attached(service.certificates.show(label, version))


@router.post("/keys/{label}/certificate")
def set_certificate(
    label: str, body: models.CertificateSet, service: Service, caller: Caller
) -> models.CertificateChain:
    """Attach a chain to a version, in place of one that it has."""
    return answers.attached(service.certificates.attach(caller, label, body.version, body.pem))


@router.delete("/keys/{label}/certificate")
def remove_certificate(label: str, service: Service, caller: Caller, version: Version = None) -> models.CertificateInfo:
    """Take the chain of a version away."""
    return answers.certificate_info(service.certificates.remove(caller, label, version))


def _names(body: models.CertificateRequest) -> WantedNames:
    given = {
        AlternativeKind.DNS: body.dns,
        AlternativeKind.IP: body.ip,
        AlternativeKind.EMAIL: body.email,
        AlternativeKind.URI: body.uri,
    }
    return WantedNames(body.subject, [(kind, text) for kind, texts in given.items() for text in texts])
