# SPDX-License-Identifier: Apache-2.0
"""The daemon's verbs in one place: what the control API calls, and what the daemon puts together.

Put together from below, because the workers need what is under the service::

    store = Store(state_dir.database)
    labels = KeyLabels(store)
    audit = AuditLog(state_dir.audit, labels.find)
    uses = UseCounts(audit, labels.find)
    workers = ...(StoreGuestKeys(store), uses)           # GuestWorkers
    audit_key = AuditKey(store, custodian)
    keeper = AuditKeeper(audit, audit_key)                # to be started, and stopped after the workers
    keystore = Keystore(store, custodian, workers, Audit(keeper, audit_key.public, workers), labels, uses=uses, kek=kek)
    keystore.recover()
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore.audit.use_counts import UseCounts
from vmm_keystore.errors import CustodianError, KeystoreError
from vmm_keystore.identity import describe_process
from vmm_keystore.policy.approval import ApprovalRules
from vmm_keystore.policy.hsm import TokenStatus
from vmm_keystore.service.audit import Audit, AuditStatus
from vmm_keystore.service.backups import Backups
from vmm_keystore.service.certificates import Certificates
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.death_tally import DeathTally
from vmm_keystore.service.declaration import Declarations
from vmm_keystore.service.delivery import Deliveries
from vmm_keystore.service.event_watch import EventWatch
from vmm_keystore.service.events import Events, Outbox
from vmm_keystore.service.grants import Grants
from vmm_keystore.service.guest_keys import KeyLabels
from vmm_keystore.service.guests import Guests
from vmm_keystore.service.key_names import KeyNames
from vmm_keystore.service.key_plans import KeyPlans
from vmm_keystore.service.key_uses import KeyUseStore
from vmm_keystore.service.key_values import CustodianStatus
from vmm_keystore.service.keys import Keys
from vmm_keystore.service.latencies import Latencies
from vmm_keystore.service.own_keys import OwnKeys
from vmm_keystore.service.ports import EventHandler, GuestWorkers, KeyCustodian, TokenKeys
from vmm_keystore.service.proposals import Proposals
from vmm_keystore.service.roles import Roles
from vmm_keystore.service.root import KekFile, Root
from vmm_keystore.service.schedule import Schedule
from vmm_keystore.service.sealing import Sealing
from vmm_keystore.settings import HISTOGRAMS_MAX
from vmm_keystore.store.backup import remove_unfinished
from vmm_keystore.store.store import Store


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The daemon at a glance."""

    pid: int
    runs_as: str
    uptime_s: int
    state_dir: Path
    store_schema: str
    guests: int
    guests_connected: int
    keys: int
    grants: int
    audit: AuditStatus
    custodian: CustodianStatus | CustodianError
    token: TokenStatus | None
    """None: keystored was started without one."""


class Keystore:
    """Everything an admin can ask for."""

    def __init__(
        self,
        store: Store,
        custodian: KeyCustodian,
        workers: GuestWorkers,
        audit: Audit,
        labels: KeyLabels,
        *,
        uses: UseCounts,
        kek: KekFile,
        handlers: Sequence[EventHandler] = (),
        deaths: DeathTally | None = None,
        token: TokenKeys | None = None,
        rules: ApprovalRules = ApprovalRules(),  # noqa: B008 - frozen
        histograms_max: int = HISTOGRAMS_MAX,
    ) -> None:
        self._store = store
        self._custodian = custodian
        self._token = token
        self._workers = workers
        self._state_dir = audit.log.directory.parent
        self._started = time.monotonic()
        outbox = Outbox(store, handlers)
        self._deliveries = Deliveries(store, handlers)
        self._changes = Changes(store, workers, audit.log, outbox.add, self._deliveries.wake, rules=rules)
        self.audit = audit
        self.uses = uses
        self.latencies = Latencies(workers, labels.find, histograms_max)
        self.guests = Guests(store, workers, self._changes)
        sealing = Sealing()
        self.root = Root(store, custodian, self._changes, sealing, kek)
        self.keys = Keys(store, custodian, self._changes, sealing, labels, token=token)
        self.own_keys = OwnKeys(store, custodian, self._changes, sealing, labels)
        self.names = KeyNames(store, self._changes)
        self.certificates = Certificates(store, custodian, self._changes)
        self.plans = KeyPlans(store, self._changes, self.keys)
        self.schedule = Schedule(self.plans)
        self.key_uses = KeyUseStore(store, audit.log, self._after_uses)
        self.grants = Grants(store, workers, self._changes)
        self.roles = Roles(store, self._changes)
        self.proposals = Proposals(
            store, self._changes, keys=self.keys, plans=self.plans, grants=self.grants, roles=self.roles
        )
        self.events = Events(store, self._changes, outbox, self._deliveries, handlers)
        self._watch = EventWatch(
            outbox,
            self._deliveries,
            grants=self.grants,
            plans=self.plans,
            proposals=self.proposals,
            uses=uses,
            deaths=deaths or DeathTally(),
            custodian=custodian,
        )
        self.backups = Backups(store, self._changes, self._state_dir)
        self.declarations = Declarations(store, custodian, workers, self._changes, guests=self.guests, labels=labels)

    def recover(self) -> None:
        """Finish what an earlier daemon did not live to finish, then do what is planned; once, before the first request."""
        remove_unfinished(self._state_dir)
        self.root.recover()
        self._changes.recover()
        self.schedule.start()
        self.key_uses.start()
        self.events.recover()
        self._deliveries.start()
        self._watch.start()

    def record_refusal(self, actor: Actor, path: str, error: KeystoreError) -> None:
        """Put on record that somebody asked for a change that is not his to make."""
        with suppress(type(error)), self._changes.attempt(actor, "not-allowed", path=path):
            raise error

    def _after_uses(self, key_rows: tuple[int, ...]) -> None:
        if self.plans.concern(key_rows):
            self.schedule.wake()

    def close(self) -> None:
        """End what the service started; the parts it was given stay open."""
        self.key_uses.stop()
        self._watch.stop()
        self._deliveries.stop()
        self.schedule.stop()
        self._changes.close()

    def status(self) -> DaemonStatus:
        """Say how the daemon is; a custodian that does not answer is part of the answer."""
        custodian: CustodianStatus | CustodianError
        try:
            custodian = self._custodian.status()
        except CustodianError as error:
            custodian = error
        guests = self.guests.list()
        return DaemonStatus(
            pid=os.getpid(),
            runs_as=describe_process(),
            uptime_s=int(time.monotonic() - self._started),
            state_dir=self._state_dir,
            store_schema=self._store.schema,
            guests=len(guests),
            guests_connected=sum(view.worker.front_end_pid is not None for view in guests),
            keys=self.keys.count(),
            grants=self.grants.count(),
            audit=self.audit.status(),
            custodian=custodian,
            token=self.token_status(),
        )

    def token_status(self) -> TokenStatus | None:
        """Say how keystored gets at the keys of its token; None: it has none."""
        return self._token.status() if self._token else None
