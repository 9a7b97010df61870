# SPDX-License-Identifier: Apache-2.0
"""What guests do with keys is known of the keys a few seconds later, also when keystored is killed meanwhile."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.policy.lifecycle import ENCRYPTIONS_MAX

OK = lib.VKS_STATUS_OK


def counts(vault: Keystored, key: str) -> dict[tuple[int, str], int]:
    """Uses by version and operation."""
    shown: Any = vault.api.get(f"/keys/{key}")
    return {(version["version"], use["op"]): use["count"] for version in shown["versions"] for use in version["uses"]}


def test_used_by_a_guest(vault: Keystored) -> None:
    """Each operation counts once, whenever keystored is killed; a person reads when it was."""
    path = vault.add_guest("g")
    vault.api.generate("k", "ed25519")
    vault.api.generate("idle", "ed25519")
    vault.api.grant("g", "k", ["sign", "verify"])
    begun = datetime.now(UTC).replace(microsecond=0)
    assert "last used:             -\n" in vault.cli("key", "show", "k").stdout
    with ring_guest(path) as guest:
        signature = guest.ask(lib.VKS_OP_SIGN, "k", b"m", output_bytes=64)
        verified = {"parameter": signature.data, "output_bytes": 0}
        assert guest.ask(lib.VKS_OP_VERIFY, "k", b"m", **verified).status == OK
        assert guest.ask(lib.VKS_OP_VERIFY, "k", b"x", **verified).status == lib.VKS_STATUS_AUTH_FAILED
        wait_for(lambda: counts(vault, "k") == {(1, "sign"): 1, (1, "verify"): 2})
        vault.api.post("/keys/k/rotate")
        assert [guest.sign("k", b"m").status for _ in range(7)] == [OK] * 7
        vault.kill()
        # The worker goes on alone.
        assert [guest.sign("k", b"m").status for _ in range(3)] == [OK] * 3
        vault.start()
        wait_for(lambda: counts(vault, "k") == {(1, "sign"): 1, (1, "verify"): 2, (2, "sign"): 10})
    used = datetime.fromisoformat(vault.facts("key", "show", "k")["last_used"])
    assert begun <= used <= datetime.now(UTC)
    shown = vault.cli("key", "show", "k").stdout
    assert f"last used:             {used:%Y-%m-%dT%H:%M:%SZ}\n" in shown
    assert f"sign {used:%Y-%m-%dT%H:%M:%SZ} " in shown
    # A key that is younger than the time asked for is no unused one.
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    assert [key["label"] for key in vault.facts("key", "list", "--unused-since", soon)] == ["idle", "k"]
    assert vault.facts("key", "list", "--unused-since", "90d") == []
    wait_for(lambda: datetime.now(UTC) > used + timedelta(seconds=1))
    with ring_guest(path) as guest:
        since = datetime.now(UTC).isoformat()
        assert guest.sign("k", b"m").status == OK
        wait_for(lambda: counts(vault, "k")[2, "sign"] == 11)
        assert [key["label"] for key in vault.facts("key", "list", "--unused-since", since)] == ["idle"]
    refused = vault.cli("key", "list", "--unused-since", "yesterday", ok=False)
    assert refused.stderr.splitlines()[0] == "vmm-keystore: 'yesterday' is no time"


def test_rotation_by_use_of_a_key_in_use(vault: Keystored) -> None:
    """After so many encryptions the next version comes by itself; what the old one encrypted is read."""
    path = vault.add_guest("g")
    vault.api.generate("k", "aes-256")
    vault.api.grant("g", "k", ["encrypt", "decrypt"])
    assert vault.cli("key", "rotation", "k", "--uses", "5").stdout == "key k is rotated after 5 uses\n"
    assert "rotated:               after 5 uses\n" in vault.cli("key", "show", "k").stdout
    with ring_guest(path) as guest:
        sealed = [guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64) for _ in range(5)]
        assert {answer.key_version for answer in sealed} == {1}
        wait_for(lambda: vault.facts("key", "show", "k")["current_version"] == 2)
        assert guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64).key_version == 2
        opened = guest.ask(lib.VKS_OP_DECRYPT, "k", sealed[0].data, key_version=1, output_bytes=64)
        assert (opened.status, opened.data) == (OK, b"secret")
    assert "key k version 1 rotated: it is due by its uses" in vault.log_text
    both = vault.cli("key", "rotation", "k", "--every", "90d", "--uses", "9").stdout
    assert both == "key k is rotated every 90d or after 9 uses\n"
    assert vault.cli("key", "rotation", "k", "--off").stdout == "key k is rotated by hand only\n"
    for arguments in ((), ("--off", "--uses", "3")):
        refused = vault.cli("key", "rotation", "k", *arguments, ok=False)
        assert refused.status == 2
        assert refused.stderr.splitlines() == [
            "vmm-keystore: --every, --uses or both are needed, or --off",
            "hint: key rotation k --every 90d",
        ]


def test_bound_of_aead(vault: Keystored) -> None:
    """Seconds after the last encryption that a version may do, the device refuses the next; it decrypts on."""
    path = vault.add_guest("g")
    vault.api.generate("k", "aes-256")
    vault.api.grant("g", "k", ["encrypt", "decrypt"])
    with ring_guest(path) as guest:
        sealed = guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64)
        wait_for(lambda: counts(vault, "k") == {(1, "encrypt"): 1})
        vault.stop()
        with closing(sqlite3.connect(vault.state_dir / "keystore.db")) as store, store:
            store.execute("UPDATE key_uses SET use_count = ?", (ENCRYPTIONS_MAX - 3,))
    vault.start()
    with ring_guest(path) as guest:
        for _ in range(2):
            assert guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64).status == OK
        wait_for(lambda: counts(vault, "k")[1, "encrypt"] == ENCRYPTIONS_MAX - 1)
        assert vault.facts("key", "show", "k")["state"] == "active"
        assert guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64).status == OK
        wait_for(lambda: vault.facts("key", "show", "k")["state"] == "deactivated")
        refused = guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64)
        assert refused.status == lib.VKS_STATUS_KEY_STATE
        assert guest.ask(lib.VKS_OP_DECRYPT, "k", sealed.data, output_bytes=64).data == b"secret"
    assert f"key k version 1 deactivated: it has encrypted {ENCRYPTIONS_MAX} times" in vault.log_text
