# SPDX-License-Identifier: Apache-2.0
"""``VKS_CUSTODIAN_CERTIFY`` of ``ipc.h``: names and times as the custodian takes them. Pure."""

import time
from typing import Any

from vmm_keystore._vks import lib
from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.certificate_names import AlternativeKind, Attribute, CertificateNames
from vmm_keystore.service.key_values import SealedBlob, Validity
from vmm_keystore.workers.ipc import pack

ATTRIBUTES = {
    Attribute.CN: lib.VKS_CERTIFY_COMMON_NAME,
    Attribute.C: lib.VKS_CERTIFY_COUNTRY,
    Attribute.ST: lib.VKS_CERTIFY_STATE,
    Attribute.L: lib.VKS_CERTIFY_LOCALITY,
    Attribute.STREET: lib.VKS_CERTIFY_STREET,
    Attribute.O: lib.VKS_CERTIFY_ORGANIZATION,
    Attribute.OU: lib.VKS_CERTIFY_UNIT,
    Attribute.SERIAL_NUMBER: lib.VKS_CERTIFY_SERIAL_NUMBER,
    Attribute.DC: lib.VKS_CERTIFY_DOMAIN_COMPONENT,
    Attribute.UID: lib.VKS_CERTIFY_USER_ID,
}
ALTERNATIVES = {
    AlternativeKind.DNS: lib.VKS_CERTIFY_DNS,
    AlternativeKind.IP: lib.VKS_CERTIFY_IP,
    AlternativeKind.EMAIL: lib.VKS_CERTIFY_EMAIL,
    AlternativeKind.URI: lib.VKS_CERTIFY_URI,
}


def certify_body(key: SealedBlob, names: CertificateNames, validity: Validity | None) -> bytes:
    """Lay out the request: a certificate that is good for *validity*, or a certification request without.

    Raises:
        InvalidRequestError: the names together are longer than a message may be.
    """
    fields = b"".join(_field(ATTRIBUTES[attribute], value.encode()) for attribute, value in names.subject)
    fields += b"".join(_field(ALTERNATIVES[one.kind], one.value) for one in names.alternatives)
    if len(fields) > lib.VKS_CERTIFY_FIELDS_BYTES_MAX:
        raise InvalidRequestError(
            f"the names have {len(fields)} bytes together, more than the {lib.VKS_CERTIFY_FIELDS_BYTES_MAX} allowed"
        )
    head = {
        "key_id": key.key_id,
        "version": key.version,
        "type": key.type_number,
        "kind": lib.VKS_CERTIFY_SELF_SIGNED if validity else lib.VKS_CERTIFY_REQUEST,
        "is_ca": int(bool(validity and validity.is_ca)),
        "not_before": _time(validity.not_before_s) if validity else b"",
        "not_after": _time(validity.not_after_s) if validity else b"",
        "sealed_bytes": len(key.sealed),
        "fields_bytes": len(fields),
    }
    return pack("vks_custodian_certify", head) + key.sealed + fields


def certified_tail_bytes(certified: Any) -> int:
    """Bytes behind ``struct vks_custodian_certified``."""
    return int(certified.der_bytes)


def _field(number: int, value: bytes) -> bytes:
    head = pack("vks_custodian_certify_field", {"type": number, "value_bytes": len(value)})
    return head + value + bytes(-len(value) % 8)


def _time(seconds: int) -> bytes:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode()
