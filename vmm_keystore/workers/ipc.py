# SPDX-License-Identifier: Apache-2.0
"""Bytes of one message between our processes, packed and checked by the structures of ``ipc.h``.

Knows no socket. What a message may look like is decided by a form per type: its structure, the bytes that the
structure announces behind itself, its descriptors. Whatever does not fit exactly is refused before a field is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.errors import ProtocolError

HEAD_BYTES: int = ffi.sizeof("struct vks_ipc_head")
BYTES_MAX: int = lib.VKS_IPC_BYTES_MAX
FDS_MAX: int = lib.VKS_IPC_FDS_MAX
REPLY: int = lib.VKS_IPC_REPLY


def no_tail(_body: Any) -> int:
    """Announce nothing behind the structure."""
    return 0


@dataclass(frozen=True, slots=True)
class Form:
    """What a received message of one type consists of."""

    struct: str | None = None
    tail_bytes: Callable[[Any], int] = no_tail
    fd_count: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was checked against its form; whoever gets it owns the descriptors."""

    type: int
    tag: int
    error: int
    body: Any
    tail: bytes
    fds: tuple[int, ...]


def pack(struct: str, fields: Mapping[str, Any] | None = None) -> bytes:
    """Lay out one structure of the headers, absent fields zero."""
    return bytes(ffi.buffer(ffi.new(f"struct {struct} *", dict(fields or {}))))


def pack_message(message_type: int, tag: int, body: bytes = b"", *, error: int = 0) -> bytes:
    """Put the head in front of *body*.

    Raises:
        ProtocolError: the message is longer than a packet may be.
    """
    size_bytes = HEAD_BYTES + len(body)
    if size_bytes > BYTES_MAX:
        raise ProtocolError(f"message 0x{message_type:x} of {size_bytes} bytes is longer than {BYTES_MAX}")
    head = {"type": message_type, "size_bytes": size_bytes, "tag": tag, "error": error}
    return pack("vks_ipc_head", head) + body


def unpack_message(packet: bytes, fds: tuple[int, ...], forms: Mapping[int, Form]) -> Message:
    """Check a packet against its form.

    Args:
        packet: one whole packet.
        fds: the descriptors that came with it; the caller closes them when this raises.
        forms: type, with ``VKS_IPC_REPLY`` for replies, to form.

    Raises:
        ProtocolError: any size, count or reserved field is not what the type calls for.
    """
    if len(packet) < HEAD_BYTES:
        raise ProtocolError(f"message of {len(packet)} bytes has no head")
    head: Any = ffi.from_buffer("struct vks_ipc_head *", packet)
    form = forms.get(head.type)
    if form is None:
        raise ProtocolError(f"message of unknown type 0x{head.type:x}")
    if head.size_bytes != len(packet) or head.reserved != 0:
        raise ProtocolError(f"message 0x{head.type:x} has a bad head")
    body, tail = unpack_body(packet[HEAD_BYTES:], form, int(head.type), int(head.error))
    if len(fds) != (form.fd_count if head.error == 0 else 0):
        raise ProtocolError(f"message 0x{head.type:x} came with {len(fds)} descriptors")
    return Message(int(head.type), int(head.tag), int(head.error), body, tail, fds)


def unpack_body(content: bytes, form: Form, message_type: int, error: int) -> tuple[Any, bytes]:
    """Split what follows the head into structure and announced bytes; an error may come without both."""
    if form.struct is None or (error != 0 and not content):
        if content:
            raise ProtocolError(f"message 0x{message_type:x} has {len(content)} bytes too many")
        return None, b""
    struct_bytes: int = ffi.sizeof(f"struct {form.struct}")
    if len(content) < struct_bytes:
        raise ProtocolError(f"message 0x{message_type:x} is cut short")
    body = ffi.new(f"struct {form.struct} *")
    ffi.memmove(body, content, struct_bytes)
    tail = content[struct_bytes:]
    if len(tail) != (form.tail_bytes(body) if error == 0 else 0):
        raise ProtocolError(f"message 0x{message_type:x} has {len(tail)} bytes behind its structure")
    return body, tail
