# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token as the root of trust: vks-hsm-root has it compute a secret for the custodian.

The vendor's module is loaded there and nowhere else. PIN and secret are not seen here: the one is a descriptor, the
other ciphertext. A PIN that was refused is not tried again by itself, since a token locks after a few tries.
"""

import signal
import subprocess
from collections.abc import Mapping

from vmm_keystore._vks import lib
from vmm_keystore.errors import PinRefusedError, SecretRefusedError
from vmm_keystore.policy.hsm import HsmPlace, HsmToken
from vmm_keystore.service.key_values import ImportOffer, WrappedSecret
from vmm_keystore.workers.pin import Pin
from vmm_keystore.workers.secret_program import WRAPPED_BYTES, SecretProgramError, run_program

PROGRAM = "vks-hsm-root"
TIMEOUT_S = 30.0
BLOB_BYTES = int(lib.VKS_ROOT_HSM_BLOB_BYTES)
LABEL_BYTES = 32
SERIAL = slice(1, 17)
EXIT_OURS, EXIT_PIN = 1, 5
MODULE_HINT = "the module must be for this machine; what it writes to its own log may say why"


class Hsm:
    """A token behind a module; one request at a time."""

    def __init__(self, place: HsmPlace, pin: Pin, environment: Mapping[str, str]) -> None:
        """Set up; *environment* is all that the module sees of ours."""
        self.place = place
        self.pin = pin
        self.environment = environment

    def seal(self, offer: ImportOffer) -> tuple[WrappedSecret, bytes, HsmToken]:
        """Have a secret computed: wrapped to *offer*, the blob that it is computed from, and the token that did it.

        Raises:
            PinRefusedError: this is not the token's PIN.
            SecretRefusedError: module or token do not answer, or refuse.
        """
        label = [self.place.token] if self.place.token else []
        made = self._run("seal", offer, label, WRAPPED_BYTES + BLOB_BYTES + LABEL_BYTES)
        blob = made[WRAPPED_BYTES : WRAPPED_BYTES + BLOB_BYTES]
        return WrappedSecret(offer.offer_id, made[:WRAPPED_BYTES]), blob, _token(made[-LABEL_BYTES:], blob)

    def unseal(self, offer: ImportOffer, blob: bytes) -> tuple[WrappedSecret, HsmToken]:
        """Have the secret of a blob computed again; raises as :meth:`seal`."""
        made = self._run("unseal", offer, [], WRAPPED_BYTES + LABEL_BYTES, blob)
        return WrappedSecret(offer.offer_id, made[:WRAPPED_BYTES]), _token(made[-LABEL_BYTES:], blob)

    def _run(self, verb: str, offer: ImportOffer, label: list[str], want_bytes: int, stdin: bytes = b"") -> bytes:
        offered = (offer.offer_id + offer.public_key).hex()
        words = [verb, offered, str(self.pin.fd), str(self.place.module), *label]
        with self.pin.login():
            try:
                made = run_program(
                    PROGRAM,
                    words,
                    stdin=stdin,
                    pass_fds=[self.pin.fd],
                    timeout_s=TIMEOUT_S,
                    environment=self.environment,
                )
            except subprocess.TimeoutExpired:
                raise SecretRefusedError(f"the token did not answer within {TIMEOUT_S:.0f} s", MODULE_HINT) from None
            except SecretProgramError as error:
                raise self._refusal(error) from error
        if len(made) != want_bytes:
            raise SecretRefusedError("the pkcs#11 module ended the program that it was loaded into", MODULE_HINT)
        return made

    def _refusal(self, error: SecretProgramError) -> SecretRefusedError:
        if error.status == EXIT_PIN:
            return PinRefusedError(error.message, error.hint)
        if error.status < 0:
            ended_by = signal.strsignal(-error.status) or f"signal {-error.status}"
            return SecretRefusedError(f"the pkcs#11 module crashed: {ended_by.lower()}", MODULE_HINT)
        if not EXIT_OURS <= error.status < EXIT_PIN:
            return SecretRefusedError("the pkcs#11 module ended the program that it was loaded into", MODULE_HINT)
        return SecretRefusedError(error.message, error.hint)


def open_hsm(place: HsmPlace | None, environment: Mapping[str, str]) -> Hsm | None:
    """Open the PIN's file with the rights that keystored starts with; the token itself is asked when it is needed.

    Args:
        place: where it is; None: there is none.
        environment: ours, of which the module sees what *place* names.

    Raises:
        RootOfTrustError: the file cannot be opened.
    """
    if place is None:
        return None
    seen = {name: environment[name] for name in place.environment if name in environment}
    return Hsm(place, Pin(place.pin), seen)


def _token(label: bytes, blob: bytes) -> HsmToken:
    return HsmToken(token_text(label), token_text(blob[SERIAL]))


def token_text(field: bytes) -> str:
    """Read what a module filled with blanks (or, against the standard, zeros), whatever else is in it."""
    return printable(field.rstrip(b" \0").decode(errors="replace"))


def printable(text: str) -> str:
    """What a vendor's code says, fit for a line of a log or a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
