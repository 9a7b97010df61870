# SPDX-License-Identifier: Apache-2.0
"""What of keystored's a handler's program must not see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore.service.guest_values import Guest


@dataclass
class OwnSights:
    """What event handlers' programs must not see: our folders, and every socket that takes us for its owner."""

    own: Sequence[Path]
    guests: Callable[[], Sequence[Guest]] = tuple

    def words(self) -> Sequence[str]:
        """All there are at the moment, as vks-handler is told of them."""
        return (*map(str, self.own), *(guest.socket for guest in self.guests()))
