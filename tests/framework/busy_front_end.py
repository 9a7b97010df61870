# SPDX-License-Identifier: Apache-2.0
"""``python -m framework.busy_front_end SOCKET DEPTH``: a front-end of its own process, with requests under way always.

Signs with every key that is granted, says ``ready`` once its ring is full, and works until it is killed.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framework.ring_guest import RingGuest, ring_guest
from vmm_keystore._vks import lib

TESTS = Path(__file__).resolve().parents[1]
OUTPUT_BYTES = 512


def fill(guest: RingGuest, keys: Iterator[bytes]) -> None:
    """Use every free slot."""
    while guest.vault.free:
        guest.vault.submit(lib.VKS_OP_SIGN, key_id=next(keys), data=b"m", output_bytes=OUTPUT_BYTES)
    guest.ring.kick(force=True)


def main() -> None:
    """Work until killed."""
    with ring_guest(Path(sys.argv[1]), slot_count=int(sys.argv[2])) as guest:
        keys = itertools.cycle([entry.key_id for entry in guest.list_keys()])
        fill(guest, keys)
        print("ready", flush=True)
        while True:
            guest.vault.collect()
            fill(guest, keys)


@contextmanager
def busy_front_end(socket: Path, depth: int) -> Iterator[subprocess.Popen[str]]:
    """Start one and wait until it is ready; killed at the end."""
    command = [sys.executable, "-P", "-m", "framework.busy_front_end", str(socket), str(depth)]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise AssertionError("the front-end did not start")
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main()
