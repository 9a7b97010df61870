# SPDX-License-Identifier: Apache-2.0
"""``vks`` in a guest that makes, renews and destroys keys of its own: kernel module, worker, keystored."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.guest import Guest
from framework.keystored import Keystored
from guest.boot import Boot
from qemu_images.keystore import content

pytestmark = pytest.mark.uml
MESSAGE = b"what the guest says"
OPERATIONS = {"generate", "rotate", "destroy"}
NONE_ALLOWED = [
    "vks: generate: this guest may have no keys of its own",
    "hint: the host's operator may allow some: vmm-keystore guest set GUEST --own-keys N",
]
LABEL_BYTES_MAX = 62
"""Of a label and the name of its guest, together."""


@pytest.fixture
def guest(vault: Keystored, boot: Boot) -> Guest:
    """A guest that may have no keys of its own yet."""
    return boot("uml-plain", content(), devices=[(vault.add_guest("g"), 20)])


def allow(vault: Keystored, count: int) -> None:
    """Say on the host how many keys of its own the guest may have."""
    vault.cli("guest", "set", "g", "--own-keys", str(count))


def refused(guest: Guest, command: str) -> list[str]:
    """The lines that a person reads of a command that fails."""
    answer = guest.run(f"vks {command}", stdin=MESSAGE, check=False)
    assert (answer.status, answer.stdout) == (1, b"")
    return answer.stderr.decode().splitlines()


def keys(guest: Guest) -> list[dict[str, Any]]:
    """What the guest lists."""
    listed: list[dict[str, Any]] = json.loads(guest.run("vks list --json").stdout)
    return listed


def check_signature(guest: Guest, label: str, signature: bytes) -> None:
    """Verify what was signed with the current version, outside the vault."""
    public = load_pem_public_key(guest.run(f"vks public {label}").stdout)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_none_until_the_host_allows_some(vault: Keystored, guest: Guest) -> None:
    """Then at once, in the running guest; ``info`` says it (MUST-47)."""

    def operations() -> set[str]:
        return OPERATIONS & set(json.loads(guest.run("vks info --json").stdout)["operations"])

    assert operations() == set()
    assert refused(guest, "generate web") == NONE_ALLOWED
    allow(vault, 3)
    assert operations() == OPERATIONS
    guest.run("vks generate web")
    allow(vault, 0)
    assert refused(guest, "generate other") == NONE_ALLOWED
    assert [key["label"] for key in keys(guest)] == ["web"]


def test_life_of_a_signing_key(vault: Keystored, guest: Guest) -> None:
    """Made, used, renewed and destroyed; what the older version signed still verifies (MUST-48, MUST-49)."""
    allow(vault, 3)
    label, key_type, key_id = guest.run("vks generate web").text.split()
    assert (label, key_type) == ("web", "ec-p256")
    (entry,) = keys(guest)
    assert (entry["id"], entry["version"], entry["state"], entry["own"]) == (key_id, 1, "active", True)
    assert {"sign", "verify", "rotate", "destroy"} <= set(entry["operations"])
    assert not {"derive", "release"} & set(entry["operations"])
    first = guest.run("vks sign web", stdin=MESSAGE).stdout
    check_signature(guest, "web", first)

    assert guest.run("vks rotate web").text == f"web  version 2  {key_id}"
    assert [(entry["version"], entry["current"]) for entry in keys(guest)] == [(1, False), (2, True)]
    check_signature(guest, "web", guest.run("vks sign web", stdin=MESSAGE).stdout)
    guest.push(first, "/tmp/first")
    guest.run("vks verify --version 1 web /tmp/first", stdin=MESSAGE)
    assert refused(guest, "sign --version 1 web")[0] == "vks: sign: the key's state does not allow this"

    guest.run("vks destroy --yes web")
    assert keys(guest) == []
    assert refused(guest, f"sign {key_id}")[0] == "vks: sign: no such key, or not granted to this guest"
    again = json.loads(guest.run("vks generate web --json").stdout)
    assert (again["label"], again["id"] == key_id) == ("web", False)


def test_older_ciphertext_opens_after_a_rotation(vault: Keystored, guest: Guest) -> None:
    """With a key that encrypts (MUST-49)."""
    allow(vault, 1)
    guest.run("vks generate box --type aes-256")
    sealed = guest.run("vks encrypt box", stdin=MESSAGE).stdout
    assert json.loads(guest.run("vks rotate box --json").stdout)["version"] == 2
    assert guest.run("vks decrypt --version 1 box", stdin=sealed).stdout == MESSAGE
    renewed = guest.run("vks encrypt box", stdin=MESSAGE).stdout
    assert guest.run("vks decrypt box", stdin=renewed).stdout == MESSAGE


def test_refusals_say_why(vault: Keystored, guest: Guest) -> None:
    """The label that is there, the number that is reached, the type and the label that cannot be (MUST-48)."""
    allow(vault, 2)
    longest = "l" * (LABEL_BYTES_MAX - len("g"))
    assert refused(guest, f"generate {longest}l") == [
        "vks: generate: the label is too long: with the guest's name it may have 62 bytes",
        "hint: 'vks info' shows the name",
    ]
    assert refused(guest, "generate web --type rsa-2048") == [
        "vks: generate: this host makes no keys of type rsa-2048 for guests",
        "hint: 'vks generate --help' lists the types; older hosts make none",
    ]
    assert refused(guest, "generate a/b")[0] == "vks: generate: this is no label for a key"
    guest.run(f"vks generate {longest}")
    assert refused(guest, f"generate {longest} --type aes-256") == [
        "vks: generate: the guest has a key with this label already",
        "hint: 'vks list' shows the keys of this guest",
    ]
    guest.run("vks generate web")
    assert refused(guest, "generate other") == [
        "vks: generate: this guest has as many keys of its own as it may have",
        "hint: 'vks destroy KEY' makes room; the host's operator may allow more",
    ]
    guest.run("vks destroy --yes web")
    guest.run("vks generate other")
    assert {key["label"] for key in keys(guest)} == {longest, "other"}


def test_granted_key_stays_the_host_s(vault: Keystored, guest: Guest) -> None:
    """A guest with keys of its own neither rotates nor destroys others (MUST-47); nothing is destroyed by the way."""
    allow(vault, 1)
    vault.api.generate("granted", "ec-p256")
    vault.api.grant("g", "granted", ["sign"])
    guest.run("vks generate mine")
    assert {key["label"]: key["own"] for key in keys(guest)} == {"granted": False, "mine": True}
    for verb, done in (("rotate", "rotated"), ("destroy --yes", "destroyed")):
        assert refused(guest, f"{verb} granted") == [
            f"vks: {verb.split()[0]}: the key is not this guest's own",
            f"hint: 'vks list' shows which are; others are {done} by the host's operator",
        ]
    assert refused(guest, "destroy mine") == [
        "vks: destroy: will not destroy key mine with all its versions without being asked to twice",
        "hint: add --yes",
    ]
    for label in ("granted", "mine"):
        check_signature(guest, label, guest.run(f"vks sign {label}", stdin=MESSAGE).stdout)
