# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the daemon at any instant loses no answered change and no audit line, and doubles none (P5)."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.policy.vocabulary import KeyState

TESTS = Path(__file__).parents[2]
DAEMON = f"""
import os, sys, threading
sys.path.append({str(TESTS)!r})
from pathlib import Path
from unit.fakes import FakeDaemon
from vmm_keystore.control.access import Access
from vmm_keystore.control.app import make_app
from vmm_keystore.control.server import ControlServer
state_dir = Path(sys.argv[1])
daemon = FakeDaemon(state_dir)
ControlServer(make_app(daemon.keystore, Access.for_owners([os.geteuid()])), state_dir / "control.sock").start()
print("ready", flush=True)
threading.Event().wait()
"""


def make_keys(path: Path, prefix: str, enough: threading.Event) -> tuple[list[str], list[str]]:
    """Make and rotate keys until the daemon dies; return labels of the answered generations and rotations."""
    generated: list[str] = []
    rotated: list[str] = []
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://k/v1") as client:
        try:
            while True:
                label = f"{prefix}-{len(generated)}"
                assert client.post("/keys", json={"label": label, "type": "ec-p256"}).status_code == 201
                generated.append(label)
                assert client.post(f"/keys/{label}/rotate").status_code == 200
                rotated.append(label)
                if len(generated) == 5:
                    enough.set()
        except httpx.TransportError:
            return generated, rotated


@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.011])
def test_sigkill_loses_no_answered_change(tmp_path: Path, delay_s: float) -> None:
    """Everything answered is in the store after the restart, with exactly one line each, in an unbroken chain."""
    process = subprocess.Popen([sys.executable, "-P", "-c", DAEMON, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    enough = threading.Event()
    answered: list[tuple[list[str], list[str]]] = []
    threads = [
        threading.Thread(target=lambda p=prefix: answered.append(make_keys(tmp_path / "control.sock", p, enough)))
        for prefix in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    threading.Event().wait(delay_s)
    process.kill()
    process.stdout.close()
    process.wait()
    for thread in threads:
        thread.join(60)
    daemon = FakeDaemon(tmp_path)
    states = {key.label: [version.state for version in key.versions] for key in daemon.keystore.keys.list()}
    lines = [(line["action"], line["key"]) for line in daemon.admin_lines()]
    for generated, rotated in answered:
        assert set(generated) <= set(states)
        for label in rotated:
            assert states[label] == [KeyState.DEACTIVATED, KeyState.ACTIVE]
    # Answered or not: what is in the store is on record, what is on record is in the store.
    expected = {("key-generate", label) for label in states}
    expected |= {("key-rotate", label) for label, versions in states.items() if len(versions) == 2}
    assert len(lines) == len(set(lines))
    assert set(lines) == expected
    assert daemon.keystore.audit.verify().ok
    daemon.close()
