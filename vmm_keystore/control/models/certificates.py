# SPDX-License-Identifier: Apache-2.0
"""Certificates of keys: POST /v1/keys/{label}/csr and self-sign; GET, POST and DELETE /v1/keys/{label}/certificate."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from vmm_keystore.control.models.words import Flag, Model
from vmm_keystore.policy.certificate_chain import PEM_BYTES_MAX
from vmm_keystore.policy.certificate_names import ALTERNATIVES_MAX, TEXT_MAX

VersionNumber = Annotated[int, Field(ge=1, le=2**32 - 1, strict=True)]
AlternativeName = Annotated[str, Field(min_length=1, max_length=1024)]
AlternativeNames = Annotated[list[AlternativeName], Field(max_length=ALTERNATIVES_MAX)]


class CertificateRequest(Model):
    """Names for a certification request; *subject* as RFC 4514 has it, the current version without *version*."""

    subject: Annotated[str, Field(max_length=TEXT_MAX)] = ""
    dns: AlternativeNames = Field(default_factory=list)
    ip: AlternativeNames = Field(default_factory=list)
    email: AlternativeNames = Field(default_factory=list)
    uri: AlternativeNames = Field(default_factory=list)
    version: VersionNumber | None = None


class CertificateSelfSign(CertificateRequest):
    """The same for a certificate that its own key signs; with *ca* it may issue others."""

    days: Annotated[int, Field(ge=1, le=36500, strict=True)]
    ca: Flag = False


class Signed(Model):
    """What was made; *sha256* is of its DER."""

    label: str
    version: int
    subject: str
    alternatives: list[str]
    sha256: str
    pem: str


class CertificateSet(Model):
    """A chain in PEM, the key's own certificate first, each one issued by the next."""

    pem: Annotated[str, Field(min_length=1, max_length=PEM_BYTES_MAX)]
    version: VersionNumber | None = None


class CertificateInfo(Model):
    """The first certificate of a chain of so many *certificates*; *sha256* is its fingerprint."""

    subject: str
    issuer: str
    serial: str
    not_before: AwareDatetime
    not_after: AwareDatetime
    sha256: str
    certificates: int


class CertificateChain(CertificateInfo):
    """The chain of a version."""

    label: str
    version: int
    pem: str
