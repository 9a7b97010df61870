# SPDX-License-Identifier: Apache-2.0
"""Plans for keys in running guests: in force when the command returns, and done without anybody's asking."""

from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

OK, NO_KEY, KEY_STATE = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_KEY_STATE


def test_planned_destruction_of_a_key_in_use(vault: Keystored) -> None:
    """Unusable, taken back, planned again, and destroyed by a keystored that was not there in time."""
    path = vault.add_guest("g")
    vault.api.generate("k", "ed25519")
    vault.api.grant("g", "k", ["sign"])
    with ring_guest(path) as guest:
        key_id = guest.key_id("k")
        said = vault.cli("key", "destroy", "k", "--after", "7d").stdout
        assert said.startswith("key k will be destroyed at ")
        assert said.endswith("; key destroy k --cancel takes that back\n")
        assert guest.sign(key_id, b"m").status == KEY_STATE
        shown = vault.facts("key", "show", "k")
        assert shown["state"] == "active"
        assert shown["versions"][0]["destroy_at"]
        assert "refused: key-state" in vault.cli("grant", "explain", "g", "k", "sign").stdout
        assert vault.cli("key", "destroy", "k", "--cancel").stdout == "key k stays, and is what it was before\n"
        assert guest.sign(key_id, b"m").status == OK
        vault.cli("key", "destroy", "k", "--after", "1s")
        vault.kill()
        assert guest.sign(key_id, b"m").status == KEY_STATE
        vault.start()
        wait_for(lambda: vault.facts("key", "show", "k")["state"] == "destroyed")
        wait_for(lambda: guest.sign(key_id, b"m").status == NO_KEY)
    assert "key k version 1 destroyed: as planned" in vault.log_text


def test_rotation_by_age_of_a_key_in_use(vault: Keystored) -> None:
    """New versions come by themselves, what an old one encrypted is read, until it is cut off."""
    path = vault.add_guest("g")
    vault.api.generate("k", "aes-256")
    vault.api.grant("g", "k", ["encrypt", "decrypt"])
    with ring_guest(path) as guest:
        sealed = guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64)
        assert vault.cli("key", "rotation", "k", "--every", "1s").stdout == "key k is rotated every 1s\n"
        wait_for(lambda: vault.facts("key", "show", "k")["current_version"] >= 3)
        vault.cli("key", "rotation", "k", "--off")
        current = vault.facts("key", "show", "k")["current_version"]
        assert guest.ask(lib.VKS_OP_ENCRYPT, "k", b"secret", output_bytes=64).key_version == current
        opened = guest.ask(lib.VKS_OP_DECRYPT, "k", sealed.data, key_version=1, output_bytes=64)
        assert (opened.status, opened.data) == (OK, b"secret")
        vault.cli("key", "min-version", "k", str(current))
        refused = guest.ask(lib.VKS_OP_DECRYPT, "k", sealed.data, key_version=1, output_bytes=64)
        assert refused.status == KEY_STATE
