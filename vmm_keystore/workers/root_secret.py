# SPDX-License-Identifier: Apache-2.0
"""What opens the root of trust, where that is a passphrase or a credential; no byte of it is read here.

It is a descriptor for the custodian, or what vks-import made of it.
"""

import logging
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from vmm_keystore.errors import RootLockedError, RootOfTrustError, SecretRefusedError
from vmm_keystore.service.key_values import WrappedSecret
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.secret_file import open_secret
from vmm_keystore.workers.secret_program import SecretProgramError, wrap_secret

log = logging.getLogger(__name__)

CREDENTIAL = "vmm-keystore-root"
PASSPHRASE_TRIES = 3


def open_credential(environment: Mapping[str, str]) -> int | None:
    """Open the credential that systemd gave, if it gave one (systemd.exec(5), CREDENTIALS); raises as above."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return open_secret(path) if path is not None and path.exists() else None


def ask_for_passphrase(custodian: Custodian, *, needed: bool) -> bool:
    """Open a locked vault with a passphrase from the terminal that this process was started on, if it was on one.

    Args:
        custodian: whose vault it is.
        needed: there is no going on while it is locked.

    Returns:
        Whether it is open.

    Raises:
        RootOfTrustError: it was not among a few tries, or it is needed and there is nobody to ask.
    """
    if custodian.status().root_open:
        return True
    if not sys.stdin.isatty():
        if needed:
            raise RootOfTrustError(
                "the key encryption key takes a passphrase or credential to open",
                "give its file with --root-secret, or start this on a terminal",
            )
        return False
    before = termios.tcgetattr(sys.stdin)
    try:
        for _ in range(PASSPHRASE_TRIES):
            offer = custodian.offer_import()
            try:
                wrapped = wrap_secret((offer.offer_id + offer.public_key).hex(), ["--root-passphrase"])
                custodian.unlock(WrappedSecret(offer.offer_id, wrapped))
            except (SecretRefusedError, SecretProgramError) as error:
                log.error("%s", error)
            else:
                return True
        raise RootLockedError
    finally:
        # Whoever is stopped while it asks would leave a terminal without echo.
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
