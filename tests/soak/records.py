# SPDX-License-Identifier: Apache-2.0
"""Which requests the audit log has, read from ``audit export`` as an auditor would."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from framework.keystored import PROGRAM, Keystored, environment


def exported_uses(vault: Keystored, guest: str) -> Iterator[dict[str, Any]]:
    """Every line of this guest's requests."""
    command = [str(PROGRAM), "audit", "export", "--guest", guest, "--control-socket", str(vault.control_socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        if process.stdout is None:
            raise AssertionError
        for line in process.stdout:
            found = json.loads(line)
            if found["kind"] == "use":
                yield found
    if process.returncode != 0:
        raise AssertionError(f"audit export ended with {process.returncode}")


def covered_requests(vault: Keystored, guest: str) -> tuple[set[int], int]:
    """Give the numbers of every request of *guest* on record, and how many records there are."""
    covered: set[int] = set()
    record_count = 0
    for line in exported_uses(vault, guest):
        covered.update(range(line["request"], line["request"] + line["count"]))
        record_count += 1
    return covered, record_count
