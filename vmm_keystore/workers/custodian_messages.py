# SPDX-License-Identifier: Apache-2.0
"""``VKS_CUSTODIAN_*`` of ``ipc.h``: what messages consist of, and what an error in an answer means. Pure."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import RootLockedError, RootOfTrustError, SecretRefusedError
from vmm_keystore.policy.hsm import sealed_type
from vmm_keystore.policy.oaep_hash import OaepHash
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import ImportOffer, KeyLoad, SealedBlob, SealedKey, WrappedKek, WrappedSecret
from vmm_keystore.workers.certify_message import certified_tail_bytes
from vmm_keystore.workers.ipc import HEAD_BYTES, REPLY, Form, Message, pack
from vmm_keystore.workers.root_file import RESTORE_HINT

T = TypeVar("T")

KINDS = {
    RootKind.FILE: lib.VKS_ROOT_FILE,
    RootKind.PASSPHRASE: lib.VKS_ROOT_PASSPHRASE,
    RootKind.CREDENTIAL: lib.VKS_ROOT_CREDENTIAL,
    RootKind.TPM: lib.VKS_ROOT_TPM,
    RootKind.HSM: lib.VKS_ROOT_HSM,
}
ROOT_KINDS = {number: kind for kind, number in KINDS.items()}
ENTRY_BYTES = int(ffi.sizeof("struct vks_custodian_load_entry"))
LOAD_HEAD_BYTES: int = HEAD_BYTES + ffi.sizeof("struct vks_custodian_load")
OAEP_HASHES = {OaepHash.SHA1: lib.VKS_IMPORT_OAEP_SHA1, OaepHash.SHA256: lib.VKS_IMPORT_OAEP_SHA256}
SECRET_MEMORY = {lib.VKS_SECRET_MEMORY_MEMFD: "memfd-secret", lib.VKS_SECRET_MEMORY_MLOCK: "mlock"}
SECRET_REFUSALS = {
    errno.EKEYREJECTED: ("this is not the passphrase or credential of the root of trust", ""),
    errno.EALREADY: ("the vault is not locked", ""),
    errno.EDOM: ("too short: a passphrase has at least 8 bytes, a credential 32 random ones", ""),
    errno.EFBIG: ("a passphrase or credential has at most 1024 bytes", ""),
    errno.ENOENT: ("the offer that the passphrase was wrapped to is unknown or used", "try again"),
    errno.EILSEQ: ("what was sent is no passphrase that was wrapped to this offer", ""),
}
IMPORT_REFUSALS = {
    errno.ENOENT: "the import offer is unknown or used",
    errno.EBADMSG: "what was sent was not wrapped to this offer, or is damaged",
    errno.EINVAL: "what was sent is not a key of a supported type",
    errno.ENODATA: "the key came without its seed, of which alone keys of ml-dsa and ml-kem are made again",
    errno.ENOTSUP: "keys of this type need OpenSSL 3.5 or newer on this host",
}


def key_tail_bytes(key: Any) -> int:
    """Bytes behind ``struct vks_custodian_key``."""
    return int(key.sealed_bytes + key.public_bytes)


def entries_tail_bytes(reseal: Any) -> int:
    """Bytes behind ``struct vks_custodian_reseal``."""
    return int(reseal.entries_bytes)


def audit_key_tail_bytes(key: Any) -> int:
    """Bytes behind ``struct vks_custodian_audit_key``."""
    return int(key.sealed_bytes)


def rsa_offer_tail_bytes(offer: Any) -> int:
    """Bytes behind ``struct vks_custodian_rsa_offer``."""
    return int(offer.public_bytes)


@dataclass(frozen=True, slots=True)
class Secret:
    """Where the custodian finds a secret: ``struct vks_custodian_secret`` and what follows."""

    fields: dict[str, Any]
    wrapped: bytes = b""


NO_SECRET = Secret({"source": lib.VKS_ROOT_SECRET_NONE})
FD_SECRET = Secret({"source": lib.VKS_ROOT_SECRET_FD})


def wrapped(secret: WrappedSecret) -> Secret:
    """One that was wrapped to an offer."""
    fields = {
        "source": lib.VKS_ROOT_SECRET_WRAPPED,
        "wrapped_bytes": len(secret.wrapped),
        "offer_id": secret.offer_id,
    }
    return Secret(fields, secret.wrapped)


FORMS = {
    lib.VKS_CUSTODIAN_STATUS | REPLY: Form("vks_custodian_status"),
    lib.VKS_CUSTODIAN_ROOT_OPEN | REPLY: Form(),
    lib.VKS_CUSTODIAN_GENERATE | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_ENROLL | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_OFFER | REPLY: Form("vks_custodian_offer"),
    lib.VKS_CUSTODIAN_IMPORT | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_CHANNEL | REPLY: Form(),
    lib.VKS_CUSTODIAN_CHANNEL_CLOSE | REPLY: Form(),
    lib.VKS_CUSTODIAN_LOAD | REPLY: Form(),
    lib.VKS_CUSTODIAN_AUDIT_KEY | REPLY: Form("vks_custodian_audit_key", audit_key_tail_bytes),
    lib.VKS_CUSTODIAN_AUDIT_SIGN | REPLY: Form("vks_custodian_audit_signature"),
    lib.VKS_CUSTODIAN_ROOT_CHANGE | REPLY: Form(),
    lib.VKS_CUSTODIAN_RESEAL | REPLY: Form("vks_custodian_reseal", entries_tail_bytes),
    lib.VKS_CUSTODIAN_ROOT_SWITCH | REPLY: Form(),
    lib.VKS_CUSTODIAN_ROOT_EXPORT | REPLY: Form("vks_custodian_export"),
    lib.VKS_CUSTODIAN_RSA_OFFER | REPLY: Form("vks_custodian_rsa_offer", rsa_offer_tail_bytes),
    lib.VKS_CUSTODIAN_IMPORT_RSA | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_CERTIFY | REPLY: Form("vks_custodian_certified", certified_tail_bytes),
}


def root_refusal(error: int) -> RootOfTrustError | SecretRefusedError:
    """Say why the custodian did not take the KEK file or a secret for it."""
    if error == errno.ENOKEY:
        return RootLockedError()
    if error in {errno.EBADMSG, errno.EINVAL, errno.EIO, errno.ENODATA}:
        return RootOfTrustError("the kek is damaged", RESTORE_HINT)
    if error in SECRET_REFUSALS:
        return SecretRefusedError(*SECRET_REFUSALS[error])
    return RootOfTrustError(f"the kek cannot be opened: {os.strerror(error).lower()}")


def import_offer(body: Any) -> ImportOffer:
    """Read ``struct vks_custodian_offer``."""
    return ImportOffer(bytes(body.offer_id), bytes(body.public_key))


def wrapped_kek(body: Any) -> WrappedKek:
    """Read ``struct vks_custodian_export``."""
    return WrappedKek(bytes(body.kek_id), bytes(ffi.buffer(body)))


def channel_body(channel_id: int) -> bytes:
    """Name a channel."""
    return pack("vks_custodian_channel", {"channel_id": channel_id})


def sealed_key(message: Message) -> SealedKey:
    """Read ``struct vks_custodian_key`` and what follows it."""
    sealed_bytes = int(message.body.sealed_bytes)
    return SealedKey(KeyType(message.body.type), message.tail[:sealed_bytes], message.tail[sealed_bytes:])


def load_entry(load: KeyLoad) -> bytes:
    """Lay out one entry of a load, padded to 8."""
    blob = SealedBlob(load.key_id, load.version, sealed_type(load.key_type, in_token=load.in_token), load.sealed)
    return blob_entry(blob, load.nonce_lease)


def blob_entry(blob: SealedBlob, nonce_lease: int = 0) -> bytes:
    """Lay out a ``struct vks_custodian_load_entry`` and its blob, padded to 8."""
    fields = {
        "key_id": blob.key_id,
        "version": blob.version,
        "type": blob.type_number,
        "nonce_lease": nonce_lease,
        "sealed_bytes": len(blob.sealed),
    }
    return pack("vks_custodian_load_entry", fields) + blob.sealed + bytes(-len(blob.sealed) % 8)


def load_batches(loads: Sequence[KeyLoad], bytes_max: int = lib.VKS_IPC_BYTES_MAX) -> list[list[KeyLoad]]:
    """Split into loads that fit one message each."""
    return batches(loads, load_entry, bytes_max)


def batches(items: Sequence[T], entry: Callable[[T], bytes], bytes_max: int = lib.VKS_IPC_BYTES_MAX) -> list[list[T]]:
    """Split into as many as fit one message each, by what *entry* makes of them."""
    split: list[list[T]] = []
    room_bytes = 0
    for item in items:
        size_bytes = len(entry(item))
        if size_bytes > room_bytes:
            split.append([])
            room_bytes = bytes_max - LOAD_HEAD_BYTES
        split[-1].append(item)
        room_bytes -= size_bytes
    return split
