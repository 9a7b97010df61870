# SPDX-License-Identifier: Apache-2.0
"""The routes of /v1, a file for each noun: each takes a model, calls one verb of the service, and gives a model.

All of them are plain functions, so that they run in threads: one that waits (for a worker, the disk, the custodian)
holds up no other.
"""

from vmm_keystore.control.routes import (
    aliases,
    audit,
    certificates,
    daemon,
    events,
    grants,
    guests,
    keys,
    proposals,
    roles,
    root,
)
from vmm_keystore.control.routes.common import router

__all__ = [
    "aliases",
    "audit",
    "certificates",
    "daemon",
    "events",
    "grants",
    "guests",
    "keys",
    "proposals",
    "roles",
    "root",
    "router",
]
