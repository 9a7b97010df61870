# SPDX-License-Identifier: Apache-2.0
"""A guest without a kernel: a front-end with rings that uses keys by their labels, against a real keystored."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.frontend import QEMU_7_2, FrontEnd, Profile
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
from framework.vault import Answer, Vault
from vmm_keystore._vks import ffi, lib

LIST_HEAD_BYTES: int = ffi.sizeof("struct vks_list_head")
ENTRY_BYTES: int = ffi.sizeof("struct vks_key_entry")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key version as the device lists it."""

    key_id: bytes
    version: int
    type: int
    state: int
    is_current: bool
    op_mask: int
    mechanism_mask: int
    label: str


class RingGuest:
    """Operations by label; one request at a time unless ``vault`` is used directly."""

    def __init__(self, frontend: FrontEnd, vault: Vault, ring: SplitRing) -> None:
        self.frontend = frontend
        self.vault = vault
        self.ring = ring

    def list_keys(self) -> list[KeyEntry]:
        """Every key version granted."""
        entries: list[KeyEntry] = []
        more = True
        while more:
            request: Any = ffi.new("struct vks_list_request *")
            if entries:
                ffi.memmove(request.after_key_id, entries[-1].key_id, 16)
                request.after_version = entries[-1].version
            answer = self.vault.request(lib.VKS_OP_LIST, data=bytes(ffi.buffer(request)), output_bytes=16000)
            if answer.status != lib.VKS_STATUS_OK:
                raise AssertionError(f"list answered 0x{answer.status:x}")
            page, more = parse_list(answer.data)
            entries += page
        return entries

    def key_id(self, label: str) -> bytes:
        """The id of a granted key.

        Raises:
            AssertionError: it is not granted.
        """
        for entry in self.list_keys():
            if entry.label == label:
                return entry.key_id
        raise AssertionError(f"key {label} is not granted")

    def ask(self, op: int, key: str | bytes, data: bytes = b"", **fields: Any) -> Answer:
        """One operation with a key, by label or id."""
        key_id = self.key_id(key) if isinstance(key, str) else key
        fields.setdefault("output_bytes", 4096)
        return self.vault.request(op, key_id=key_id, data=data, **fields)

    def sign(self, key: str | bytes, message: bytes, **fields: Any) -> Answer:
        """Sign a message."""
        return self.ask(lib.VKS_OP_SIGN, key, message, **fields)

    def public(self, key: str | bytes) -> bytes:
        """The public key, DER."""
        return self.ask(lib.VKS_OP_PUBLIC, key).data


def parse_list(content: bytes) -> tuple[list[KeyEntry], bool]:
    """Decode an answer to list."""
    head: Any = ffi.from_buffer("struct vks_list_head *", content)
    entries: Any = ffi.from_buffer("struct vks_key_entry[]", content[LIST_HEAD_BYTES:])
    if len(entries) != head.entry_count:
        raise AssertionError(f"{head.entry_count} entries announced, {len(entries)} written")
    parsed = [
        KeyEntry(
            key_id=bytes(entry.key_id),
            version=entry.version,
            type=entry.type,
            state=entry.state,
            is_current=bool(entry.is_current),
            op_mask=entry.op_mask,
            mechanism_mask=entry.mechanism_mask,
            label=bytes(entry.label).rstrip(b"\0").decode(),
        )
        for entry in entries
    ]
    return parsed, bool(head.more)


@contextmanager
def ring_guest(
    socket: Path, profile: Profile = QEMU_7_2, *, slot_count: int = 1, request_bytes_max: int = 16 << 10
) -> Iterator[RingGuest]:
    """Connect to a guest's socket, start a ring, and hang up at the end."""
    with ring_guests(socket, 1, profile, slot_count=slot_count, request_bytes_max=request_bytes_max) as [guest]:
        yield guest


@contextmanager
def ring_guests(
    socket: Path,
    count: int,
    profile: Profile = QEMU_7_2,
    *,
    slot_count: int = 1,
    request_bytes_max: int = 16 << 10,
) -> Iterator[list[RingGuest]]:
    """The same with several rings of one front-end: one that uses each of them."""
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam())
        rings = [stack.enter_context(SplitRing(ram, index=index)) for index in range(count)]
        frontend = stack.enter_context(FrontEnd.connect(socket, ram, profile))
        vaults = [Vault(ram, ring, slot_count=slot_count, readable_bytes_max=request_bytes_max) for ring in rings]
        frontend.negotiate()
        frontend.start(*rings)
        yield [RingGuest(frontend, vault, ring) for vault, ring in zip(vaults, rings, strict=True)]
