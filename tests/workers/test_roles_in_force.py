# SPDX-License-Identifier: Apache-2.0
"""Roles from the command line to the guests: what one guest has by a role, it alone uses, within its own budget."""

from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

OK, LIMIT, NO_KEY = lib.VKS_STATUS_OK, lib.VKS_STATUS_LIMIT, lib.VKS_STATUS_NO_KEY


def sign(guest: RingGuest, key_id: bytes) -> int:
    """One signature."""
    return guest.sign(key_id, b"m").status


def test_role_in_running_guests(vault: Keystored) -> None:
    """Granted, assigned, used up by one and not by the other, taken away: each in force when the command returns."""
    sockets = {name: vault.add_guest(name) for name in ("a", "b", "c")}
    vault.api.generate("k", "ed25519")
    assert "next: vmm-keystore grant add @web KEY" in vault.cli("role", "add", "web").stdout
    said = vault.cli("grant", "add", "@web", "k", "--ops", "sign", "--max-ops", "5").stdout
    assert said == "every guest with role web may use key k: sign\n"
    assert vault.cli("role", "assign", "web", "a", "b").stdout == "2 guests may do what role web may\n"
    key_id = bytes.fromhex(vault.api.get("/keys/k")["id"])
    with ring_guest(sockets["a"]) as a, ring_guest(sockets["b"]) as b, ring_guest(sockets["c"]) as c:
        assert [sign(a, key_id) for _ in range(6)] == [OK] * 5 + [LIMIT]
        assert [sign(b, key_id) for _ in range(2)] == [OK] * 2
        assert sign(c, key_id) == NO_KEY
        shown = vault.cli("grant", "list", "--guest", "b").stdout
        assert "b (@web)" in shown
        assert "ops=2/5" in shown
        assert "ops=5" in vault.cli("grant", "list").stdout
        assert vault.facts("role", "show", "web")["guests"] == ["a", "b"]
        vault.cli("role", "unassign", "web", "a")
        assert (sign(a, key_id), sign(b, key_id)) == (NO_KEY, OK)
        vault.cli("key", "suspend", "k")
        assert sign(b, key_id) == lib.VKS_STATUS_KEY_STATE
        vault.cli("key", "activate", "k")
        vault.kill()
        vault.start()
        assert [sign(b, key_id) for _ in range(3)] == [OK] * 2 + [LIMIT]
        removed = vault.cli("role", "remove", "web").stdout
        assert removed == "role web removed, with 1 grants; 1 guests had it\n"
        assert sign(b, key_id) == NO_KEY
    assert vault.api.get("/grants")["grants"] == []
