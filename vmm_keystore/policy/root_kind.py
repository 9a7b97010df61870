# SPDX-License-Identifier: Apache-2.0
"""What opens the key encryption key, in the words of CLI, API and audit log."""

from enum import StrEnum


class RootKind(StrEnum):
    """Kinds of roots of trust."""

    FILE = "file"
    """The KEK file itself."""
    PASSPHRASE = "passphrase"  # noqa: S105 - what it is, not what it says
    CREDENTIAL = "credential"
    """Random bytes in a file that is kept elsewhere."""
    TPM = "tpm"
    """Random bytes that a TPM gives back."""
    HSM = "hsm"
    """A MAC that a PKCS#11 token computes."""
