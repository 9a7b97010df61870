# SPDX-License-Identifier: Apache-2.0
"""The thread that finds out what operators should know: budgets, ends, refusals, deaths, a locked vault.

It looks every few seconds, so what holds is found also by a daemon that has just started; nothing of it is on the way
of a guest's request or of an answer to QEMU.
"""

import logging
import time

from vmm_keystore.audit.use_counts import UseCounts
from vmm_keystore.errors import CustodianError, KeystoreError
from vmm_keystore.policy.event import (
    BUDGET_HELD_SHARE,
    DEATH_QUIET_S,
    EventKind,
    Finding,
    budget_low,
    destruction_edge,
    expiry_edge,
    grant_expiry_near,
    is_destruction_near,
    is_expiry_near,
    is_low,
    key_destruction_near,
    key_worn,
    refusal_burst,
    vault_locked,
    was_low,
    worker_death,
)
from vmm_keystore.policy.refusals import BURST, BURST_HELD, BURST_QUIET_S, WINDOW_S, RefusalWindow
from vmm_keystore.service.background import Background
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.death_tally import DeathTally
from vmm_keystore.service.delivery import Deliveries
from vmm_keystore.service.events import Outbox
from vmm_keystore.service.grants import Grants
from vmm_keystore.service.key_plans import KeyPlans
from vmm_keystore.service.ports import KeyCustodian
from vmm_keystore.service.proposals import Proposals

PERIOD_S = 3.0
PAUSE_S = 0.2
"""Deaths come one after the other: a guest that makes workers die has us look no more often than this."""
ENDS_PERIOD_S = 60.0
"""What is near for days needs no closer look."""

_logger = logging.getLogger(__name__)


class EventWatch(Background):
    """Looks from ``start`` to ``stop``; what it finds goes to the outbox, and handlers are woken."""

    def __init__(
        self,
        outbox: Outbox,
        deliveries: Deliveries,
        *,
        grants: Grants,
        plans: KeyPlans,
        proposals: Proposals,
        uses: UseCounts,
        deaths: DeathTally,
        custodian: KeyCustodian,
    ) -> None:
        super().__init__("event-watch", pause_s=PAUSE_S)
        self._outbox = outbox
        self._deliveries = deliveries
        self._grants = grants
        self._plans = plans
        self._proposals = proposals
        self._uses = uses
        self._deaths = deaths
        self._custodian = custodian
        self._window = RefusalWindow()
        self._ends_looked_s = -ENDS_PERIOD_S

    def start(self) -> None:
        """Start the thread."""
        self._deaths.on_death = self.wake
        super().start()

    def step(self) -> float:
        """Look once."""
        try:
            self._look()
        except KeystoreError as error:
            _logger.error("events wait to be stored: %s", error)
        return PERIOD_S

    def _look(self) -> None:
        found = [self._look_at_refusals(), self._look_at_budgets(), self._look_at_vault()]
        if time.monotonic() - self._ends_looked_s >= ENDS_PERIOD_S:
            found += [
                self._look_at_expiries(),
                self._look_at_destructions(),
                self._look_at_worn_keys(),
                self._look_at_proposals(),
            ]
            self._ends_looked_s = time.monotonic()
        found.append(self._look_at_deaths())
        if any(found):
            self._deliveries.wake()

    def _look_at_deaths(self) -> frozenset[str]:
        deaths = self._deaths.peek()
        findings = [worker_death(guest, count) for guest, count in deaths.items()]
        told = self._outbox.observe(EventKind.WORKER_DEATH, findings, quiet_s=DEATH_QUIET_S)
        self._deaths.settle(deaths, told)
        return told

    def _look_at_refusals(self) -> frozenset[str]:
        refusals = self._window.note(time.monotonic(), self._uses.refusals())
        findings = [refusal_burst(guest, count, WINDOW_S) for guest, count in refusals.items() if count >= BURST]
        held = {guest for guest, count in refusals.items() if count >= BURST_HELD}
        return self._outbox.observe(EventKind.REFUSAL_BURST, findings, held, quiet_s=BURST_QUIET_S)

    def _look_at_budgets(self) -> frozenset[str]:
        uses = self._grants.bounded(BUDGET_HELD_SHARE)
        findings = [
            budget_low(use.guest, use.key, use.budget_id, use.ops_used, use.ops_max)
            for use in uses
            if is_low(use.ops_used, use.ops_max)
        ]
        held = {str(use.budget_id) for use in uses if was_low(use.ops_used, use.ops_max)}
        return self._outbox.observe(EventKind.BUDGET_LOW, findings, held)

    def _look_at_vault(self) -> frozenset[str]:
        try:
            status = self._custodian.status()
        except CustodianError:
            return frozenset()  # one that is being replaced says nothing about the root of trust
        findings: list[Finding] = [] if status.root_open or status.root_kind is None else [vault_locked()]
        return self._outbox.observe(EventKind.VAULT_LOCKED, findings, [finding.edge for finding in findings])

    def _look_at_expiries(self) -> frozenset[str]:
        grants = self._grants.ending()
        now = now_s()
        findings = [
            grant_expiry_near(grant.holder, grant.key, grant.row_id, grant.permission.not_after_s)
            for grant in grants
            if is_expiry_near(grant.permission.not_after_s, now)
        ]
        held = {expiry_edge(grant.row_id, grant.permission.not_after_s) for grant in grants}
        return self._outbox.observe(EventKind.GRANT_EXPIRY_NEAR, findings, held)

    def _look_at_destructions(self) -> frozenset[str]:
        planned = self._plans.destructions()
        now = now_s()
        findings = [
            key_destruction_near(label, versions, at_s)
            for (label, at_s), versions in planned.items()
            if is_destruction_near(at_s, now)
        ]
        held = {destruction_edge(label, at_s) for label, at_s in planned}
        return self._outbox.observe(EventKind.KEY_DESTRUCTION_NEAR, findings, held)

    def _look_at_worn_keys(self) -> frozenset[str]:
        findings = [
            key_worn(
                key.label,
                key.current_version,
                key.encrypted_count,
                is_rotated=bool(key.rotate_every_s or key.rotate_after_uses),
            )
            for key in self._plans.worn()
        ]
        return self._outbox.observe(EventKind.KEY_WORN, findings, [finding.edge for finding in findings])

    def _look_at_proposals(self) -> frozenset[str]:
        findings = self._proposals.waiting()
        return self._outbox.observe(EventKind.PROPOSAL_WAITS, findings, [finding.edge for finding in findings])
