# SPDX-License-Identifier: Apache-2.0
"""The audit log: GET /v1/audit[?after=&limit=&guest=&key=&op=&status=&since=&until=] and below it."""

from typing import Any

from vmm_keystore.control.models.words import Model


class AuditPage(Model):
    """Audit lines as they stand in the file, oldest first; ask again with after = *last_seq* to follow."""

    lines: list[dict[str, Any]]
    last_seq: int


class AuditVerified(Model):
    """What checking the whole chain found; *problem* says what and where when it does not hold."""

    ok: bool
    lines: int
    segments: int
    last_seq: int
    last_hash: str
    torn_bytes: int = 0
    problem: str = ""
    checkpoints: int = 0
    signed_seq: int = 0
    key: str = ""


class AuditKeyInfo(Model):
    """The public key of the checkpoints: as note verifiers take it, and as PEM."""

    origin: str
    vkey: str
    pem: str


class AuditCheckpoint(Model):
    """A signed note on the log's head."""

    note: str
