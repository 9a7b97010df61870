# SPDX-License-Identifier: Apache-2.0
"""The thread that does what is planned when its time has come, also what came due while there was no daemon."""

import logging

from vmm_keystore.errors import KeystoreError
from vmm_keystore.service.background import Background
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.key_plans import KeyPlans

WAIT_MAX_S = 60.0
"""The clock may be set meanwhile, and a plan that failed is tried again."""
WAIT_MIN_S = 1.0

_logger = logging.getLogger(__name__)


class Schedule(Background):
    """Runs from ``start`` to ``stop``; looks again when plans change."""

    def __init__(self, plans: KeyPlans) -> None:
        super().__init__("schedule")
        self._plans = plans

    def start(self) -> None:
        """Start the thread."""
        self._plans.on_plan = self.wake
        super().start()

    def step(self) -> float:
        """Do what is due."""
        begun_s = now_s()
        try:
            self._plans.do_due()
            # What was due already and is still there has failed: it is tried again in its time.
            due = self._plans.next_due(begun_s)
        except KeystoreError as error:
            _logger.error("planned changes of keys wait: %s", error)
            due = None
        return WAIT_MAX_S if due is None else min(WAIT_MAX_S, max(WAIT_MIN_S, due.at_s - now_s()))
