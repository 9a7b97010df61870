# SPDX-License-Identifier: Apache-2.0
"""From the administrator's command to a guest's signature: the real daemon, custodian, zygote and worker."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from framework.frontend import PROFILES, Profile
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

NAMES = (f"g{number}" for number in itertools.count())
MESSAGE = b"to be signed, but never by an eavesdropper"


@pytest.fixture
def guest_name(shared_vault: Keystored) -> Iterator[str]:
    name = next(NAMES)
    shared_vault.add_guest(name)
    yield name
    shared_vault.api.delete(f"/guests/{name}")


@pytest.fixture
def socket(shared_vault: Keystored, guest_name: str) -> Path:
    return shared_vault.folder / f"{guest_name}.sock"


@pytest.fixture
def guest(socket: Path) -> Iterator[RingGuest]:
    with ring_guest(socket) as connected:
        yield connected


def ecdsa_der(raw: bytes) -> bytes:
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


@pytest.mark.parametrize("key_type", ["ec-p256", "ed25519", "rsa-2048"])
def test_signature_verifies_with_the_published_key(
    shared_vault: Keystored, guest_name: str, guest: RingGuest, key_type: str
) -> None:
    """What the guest gets is a signature of the key whose public half the administrator sees."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, key_type)
    shared_vault.api.grant(guest_name, label, ["sign", "verify"])
    answer = guest.sign(label, MESSAGE)
    assert answer.status == lib.VKS_STATUS_OK
    public = serialization.load_pem_public_key(shared_vault.api.get(f"/keys/{label}/public").encode())
    assert guest.public(label) == public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(ecdsa_der(answer.data), MESSAGE, ec.ECDSA(hashes.SHA256()))
    elif isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(answer.data, MESSAGE)
    elif isinstance(public, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
        public.verify(answer.data, MESSAGE, pss, hashes.SHA256())
    else:
        pytest.fail(f"unexpected {type(public)}")


def test_encryption_round_trip(shared_vault: Keystored, guest_name: str, guest: RingGuest) -> None:
    """What was encrypted comes back; a flipped bit does not."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "aes-256")
    shared_vault.api.grant(guest_name, label, ["encrypt", "decrypt"])
    sealed = guest.ask(lib.VKS_OP_ENCRYPT, label, MESSAGE)
    assert sealed.status == lib.VKS_STATUS_OK
    opened = guest.ask(lib.VKS_OP_DECRYPT, label, sealed.data)
    assert (opened.status, opened.data) == (lib.VKS_STATUS_OK, MESSAGE)
    damaged = bytearray(sealed.data)
    damaged[20] ^= 1
    assert guest.ask(lib.VKS_OP_DECRYPT, label, bytes(damaged)).status == lib.VKS_STATUS_AUTH_FAILED


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_kind_of_front_end_is_served(
    shared_vault: Keystored, guest_name: str, socket: Path, profile: Profile
) -> None:
    """QEMU 7.2, QEMU 11.1 and user-mode Linux reach the same worker, one after the other."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "hmac-sha256")
    shared_vault.api.grant(guest_name, label, ["mac", "mac-verify"])
    for _ in range(2):
        with ring_guest(socket, profile) as guest:
            tag = guest.ask(lib.VKS_OP_MAC, label, MESSAGE)
            assert tag.status == lib.VKS_STATUS_OK
            assert guest.ask(lib.VKS_OP_MAC_VERIFY, label, MESSAGE, parameter=tag.data).status == lib.VKS_STATUS_OK
            guest.frontend.stop(guest.ring)


def test_revoked_key_is_gone_at_once(shared_vault: Keystored, guest_name: str, guest: RingGuest) -> None:
    """After the answer the key looks like one that never was; granted again it works again."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "ec-p256")
    assert guest.list_keys() == []
    for _ in range(3):
        applied = shared_vault.api.grant(guest_name, label, ["sign"])["applied"]
        assert [one["outcome"] for one in applied] == ["acknowledged"]
        key_id = guest.key_id(label)
        assert guest.sign(key_id, MESSAGE).status == lib.VKS_STATUS_OK
        shared_vault.api.revoke(guest_name, label)
        assert guest.sign(key_id, MESSAGE).status == lib.VKS_STATUS_NO_KEY
        assert guest.sign(os.urandom(16), MESSAGE).status == lib.VKS_STATUS_NO_KEY
        assert guest.list_keys() == []


def test_states_are_in_force_when_the_command_returns(
    shared_vault: Keystored, guest_name: str, guest: RingGuest
) -> None:
    """Suspended keys do nothing, deactivated ones only verify, destroyed ones are gone."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "ec-p256")
    shared_vault.api.grant(guest_name, label, ["sign", "verify"])
    key_id = guest.key_id(label)
    signature = guest.sign(key_id, MESSAGE).data

    def statuses() -> tuple[int, int]:
        return (
            guest.sign(key_id, MESSAGE).status,
            guest.ask(lib.VKS_OP_VERIFY, key_id, MESSAGE, parameter=signature).status,
        )

    assert statuses() == (lib.VKS_STATUS_OK, lib.VKS_STATUS_OK)
    shared_vault.api.post(f"/keys/{label}/suspend")
    assert statuses() == (lib.VKS_STATUS_KEY_STATE, lib.VKS_STATUS_KEY_STATE)
    shared_vault.api.post(f"/keys/{label}/activate")
    assert statuses() == (lib.VKS_STATUS_OK, lib.VKS_STATUS_OK)
    shared_vault.api.post(f"/keys/{label}/deactivate")
    assert statuses() == (lib.VKS_STATUS_KEY_STATE, lib.VKS_STATUS_OK)
    shared_vault.api.post(f"/keys/{label}/destroy")
    assert statuses() == (lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_NO_KEY)


def test_rotation_protects_with_the_new_version(shared_vault: Keystored, guest_name: str, guest: RingGuest) -> None:
    """The new version is used from the answer on; what the old one made still verifies."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "ed25519")
    shared_vault.api.grant(guest_name, label, ["sign", "verify"])
    old = guest.sign(label, MESSAGE)
    assert old.key_version == 1
    shared_vault.api.post(f"/keys/{label}/rotate")
    assert guest.sign(label, MESSAGE).key_version == 2
    verify = {"parameter": old.data, "key_version": 1}
    assert guest.ask(lib.VKS_OP_VERIFY, label, MESSAGE, **verify).status == lib.VKS_STATUS_OK
    assert guest.sign(label, MESSAGE, key_version=1).status == lib.VKS_STATUS_KEY_STATE


def test_guests_do_not_see_each_others_keys(shared_vault: Keystored) -> None:
    """A foreign key looks exactly like an absent one."""
    names = [next(NAMES), next(NAMES)]
    for name in names:
        shared_vault.add_guest(name)
        shared_vault.api.generate(f"{name}-own", "ec-p256")
        shared_vault.api.grant(name, f"{name}-own", ["sign"])
    with (
        ring_guest(shared_vault.folder / f"{names[0]}.sock") as one,
        ring_guest(shared_vault.folder / f"{names[1]}.sock") as two,
    ):
        assert [[key.label for key in guest.list_keys()] for guest in (one, two)] == [[f"{name}-own"] for name in names]
        foreign, absent = two.sign(one.key_id(f"{names[0]}-own"), MESSAGE), two.sign(os.urandom(16), MESSAGE)
        assert (foreign.status, foreign.output) == (lib.VKS_STATUS_NO_KEY, absent.output)
        assert foreign.key_version == absent.key_version


def test_every_use_is_on_record(shared_vault: Keystored, guest_name: str, guest: RingGuest) -> None:
    """An operation that was answered is in the log that is asked for afterwards, and the chain holds."""
    label = f"{guest_name}-key"
    shared_vault.api.generate(label, "ec-p256")
    shared_vault.api.grant(guest_name, label, ["sign"])
    signed = guest.sign(label, MESSAGE)
    refused = guest.ask(lib.VKS_OP_VERIFY, label, MESSAGE, parameter=signed.data)
    assert refused.status == lib.VKS_STATUS_DENIED
    lines = [line for line in shared_vault.api.get("/audit?limit=50")["lines"] if line.get("guest") == guest_name]
    uses = {line["request"]: line for line in lines if line["kind"] == "use"}
    assert (uses[signed.sequence]["op"], uses[signed.sequence]["status"]) == ("sign", "ok")
    assert uses[signed.sequence]["key"] == label
    assert uses[refused.sequence]["status"] == "denied"
    assert shared_vault.api.get("/audit/verify")["ok"]


def test_imported_key_is_the_one_imported(shared_vault: Keystored, guest_name: str, guest: RingGuest) -> None:
    """The MAC of the guest is the one its owner computes outside."""
    key = os.urandom(32)
    path = shared_vault.folder / "raw.key"
    path.write_bytes(key)
    label = f"{guest_name}-key"
    shared_vault.cli("key", "import", label, "--type", "hmac-sha256", "--format", "raw", path)
    shared_vault.api.grant(guest_name, label, ["mac"])
    expected = hmac.HMAC(key, hashes.SHA256())
    expected.update(MESSAGE)
    assert guest.ask(lib.VKS_OP_MAC, label, MESSAGE).data == expected.finalize()
