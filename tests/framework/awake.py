# SPDX-License-Identifier: Apache-2.0
"""A guest whose worker is there although nobody is connected: somebody was."""

from pathlib import Path

from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import descendants
from framework.ring_guest import ring_guest


def awaken(vault: Keystored, guest: str) -> int:
    """Connect once, as a virtual machine does, and hang up; the worker's pid, when nobody stands by any more."""
    facts = vault.api.get(f"/guests/{guest}")
    with ring_guest(Path(facts["socket"])):
        pid = wait_for(lambda: vault.api.get(f"/guests/{guest}")["worker"]["pid"])

    def settled() -> bool:
        guests = [vault.api.get(f"/guests/{one['name']}") for one in vault.api.get("/guests")["guests"]]
        mine = {one["worker"]["pid"] for one in guests} - {None}
        return workers_of(vault) <= mine and not any(one["worker"]["connected"] for one in guests)

    wait_for(settled)
    return int(pid)


def workers_of(vault: Keystored) -> set[int]:
    """Workers of every guest, those that stand by among them."""
    (zygote,) = (
        child.pid for child in descendants(vault.pid) if child.role == "vks-zygote" and child.parent == vault.pid
    )
    return {child.pid for child in descendants(zygote)}
