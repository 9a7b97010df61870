# SPDX-License-Identifier: Apache-2.0
"""A TPM 2.0 as the root of trust: vks-tpm has it seal a secret for the custodian, or give it back for a blob.

Opened with the rights that keystored starts with, for as long as it runs. The secret is seen as ciphertext only.
"""

import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

from vmm_keystore.errors import SecretRefusedError
from vmm_keystore.service.key_values import ImportOffer, WrappedSecret
from vmm_keystore.workers.secret_program import WRAPPED_BYTES, SecretProgramError, run_program

PROGRAM = "vks-tpm"
DEVICE = Path("/dev/tpmrm0")
TIMEOUT_S = 30.0  # a slow one takes seconds to make its storage key


class Tpm:
    """An open TPM; one request at a time."""

    def __init__(self, fd: int) -> None:
        """Take over *fd*."""
        self._fd = fd
        self._lock = threading.Lock()

    def seal(self, offer: ImportOffer) -> tuple[WrappedSecret, bytes]:
        """Have a secret made and sealed: wrapped to *offer*, and the blob that the TPM gives it back for.

        Raises:
            SecretRefusedError: the TPM does not answer or refuses.
        """
        made = self._run("seal", offer, b"")
        return WrappedSecret(offer.offer_id, made[:WRAPPED_BYTES]), made[WRAPPED_BYTES:]

    def unseal(self, offer: ImportOffer, blob: bytes) -> WrappedSecret:
        """Have the secret given back; raises as :meth:`seal`."""
        return WrappedSecret(offer.offer_id, self._run("unseal", offer, blob))

    def _run(self, verb: str, offer: ImportOffer, stdin: bytes) -> bytes:
        words = [verb, (offer.offer_id + offer.public_key).hex(), str(self._fd)]
        try:
            with self._lock:
                return run_program(PROGRAM, words, stdin=stdin, pass_fds=[self._fd], timeout_s=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise SecretRefusedError(f"the tpm did not answer within {TIMEOUT_S:.0f} s") from None
        except SecretProgramError as error:
            raise SecretRefusedError(error.message, error.hint) from error


def open_tpm(path: Path | None) -> Tpm | None:
    """Open a TPM's device, or the socket of a software TPM; without *path* this host's, if there is one that one may.

    Raises:
        SecretRefusedError: *path* cannot be opened.
    """
    try:
        return Tpm(_open(path or DEVICE))
    except OSError as error:
        if path is None:
            return None
        reason = (error.strerror or str(error)).lower()
        raise SecretRefusedError(f"cannot open the tpm {path}: {reason}") from error


def _open(path: Path) -> int:
    if not stat.S_ISSOCK(path.stat().st_mode):
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        return connection.detach()
