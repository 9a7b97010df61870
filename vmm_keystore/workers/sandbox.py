# SPDX-License-Identifier: Apache-2.0
"""What a C program reports about its confinement, in words."""

from typing import Any

from vmm_keystore._vks import lib

VIEWS = {lib.VKS_SANDBOX_VIEW_LANDLOCK: "landlock", lib.VKS_SANDBOX_VIEW_NAMESPACES: "empty namespaces"}


def describe(report: Any) -> str:
    """Say whose user it is, what it sees, and whether its system calls are filtered, in one line."""
    own = report.flags & lib.VKS_SANDBOX_F_OWN_USER
    user = f"own user {report.uid}" if own else f"shares user {report.uid} with others"
    view = VIEWS.get(report.view, "sees files and network")
    calls = "system calls filtered" if report.flags & lib.VKS_SANDBOX_F_SYSCALL_FILTER else "no system-call filter"
    return f"{user}, {view}, {calls}"
