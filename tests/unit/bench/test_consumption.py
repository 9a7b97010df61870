# SPDX-License-Identifier: Apache-2.0
"""Memory is what a process has for itself alone, and of that what is secret."""

import os
import time

from bench.consumption import Memory, cpu_percent, memory_of, parse_smaps

SMAPS = """\
5607b131a000-5607b131f000 r--p 00000000 fe:00 5466070                    /usr/bin/program
Size:                 20 kB
Shared_Clean:         20 kB
Private_Clean:         4 kB
Private_Dirty:         8 kB
VmFlags: rd mr mw me
7f6b97065000-7f6b970a5000 rw-s 00000000 00:0e 75394                      /secretmem (deleted)
Private_Clean:         0 kB
Private_Dirty:        16 kB
7f6b970a6000-7f6b974cc000 rw-p 00000000 00:00 0
Private_Dirty:        32 kB
"""


def test_secret_pages_are_part_of_the_private_ones() -> None:
    """A mapping without a name that follows one of secret memory is not secret."""
    assert parse_smaps(SMAPS) == Memory(private_kib=60, secret_kib=16)


def test_this_process_has_memory() -> None:
    """What the kernel writes is understood."""
    assert memory_of(os.getpid()).private_kib > 1000


def test_who_works_uses_a_processor_and_who_is_gone_does_not() -> None:
    """By the scheduler's clock, not by ticks."""
    start_s = time.monotonic()
    used = cpu_percent({"self": [os.getpid()], "nobody": []}, 0.01)
    assert time.monotonic() - start_s >= 0.01
    assert used["self"] > 0
    assert used["nobody"] == 0
