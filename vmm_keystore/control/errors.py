# SPDX-License-Identifier: Apache-2.0
"""Which HTTP status an error becomes: the one place where it is decided. A test proves that every code has one."""

from vmm_keystore.control.models import ErrorAnswer, ErrorBody
from vmm_keystore.errors import KeystoreError

HTTP_STATUS: dict[str, int] = {
    "internal": 500,
    "refused": 400,
    "invalid-request": 400,
    "not-found": 404,
    "already-exists": 409,
    "key-state": 409,
    "unsupported": 422,
    "import-refused": 422,
    "secret-refused": 422,
    "pin-refused": 422,
    "not-allowed": 403,
    "approval-needed": 403,
    "too-large": 413,
    "store-failed": 500,
    "store-damaged": 500,
    "store-newer": 500,
    "store-full": 507,
    "store-read-only": 500,
    "store-access": 500,
    "store-busy": 503,
    "nonce-leases-used-up": 500,
    "backup": 507,
    "audit-failed": 500,
    "audit-write-failed": 507,
    "audit-damaged": 500,
    "audit-note": 400,
    "custodian-failed": 503,
    "root-of-trust": 503,
    "locked": 503,
    "worker-failed": 503,
    "daemon": 503,
}


def error_answer(error: KeystoreError) -> tuple[int, ErrorAnswer]:
    """Return status and body for *error*."""
    body = ErrorBody(code=error.code, message=error.message, hint=error.hint)
    return HTTP_STATUS[error.code], ErrorAnswer(error=body)
