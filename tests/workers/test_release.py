# SPDX-License-Identifier: Apache-2.0
"""Secrets that leave the vault: from the administrator's grant to the guest that has them, and the log that says so."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

OK, DENIED = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED
ECDH = lib.VKS_MECHANISM_ECDH


def logged(vault: Keystored, op: str) -> list[dict[str, Any]]:
    """The lines about one operation."""
    lines = map(json.loads, vault.cli("audit", "export").stdout.splitlines())
    return [line for line in lines if line.get("op") == op]


def test_agreement_with_somebody_outside(vault: Keystored) -> None:
    """Whoever has the public key that the administrator sees agrees with the guest; each time is on record."""
    path = vault.add_guest("g")
    vault.api.generate("agree", "x25519")
    public: Any = load_pem_public_key(vault.cli("key", "public", "agree").stdout.encode())
    vault.cli("grant", "add", "g", "agree", "--ops", "derive,release", "--mechanisms", "ecdh")
    peer = X25519PrivateKey.generate()
    with ring_guest(path) as guest:
        asked: dict[str, Any] = {"parameter": peer.public_key().public_bytes_raw(), "mechanism": ECDH}
        for _ in range(3):
            answer = guest.ask(lib.VKS_OP_DERIVE, "agree", output_bytes=32, **asked)
            assert (answer.status, answer.data) == (OK, peer.exchange(public))
        [entry] = guest.list_keys()
        assert entry.op_mask == 1 << lib.VKS_OP_DERIVE | 1 << lib.VKS_OP_RELEASE
        # By its default it would be one that the grant does not name.
        assert guest.ask(lib.VKS_OP_DERIVE, "agree", output_bytes=32, **asked | {"mechanism": 0}).status == DENIED
    lines = wait_for(lambda: len(found := logged(vault, "derive")) == 4 and found)
    assert [(line["status"], line.get("count", 1)) for line in lines] == [("ok", 1)] * 3 + [("denied", 1)]
    # What was refused is no use of the key.
    uses = wait_for(lambda: vault.facts("key", "show", "agree")["versions"][0]["uses"])
    assert [(use["op"], use["count"]) for use in uses] == [("derive", 3)]


def test_data_keys(vault: Keystored) -> None:
    """A guest that may only have them made can open none; rotation leaves those that there are."""
    path = vault.add_guest("g")
    vault.api.generate("kek", "aes-256")
    vault.cli("grant", "add", "g", "kek", "--ops", "data-key,release")
    with ring_guest(path) as guest:
        made = guest.ask(lib.VKS_OP_DATA_KEY, "kek", aad=b"disk 1", output_bytes=2 * 32 + 28).data
        secret, sealed = made[:32], made[32:]
        open_it: dict[str, Any] = {"aad": b"disk 1", "output_bytes": 32, "key_version": 1}
        assert guest.ask(lib.VKS_OP_DECRYPT, "kek", sealed, **open_it).status == DENIED
        vault.cli("grant", "remove", "g", "kek")
        vault.cli("grant", "add", "g", "kek", "--ops", "data-key,release,decrypt")
        vault.cli("key", "rotate", "kek")
        assert guest.ask(lib.VKS_OP_DECRYPT, "kek", sealed, **open_it).data == secret
        old = guest.ask(lib.VKS_OP_DATA_KEY, "kek", output_bytes=60, key_version=1)
        assert old.status == lib.VKS_STATUS_KEY_STATE
        assert guest.ask(lib.VKS_OP_DATA_KEY, "kek", output_bytes=60).key_version == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("grant", "add", "g", "agree", "--ops", "derive"),
            [
                "vmm-keystore: derive gives the guest a secret, and the grant does not say release",
                "hint: if the guest shall have it: --ops derive,release",
            ],
        ),
        (
            ("grant", "add", "g", "kek", "--ops", "encrypt,data-key"),
            [
                "vmm-keystore: data-key gives the guest a secret, and the grant does not say release",
                "hint: if the guest shall have it: --ops encrypt,data-key,release",
            ],
        ),
        (
            ("grant", "add", "g", "kek", "--ops", "encrypt,release"),
            ["vmm-keystore: release goes with derive, data-key or decapsulate, and alone allows nothing"],
        ),
        (
            ("grant", "add", "g", "kek", "--ops", "login"),
            ["vmm-keystore: login goes with operations, and alone allows nothing"],
        ),
        (
            ("key", "csr", "agree", "--subject", "CN=x"),
            ["vmm-keystore: key 'agree' is for key agreement (x25519): it does not sign"],
        ),
    ],
)
def test_what_is_refused(release_vault: Keystored, words: tuple[str, ...], said: list[str]) -> None:
    """At the administrator's desk, with what to do."""
    assert release_vault.cli(*words, ok=False).stderr.splitlines() == said


def test_explained(release_vault: Keystored) -> None:
    """Where a role of an older file has no release, that is the reason given."""
    release_vault.cli("grant", "add", "g", "agree", "--ops", "derive,release")
    answer = release_vault.facts("grant", "explain", "g", "agree", "derive")
    assert answer["allowed"]
    [check] = [check for check in answer["checks"] if check["rule"] == "release"]
    assert check == {"rule": "release", "holds": True, "detail": "the secret may leave the vault"}
    for mark in ("release", "login"):
        said = release_vault.cli("grant", "explain", "g", "agree", mark, ok=False).stdout
        assert f"NO  key type  {mark} is not asked for by itself" in said


@pytest.fixture(scope="module")
def release_vault(shared_vault: Keystored) -> Keystored:
    """With a guest and two keys."""
    shared_vault.add_guest("g")
    shared_vault.api.generate("agree", "x25519")
    shared_vault.api.generate("kek", "aes-256")
    return shared_vault
