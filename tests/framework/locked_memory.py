# SPDX-License-Identifier: Apache-2.0
"""Runs a program that may lock so much memory and no more: ``locked_memory.py BYTES PROGRAM ARGUMENT...``.

Root would raise the limit: the program and everything that it starts lose the capability for it.
"""

import ctypes
import os
import resource
import sys

PR_CAPBSET_DROP = 24
CAP_SYS_RESOURCE = 24

if __name__ == "__main__":
    bytes_max = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (bytes_max, bytes_max))
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0) != 0:
        sys.exit("locked_memory.py: the capability cannot be dropped")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # no shell is wanted
