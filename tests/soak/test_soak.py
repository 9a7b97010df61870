# SPDX-License-Identifier: Apache-2.0
"""``make soak`` in short: everything at once, every process of ours killed at random, and every check of the long run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
MINUTES = 0.4


@pytest.mark.timeout(300)
def test_short_run() -> None:
    """Promises P3 to P6: nothing wrong, lost, unrecorded or left behind."""
    command = [sys.executable, "-P", "-m", "soak", "--minutes", str(MINUTES), "--guests", "3"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "qemu-images")])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
