# SPDX-License-Identifier: Apache-2.0
"""GET /v1/status."""

from vmm_keystore.control.models.words import Model


class CustodianInfo(Model):
    """The custodian; *root* is what opens the KEK. *problem* when it does not answer.

    *libcrypto* is the version of its OpenSSL, which lacks *unsupported_types*.
    """

    running: bool
    pid: int | None
    secret_memory: str
    root: str = ""
    root_open: bool
    sandbox: str = ""
    libcrypto: str = ""
    unsupported_types: tuple[str, ...] = ()
    problem: str = ""


class AuditInfo(Model):
    """The audit log; *problem*: lines cannot be stored, so operations wait. *upkeep_problem*: not signed, compressed."""

    last_seq: int
    signed_seq: int
    problem: str = ""
    upkeep_problem: str = ""


class TokenKeysInfo(Model):
    """The PKCS#11 token that keys may lie in; *problem* while it cannot be asked, none before the first key is."""

    open: bool
    label: str = ""
    serial: str = ""
    pid: int | None = None
    sessions: int = 0
    problem: str = ""


class StatusInfo(Model):
    """The daemon at a glance."""

    version: str
    your_role: str
    pid: int
    runs_as: str
    uptime_s: int
    state_dir: str
    store_schema: str
    guests: int
    guests_connected: int
    keys: int
    grants: int
    audit: AuditInfo
    custodian: CustodianInfo
    token: TokenKeysInfo | None = None
