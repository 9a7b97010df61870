# SPDX-License-Identifier: Apache-2.0
"""What is told of, with real guests and processes: when it is time to, once, and not again after a restart."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from framework.event_program import EventProgram
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest
from workers.test_deaths import worker_pid

from vmm_keystore._vks import lib
from vmm_keystore.policy.refusals import BURST


def serve_guest(vault: Keystored, **limits: object) -> Path:
    socket = vault.add_guest("web1")
    vault.api.generate("tls", "ed25519")
    vault.api.grant("web1", "tls", ["sign"], **limits)
    return socket


def use(guest: RingGuest, times: int) -> None:
    key_id = guest.key_id("tls")
    for _ in range(times):
        assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_OK


def looked_again(vault: Keystored, program: EventProgram) -> None:
    """Wait until keystored has looked at everything once more than now: it finds what is told of last."""
    before = len(program.events("worker-death"))
    vault.add_guest(f"canary{before}")
    with ring_guest(vault.folder / f"canary{before}.sock"):
        pid = wait_for(lambda: worker_pid(vault, f"canary{before}"))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(program.events("worker-death")) > before)


def test_budget_low(program: EventProgram, vault: Keystored) -> None:
    """At nine tenths, not before; once; a new grant has a budget of its own."""
    socket = serve_guest(vault, ops_max=100)
    with ring_guest(socket) as guest:
        use(guest, 89)
        looked_again(vault, program)
        assert program.events("budget-low") == []
        use(guest, 1)
        (told,) = wait_for(lambda: program.events("budget-low"))
        assert told["subject"] == {"guest": "web1", "key": "tls"}
        assert told["facts"] == {"operations_used": 90, "operations_max": 100}
        assert told["text"].startswith("guest web1 has used 90 of the 100 operations it may do with key tls")
        use(guest, 5)
        vault.kill()
        vault.start()
        looked_again(vault, program)
        assert len(program.events("budget-low")) == 1
        vault.api.revoke("web1", "tls")
        vault.api.grant("web1", "tls", ["sign"], ops_max=10)
        use(guest, 10)
        wait_for(lambda: len(program.events("budget-low")) == 2)


def test_refusals_of_a_hostile_guest(program: EventProgram, vault: Keystored) -> None:
    """Thousands of refused operations are one event and one run of the program, over restarts as well."""
    socket = serve_guest(vault)
    with ring_guest(socket) as guest:
        for _ in range(BURST - 1):
            assert guest.sign(os.urandom(16), b"m").status == lib.VKS_STATUS_NO_KEY
        looked_again(vault, program)
        assert program.events("refusal-burst") == []
        for _ in range(2000):
            guest.sign(os.urandom(16), b"m")
        (told,) = wait_for(lambda: program.events("refusal-burst"))
        assert told["subject"] == {"guest": "web1"}
        assert BURST <= told["facts"]["refusals"] <= BURST - 1 + 2000
        vault.kill()
        vault.start()
        for _ in range(2000):
            guest.sign(os.urandom(16), b"m")
        looked_again(vault, program)
        assert len(program.events("refusal-burst")) == 1
        use(guest, 1)
    assert len(vault.facts("events", "list", "--kind", "refusal-burst")) == 1


def test_worker_death(program: EventProgram, vault: Keystored) -> None:
    """The first one at once; those of the same minute wait, so that a guest that makes them die is one line."""
    socket = serve_guest(vault)
    with ring_guest(socket) as guest:
        for _ in range(3):
            pid = wait_for(lambda: worker_pid(vault, "web1"))
            os.kill(pid, signal.SIGKILL)
            use(guest, 1)
            wait_for(lambda: program.events("worker-death"))
        looked_again(vault, program)
        of_guest = [told for told in program.events("worker-death") if told["subject"] == {"guest": "web1"}]
    assert [told["facts"] for told in of_guest] == [{"deaths": 1}]
    assert of_guest[0]["text"].startswith("the worker of guest web1 died")


def test_ends_of_grants(program: EventProgram, vault: Keystored) -> None:
    """Those that are near, of guests and roles; found out at the start too, and told of once."""
    now = datetime.now(UTC)
    vault.api.generate("tls", "ed25519")
    vault.api.generate("ssh", "ed25519")
    vault.api.post("/roles", {"name": "web"})
    vault.add_guest("web1")
    vault.api.grant("web1", "ssh", ["sign"], not_after=(now + timedelta(days=8)).isoformat())
    vault.api.grant("@web", "tls", ["sign"], not_after=(now + timedelta(days=6)).isoformat())
    (told,) = wait_for(lambda: program.events("grant-expiry-near"))
    assert told["subject"] == {"role": "web", "key": "tls"}
    assert "the grant of key tls to role web ends " in told["text"]
    vault.kill()
    vault.start()
    looked_again(vault, program)
    assert len(program.events("grant-expiry-near")) == 1


def test_planned_destruction(program: EventProgram, vault: Keystored) -> None:
    """Within a day of it; told of with the plan itself, and again if it is planned again."""
    vault.api.generate("later", "ed25519")
    vault.api.generate("soon", "ed25519")
    vault.cli("key", "rotate", "soon")
    vault.cli("key", "destroy", "later", "--after", "3d")
    vault.cli("key", "destroy", "soon", "--after", "2h")
    (told,) = wait_for(lambda: program.events("key-destruction-near"))
    assert told["subject"] == {"key": "soon"}
    assert told["facts"]["versions"] == "1,2"
    assert told["text"].startswith("versions 1,2 of key soon will be destroyed ")
    vault.cli("key", "destroy", "soon", "--cancel")
    vault.cli("key", "destroy", "soon", "--after", "3h", "--version", "1")
    wait_for(lambda: len(program.events("key-destruction-near")) == 2)
    assert program.events("key-destruction-near")[1]["facts"]["versions"] == "1"


def test_locked_vault(program: EventProgram, vault: Keystored, tmp_path: Path) -> None:
    """Once for each time that it is locked."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple")
    vault.cli("root", "change", "passphrase", "--passphrase-file", passphrase)
    vault.stop()
    vault.start()
    (told,) = wait_for(lambda: program.events("vault-locked"))
    assert told["text"].startswith("the vault is locked: ")
    assert told["subject"] == {}
    vault.cli("root", "unlock", "--passphrase-file", passphrase)
    looked_again(vault, program)
    assert len(program.events("vault-locked")) == 1
    vault.stop()
    vault.start()
    wait_for(lambda: len(program.events("vault-locked")) == 2)


def test_proposal(program: EventProgram, vault: Keystored) -> None:
    """With the proposal itself, once; the next one is another."""
    serve_guest(vault)
    vault.cli("key", "guard", "tls")
    vault.cli("key", "destroy", "tls", "--propose")
    (told,) = wait_for(lambda: program.events("proposal-waits"))
    (found,) = vault.facts("proposal", "list")
    assert told["subject"] == {"proposal": found["id"]}
    assert told["text"].startswith(f"uid {os.geteuid()} proposes to destroy key tls with all its versions; ")
    vault.kill()
    vault.start()
    looked_again(vault, program)
    assert len(program.events("proposal-waits")) == 1
    vault.cli("proposal", "withdraw", found["id"])
    vault.cli("key", "unguard", "tls", "--propose")
    wait_for(lambda: len(program.events("proposal-waits")) == 2)
