# SPDX-License-Identifier: Apache-2.0
"""Files with a secret that keystored is started with: opened here, read by C programs through the descriptor."""

import os
import stat
from pathlib import Path

from vmm_keystore.errors import RootOfTrustError


def open_secret(path: Path, what: str = "root of trust's secret") -> int:
    """Open the file with a passphrase, credential or PIN; it stays open, for each start of the custodian.

    Raises:
        RootOfTrustError: it cannot be opened, or is no regular file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RootOfTrustError(f"cannot open the {what} {path}: {reason}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RootOfTrustError(f"the {what} {path} is no regular file")
    return fd
