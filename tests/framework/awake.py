# SPDX-License-Identifier: Apache-2.0
"""A guest whose worker is there although nobody is connected: somebody was."""

from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest


def awaken(vault: Keystored, guest: str) -> int:
    """Connect once, as a virtual machine does, and hang up; the worker's pid."""
    with ring_guest(vault.folder / f"{guest}.sock"):
        return int(wait_for(lambda: vault.api.get(f"/guests/{guest}")["worker"]["pid"]))
