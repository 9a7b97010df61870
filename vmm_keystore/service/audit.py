# SPDX-License-Identifier: Apache-2.0
"""What an administrator can ask about the audit log. Whatever the workers have committed is in it before it is read."""

from dataclasses import dataclass
from typing import Any

from vmm_keystore.audit.keeper import AuditKeeper
from vmm_keystore.audit.note import AuditPublicKey
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.audit.selection import EVERYTHING, Selection
from vmm_keystore.audit.verify import ChainReport, verify_chain
from vmm_keystore.service.ports import GuestWorkers


@dataclass(frozen=True, slots=True)
class AuditStatus:
    """How the log is: *problem* when lines cannot be stored, *upkeep_problem* when it is not signed or compressed."""

    last_seq: int
    signed_seq: int
    problem: str
    upkeep_problem: str


class Audit:
    """Reads and checks the log that *keeper* tends."""

    def __init__(self, keeper: AuditKeeper, public_key: AuditPublicKey, workers: GuestWorkers) -> None:
        self.public_key = public_key
        self._keeper = keeper
        self.log = keeper.log
        self._workers = workers
        self._reader = AuditReader(keeper.log.directory)

    def page(
        self, after: int | None, limit: int, selection: Selection = EVERYTHING
    ) -> tuple[list[dict[str, Any]], int]:
        """Return up to *limit* selected lines behind *after* (None: the last ones) and the number to ask behind next."""
        self._workers.drain_audit()
        until = self.log.last_seq
        if after is None:
            return self._reader.last(until, limit, selection), until
        return self._reader.page(min(after, until), until, limit, selection)

    def verify(self) -> ChainReport:
        """Check the whole chain, and the checkpoints in it, as it stands."""
        self._workers.drain_audit()
        return verify_chain(self.log.directory, self.log.last_seq, key=self.public_key)

    def checkpoint(self) -> str:
        """Return a signed note on the log as it stands, to be kept elsewhere."""
        self._workers.drain_audit()
        return self._keeper.checkpoint()

    def status(self) -> AuditStatus:
        """Say how the log is."""
        return AuditStatus(self.log.last_seq, self._keeper.signed_seq, self.log.problem, self._keeper.problem)
