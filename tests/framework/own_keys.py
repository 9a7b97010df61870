# SPDX-License-Identifier: Apache-2.0
"""A guest without a kernel that makes, renews and destroys keys of its own."""

from framework.keystored import Keystored
from framework.ring_guest import RingGuest
from framework.vault import Answer
from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack


def allow(vault: Keystored, guest: str, count: int) -> None:
    """Let a guest have so many."""
    vault.api.post(f"/guests/{guest}/own-keys", {"max": count})


def generate_input(label: str, key_type: int = lib.VKS_KEY_TYPE_EC_P256) -> bytes:
    """Input of generate."""
    return pack("vks_generate_request", {"type": key_type, "label": label.encode()})


def generate(guest: RingGuest, label: str, key_type: int = lib.VKS_KEY_TYPE_EC_P256) -> Answer:
    """Make a key."""
    return guest.vault.request(lib.VKS_OP_GENERATE, data=generate_input(label, key_type), output_bytes=16)


def rotate(guest: RingGuest, key_id: bytes) -> Answer:
    """Renew it."""
    return guest.vault.request(lib.VKS_OP_ROTATE, key_id=key_id)


def destroy(guest: RingGuest, key_id: bytes) -> Answer:
    """Destroy it."""
    return guest.vault.request(lib.VKS_OP_DESTROY, key_id=key_id)
