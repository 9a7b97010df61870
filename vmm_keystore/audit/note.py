# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: a head of the log as a signed note, the text format of C2SP (signed-note, tlog-checkpoint). Pure.

::

    vmm-keystore/audit/9f86d081884c7d65       origin: names the log, made of its public key
    4711                                      number of lines
    q1Zk…=                                    SHA-256 of the last of them, base64

    — vmm-keystore/audit/9f86d081884c7d65 Vj4N…=     key hash and Ed25519 signature of the text above the empty line

Whoever has kept one can tell later that the log still holds those lines. Others may add signature lines of their own;
they are carried along and not judged here.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from vmm_keystore.audit.line import Link
from vmm_keystore.errors import AuditNoteError, InvalidRequestError

ORIGIN_PREFIX = "vmm-keystore/audit/"
NOTE_BYTES_MAX = 64 * 1024
_ED25519 = b"\x01"
_KEY_BYTES = 32
_KEY_HASH_BYTES = 4
_DASH = "\u2014 "
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class AuditPublicKey:
    """The key that the checkpoints of one log are signed with."""

    raw: bytes

    @property
    def origin(self) -> str:
        """Name of the log."""
        return ORIGIN_PREFIX + hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def key_hash(self) -> bytes:
        """How a signature line names the key."""
        return hashlib.sha256(f"{self.origin}\n".encode() + _ED25519 + self.raw).digest()[:_KEY_HASH_BYTES]

    @property
    def vkey(self) -> str:
        """The key as a note verifier takes it, one line."""
        return f"{self.origin}+{self.key_hash.hex()}+{_base64(_ED25519 + self.raw)}"

    @property
    def pem(self) -> str:
        """The key as SubjectPublicKeyInfo."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @classmethod
    def from_text(cls, text: str) -> "AuditPublicKey":
        """Read either of the two forms.

        Raises:
            InvalidRequestError: it is none.
        """
        text = text.strip()
        key = cls(_raw_of_pem(text) if text.startswith("-----BEGIN") else _raw_of_vkey(text))
        if len(key.raw) != _KEY_BYTES or text not in {key.vkey, key.pem.strip()}:
            raise InvalidRequestError(
                "this is no public key of an audit log", "vmm-keystore audit public-key prints it"
            )
        return key

    def signed_note(self, text: str, signature: bytes) -> str:
        """Put *signature* under *text*."""
        return f"{text}\n{_DASH}{self.origin} {_base64(self.key_hash + signature)}\n"

    def open_note(self, note: str) -> Link:
        """Check a note's signature and read the head it is about.

        Raises:
            AuditNoteError: it is no checkpoint, another log's, or not signed by this key.
        """
        text, signatures = _split(note)
        head = read_head(note)
        if text.split("\n", 1)[0] != self.origin:
            raise AuditNoteError("the checkpoint is another log's")
        signature = signatures.get((self.origin, self.key_hash))
        if signature is None:
            raise AuditNoteError("the checkpoint has no signature by this key")
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text.encode())
        except InvalidSignature as error:
            raise AuditNoteError("the checkpoint's signature does not hold") from error
        return head


def checkpoint_text(origin: str, head: Link) -> str:
    """Write what is signed."""
    return f"{origin}\n{head.seq}\n{_base64(bytes.fromhex(head.line_hash))}\n"


def read_head(note: str) -> Link:
    """Read the head that a checkpoint is about, whoever signed it.

    Raises:
        AuditNoteError: it is no checkpoint.
    """
    text, _ = _split(note)
    origin, size, digest, *_ = [*text.split("\n"), "", ""]
    try:
        line_hash = base64.b64decode(digest, validate=True)
    except binascii.Error as error:
        raise AuditNoteError("this is no checkpoint") from error
    if not origin or not _SIZE.fullmatch(size) or len(line_hash) != 32:
        raise AuditNoteError("this is no checkpoint")
    return Link(int(size), line_hash.hex())


def _split(note: str) -> tuple[str, dict[tuple[str, bytes], bytes]]:
    text, gap, rest = note.rpartition("\n\n")
    if not gap or not rest.endswith("\n") or len(note) > NOTE_BYTES_MAX:
        raise AuditNoteError("this is no signed note")
    signatures: dict[tuple[str, bytes], bytes] = {}
    for line in rest[:-1].split("\n"):
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise AuditNoteError("this is no signed note") from error
        if not line.startswith(_DASH) or not space or len(content) <= _KEY_HASH_BYTES:
            raise AuditNoteError("this is no signed note")
        signatures.setdefault((name, content[:_KEY_HASH_BYTES]), content[_KEY_HASH_BYTES:])
    return text + "\n", signatures


def _raw_of_pem(text: str) -> bytes:
    try:
        loaded = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return loaded.public_bytes(Encoding.Raw, PublicFormat.Raw) if isinstance(loaded, Ed25519PublicKey) else b""


def _raw_of_vkey(text: str) -> bytes:
    try:
        return base64.b64decode(text.split("+", 2)[2])[1:]
    except (ValueError, IndexError):
        return b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
