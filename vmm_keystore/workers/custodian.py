# SPDX-License-Identifier: Apache-2.0
"""The custodian as the rest of keystored sees it: keys made, imported and handed to workers, always sealed or unseen.

The KEK file is opened here and read there. When the custodian dies, its
successor is told the root of trust and every key channel again; running workers notice nothing.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import (
    CustodianError,
    ImportRefusedError,
    RootLockedError,
    RootOfTrustError,
    SecretRefusedError,
    UnsupportedError,
)
from vmm_keystore.policy.certificate_names import CertificateNames
from vmm_keystore.policy.hsm import HsmToken
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import (
    CustodianStatus,
    ImportOffer,
    KeyLoad,
    SealedBlob,
    SealedKey,
    Validity,
    WrappedKek,
    WrappedKey,
    WrappedSecret,
    WrappingOffer,
)
from vmm_keystore.workers.certify_message import certify_body
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.custodian_messages import (
    ENTRY_BYTES,
    FORMS,
    IMPORT_REFUSALS,
    KINDS,
    OAEP_HASHES,
    ROOT_KINDS,
    SECRET_MEMORY,
    Secret,
    batches,
    blob_entry,
    channel_body,
    import_offer,
    load_entry,
    root_refusal,
    sealed_key,
    wrapped,
    wrapped_kek,
)
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.ipc import Message, pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import RightfulPrograms
from vmm_keystore.workers.root_file import RESTORE_HINT
from vmm_keystore.workers.root_openers import Openers
from vmm_keystore.workers.sandbox import describe
from vmm_keystore.workers.supervised import SupervisedProgram

log = logging.getLogger(__name__)

PROGRAM = "vks-custodian"
STRETCH_TIMEOUT_S = 120.0  # Argon2id on a busy machine
GENERATE_TIMEOUT_S = 60.0  # RSA-4096 on a busy machine
TIMEOUT_S = 5.0


class Custodian:
    """``service.ports.KeyCustodian`` over vks-custodian, and the loading of keys into workers."""

    def __init__(
        self, loop: Loop, open_file: Callable[[], tuple[int, bool]], openers: Openers, first: RightfulPrograms | None
    ) -> None:
        """Set up without starting.

        Args:
            loop: watches the program.
            open_file: gives the KEK file's descriptor, and whether a KEK must be made; called at each (re)start.
            openers: where it takes a passphrase that is not among them, the custodian is locked.
            first: has the first one; None: it is started here.
        """
        self._open_file = open_file
        self._openers = openers
        self._started = False
        self._token: HsmToken | None = None
        """The one that opened the KEK in force, where one did; and the next KEK's."""
        self._next_token: HsmToken | None = None
        self._program = SupervisedProgram(
            loop,
            PROGRAM,
            FORMS,
            self._prepare,
            first=first,
            without_rights="the custodian is no user of its own, but keystored's",
        )
        self._channels: dict[int, int] = {}
        self._channels_lock = threading.Lock()

    def start(self) -> None:
        """Start the program and open the root of trust.

        Raises:
            CustodianError: it is missing or refuses.
        """
        try:
            self._program.start()
        except ProgramError as error:
            raise CustodianError(error.message, error.hint) from error
        self._started = True

    def stop(self) -> None:
        """End the program."""
        self._program.stop()

    def _prepare(self, connection: Connection) -> None:
        try:
            self._open_root(connection)
        except RootLockedError as error:
            # Whoever starts the first one asks for the passphrase or says it himself.
            if self._started:
                log.error("%s; hint: %s", error.message, error.hint)
        with self._channels_lock:
            for channel_id, channel_fd in self._channels.items():
                connection.request(lib.VKS_CUSTODIAN_CHANNEL, channel_body(channel_id), [channel_fd])

    def _open_root(self, connection: Connection, secret: Secret | None = None) -> None:
        """Open it with *secret*, or with what there is."""
        fd, create = self._open_file()
        try:
            if secret is None:
                # The successor of a custodian that died has no connection but this one yet.
                opened = self._openers.open(fd, lambda: import_offer(connection.request(lib.VKS_CUSTODIAN_OFFER).body))
                secret, self._token = opened.secret, opened.token
            body = pack("vks_custodian_root", {"create": int(create), "secret": secret.fields}) + secret.wrapped
            fds = [fd, *self._openers.fds(secret)]
            connection.request(lib.VKS_CUSTODIAN_ROOT_OPEN, body, fds, timeout_s=STRETCH_TIMEOUT_S)
        except ProgramRefusedError as error:
            raise root_refusal(error.errno) from None
        finally:
            os.close(fd)

    def _ask(self, message_type: int, body: bytes = b"", *, timeout_s: float = TIMEOUT_S) -> Message:
        """Ask; when the custodian dies over it, ask its successor once."""
        try:
            try:
                return self._program.connection().request(message_type, body, timeout_s=timeout_s)
            except ProgramLostError:
                return self._program.connection().request(message_type, body, timeout_s=timeout_s)
        except ProgramLostError as error:
            raise CustodianError(str(error), "the daemon's log says why") from error
        except ProgramRefusedError as error:
            if error.errno == errno.ENOKEY:
                raise RootLockedError from error
            raise

    def status(self) -> CustodianStatus:
        """Ask how it is."""
        body = self._ask(lib.VKS_CUSTODIAN_STATUS).body
        return CustodianStatus(
            pid=self._program.pid or 0,
            secret_memory=SECRET_MEMORY.get(body.secret_memory, "unknown"),
            root_open=body.root_open == 1,
            root_kind=ROOT_KINDS.get(body.root_kind),
            kek_id=bytes(body.kek_id) if body.root_open == 1 else b"",
            sandbox=describe(body.sandbox),
            token=self._token if body.root_open == 1 else None,
            libcrypto=bytes(ffi.buffer(body.libcrypto)).rstrip(b"\0").decode("ascii", "replace"),
            unsupported=tuple(key_type for key_type in KeyType if not body.key_types >> key_type & 1),
        )

    def _unsupported(self, key_type: KeyType) -> UnsupportedError:
        return UnsupportedError(
            f"{key_type.text} needs OpenSSL 3.5 or newer on this host (it has {self.status().libcrypto})",
            "Debian 13 has it; 'vmm-keystore doctor' says what this host can do",
        )

    def generate(self, key_id: bytes, version: int, key_type: KeyType) -> SealedKey:
        """Make a key and seal it to (*key_id*, *version*, *key_type*)."""
        body = pack("vks_custodian_generate", {"key_id": key_id, "version": version, "type": int(key_type)})
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_GENERATE, body, timeout_s=GENERATE_TIMEOUT_S))
        except ProgramRefusedError as error:
            if error.errno == errno.ENOTSUP:
                raise self._unsupported(key_type) from error
            raise CustodianError(f"the custodian made no key: {os.strerror(error.errno)}") from error

    def enroll(self, key_id: bytes, version: int, key_type: KeyType, public_der: bytes) -> SealedKey:
        """Seal the public half of a key pair that lies in a token."""
        fields = {"key_id": key_id, "version": version, "type": int(key_type), "public_bytes": len(public_der)}
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_ENROLL, pack("vks_custodian_enroll", fields) + public_der))
        except ProgramRefusedError as error:
            if error.errno in {errno.EBADMSG, errno.EINVAL}:
                raise SecretRefusedError(f"what the token gave is no public key of type {key_type.text}") from error
            raise CustodianError(f"the custodian sealed no public key: {os.strerror(error.errno)}") from error

    def offer_import(self) -> ImportOffer:
        """Make a one-time key to wrap an import to."""
        try:
            body = self._ask(lib.VKS_CUSTODIAN_OFFER).body
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no import offer: {os.strerror(error.errno)}") from error
        return import_offer(body)

    def import_key(self, offer_id: bytes, key_id: bytes, version: int, wrapped: bytes) -> SealedKey:
        """Unwrap an import and seal it."""
        fields = {"offer_id": offer_id, "key_id": key_id, "version": version, "wrapped_bytes": len(wrapped)}
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_IMPORT, pack("vks_custodian_import", fields) + wrapped))
        except ProgramRefusedError as error:
            cause = IMPORT_REFUSALS.get(error.errno, os.strerror(error.errno))
            raise ImportRefusedError(f"import refused: {cause}") from error

    def offer_wrapping(self) -> WrappingOffer:
        """Make a one-time RSA key to wrap an import to."""
        try:
            message = self._ask(lib.VKS_CUSTODIAN_RSA_OFFER, timeout_s=GENERATE_TIMEOUT_S)
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no import offer: {os.strerror(error.errno)}") from error
        return WrappingOffer(bytes(message.body.offer_id), message.tail)

    def import_wrapped(self, key_id: bytes, version: int, key: WrappedKey) -> SealedKey:
        """Unwrap a key that was wrapped to such an offer, and seal it."""
        fields = {
            "offer_id": key.offer_id,
            "key_id": key_id,
            "version": version,
            "type": int(key.key_type),
            "hash": OAEP_HASHES[key.oaep_hash],
            "wrapped_bytes": len(key.wrapped),
        }
        body = pack("vks_custodian_import_rsa", fields) + key.wrapped
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_IMPORT_RSA, body))
        except ProgramRefusedError as error:
            if error.errno == errno.ENOTSUP:
                raise self._unsupported(key.key_type) from error
            cause = IMPORT_REFUSALS.get(error.errno, os.strerror(error.errno))
            if error.errno == errno.EINVAL:
                cause = f"what was unwrapped is no {key.key_type.text} key"
            raise ImportRefusedError(f"import refused: {cause}", "each offer is good for one try") from error

    def certify(self, key: SealedBlob, names: CertificateNames, validity: Validity | None) -> bytes:
        """Have a certification request or a self-signed certificate made."""
        try:
            return self._ask(lib.VKS_CUSTODIAN_CERTIFY, certify_body(key, names, validity)).tail
        except ProgramRefusedError as error:
            if error.errno == errno.EBADMSG:
                raise RootOfTrustError("the key does not open under the kek", RESTORE_HINT) from error
            raise CustodianError(f"the custodian signed no certificate: {os.strerror(error.errno)}") from error

    def make_audit_key(self) -> tuple[bytes, bytes]:
        """Make the key that signs checkpoints: its public part and a sealed blob."""
        try:
            message = self._ask(lib.VKS_CUSTODIAN_AUDIT_KEY)
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no audit key: {os.strerror(error.errno)}") from error
        return bytes(message.body.public_key), message.tail

    def sign_checkpoint(self, sealed: bytes, text: bytes) -> bytes:
        """Sign the text of a checkpoint; raises RootOfTrustError when the key was sealed under another KEK."""
        fields = {"sealed_bytes": len(sealed), "text_bytes": len(text)}
        try:
            message = self._ask(lib.VKS_CUSTODIAN_AUDIT_SIGN, pack("vks_custodian_audit_sign", fields) + sealed + text)
        except ProgramRefusedError as error:
            if error.errno == errno.EBADMSG:
                raise RootOfTrustError(
                    "the kek does not open what the store has sealed: it is that of another store",
                    "put the kek file back that the store was used with",
                ) from error
            raise CustodianError(f"the custodian signed no checkpoint: {os.strerror(error.errno)}") from error
        return bytes(message.body.signature)

    def unlock(self, secret: WrappedSecret) -> None:
        """Open the root of trust with a passphrase."""
        try:
            self._open_root(self._program.connection(), wrapped(secret))
        except ProgramLostError as error:
            raise CustodianError(str(error), "the daemon's log says why") from error

    def begin_root_change(self, fd: int, kind: RootKind, secret: WrappedSecret | None) -> None:
        """Have the next KEK made and written into an empty file."""
        new = self._openers.seal(kind, secret, self.offer_import)
        self._next_token = new.token
        fields = {"kind": KINDS[kind], "blob_bytes": len(new.blob), "secret": new.secret.fields}
        body = pack("vks_custodian_root_change", fields) + new.secret.wrapped + new.blob
        fds = [fd, *self._openers.fds(new.secret)]
        try:
            connection = self._program.connection()
            connection.request(lib.VKS_CUSTODIAN_ROOT_CHANGE, body, fds, timeout_s=STRETCH_TIMEOUT_S)
        except ProgramLostError as error:
            raise CustodianError(str(error), "the daemon's log says why") from error
        except ProgramRefusedError as error:
            raise root_refusal(error.errno) from error

    def reseal(self, blobs: Sequence[SealedBlob]) -> list[bytes]:
        """Seal under the next KEK what is sealed under the current one; in the same order."""
        resealed: list[bytes] = []
        for batch in batches(blobs, blob_entry):
            entries = b"".join(blob_entry(blob) for blob in batch)
            body = pack("vks_custodian_reseal", {"count": len(batch), "entries_bytes": len(entries)}) + entries
            try:
                answer = self._ask(lib.VKS_CUSTODIAN_RESEAL, body, timeout_s=STRETCH_TIMEOUT_S)
            except RootLockedError as error:
                raise CustodianError("the custodian ended during the change, nothing was changed") from error
            except ProgramRefusedError as error:
                raise CustodianError(f"the custodian sealed nothing anew: {os.strerror(error.errno)}") from error
            offset = 0
            for blob in batch:
                offset += ENTRY_BYTES
                resealed.append(answer.tail[offset : offset + len(blob.sealed)])
                offset += len(blob.sealed) + -len(blob.sealed) % 8
        return resealed

    def export_kek(self, offer: ImportOffer) -> WrappedKek:
        """Wrap the KEK to a one-time key of vks-recovery."""
        try:
            return wrapped_kek(self._ask(lib.VKS_CUSTODIAN_ROOT_EXPORT, offer.offer_id + offer.public_key).body)
        except ProgramRefusedError as error:
            if error.errno == errno.EBADMSG:
                raise SecretRefusedError("the offer to wrap the kek to is no public key") from error
            raise CustodianError(f"the custodian gave no kek: {os.strerror(error.errno)}") from error

    def switch_root(self) -> None:
        """Seal under the next KEK from now on, the one that lies in the KEK file; never fails."""
        self._token = self._next_token
        try:
            self._program.connection().request(lib.VKS_CUSTODIAN_ROOT_SWITCH)
        except ProgramLostError:
            return  # the successor opens the file
        except ProgramRefusedError:
            self.give_up("it was started during the change and has another kek")

    def open_channel(self, channel_id: int, fd: int) -> None:
        """Give a worker's key channel to the custodian, and to each of its successors.

        Args:
            channel_id: the worker's id.
            fd: the custodian's end; owned by this object until :meth:`close_channel`.
        """
        with self._channels_lock:
            self._channels[channel_id] = fd
            try:
                self._program.connection(0).request(lib.VKS_CUSTODIAN_CHANNEL, channel_body(channel_id), [fd])
            except ProgramLostError:
                return  # the successor is told

    def close_channel(self, channel_id: int) -> None:
        """Take the channel of a worker that ended back; never blocks."""
        with self._channels_lock:
            fd = self._channels.pop(channel_id, -1)
        if fd < 0:
            return
        os.close(fd)
        try:
            self._program.connection(0).post(lib.VKS_CUSTODIAN_CHANNEL_CLOSE, channel_body(channel_id))
        except ProgramLostError:
            return

    def give_up(self, reason: str) -> None:
        """End a custodian that hangs; its successor starts at once."""
        try:
            self._program.connection(0).close(f"vks-custodian: {reason}")
        except ProgramLostError:
            return

    def load(self, channel_id: int, load_id: int, loads: Sequence[KeyLoad], flags: int = 0) -> Future[Message]:
        """Have keys unsealed and handed to a worker; the worker says when it has them.

        Args:
            channel_id: the worker's.
            load_id: comes back in the worker's answer.
            loads: as many as :func:`load_batches` puts together.
            flags: ``enum vks_load_flag``, for the worker.
        """
        fields = {"channel_id": channel_id, "load_id": load_id, "count": len(loads), "flags": flags}
        body = pack("vks_custodian_load", fields) + b"".join(load_entry(load) for load in loads)
        return self._program.connection().post(lib.VKS_CUSTODIAN_LOAD, body, wait_ms=1000)
