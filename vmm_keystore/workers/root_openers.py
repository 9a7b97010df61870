# SPDX-License-Identifier: Apache-2.0
"""What opens a KEK file without anybody being asked: a file with a secret, a TPM, a PKCS#11 token."""

from collections.abc import Callable
from dataclasses import dataclass

from vmm_keystore._vks import lib
from vmm_keystore.errors import RootOfTrustError, SecretRefusedError
from vmm_keystore.policy.hsm import HsmToken
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.service.key_values import ImportOffer, WrappedSecret
from vmm_keystore.workers.custodian_messages import FD_SECRET, NO_SECRET, Secret, wrapped
from vmm_keystore.workers.hsm import Hsm
from vmm_keystore.workers.root_file import sealed_for
from vmm_keystore.workers.tpm import Tpm

TPM_HINT = "serve --tpm PATH says where it is"
HSM_HINT = "serve --hsm-module PATH --hsm-pin FILE say what opens it"

Offer = Callable[[], ImportOffer]
"""Has the custodian make a one-time key that a secret is wrapped to."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the custodian is to open a KEK with: the token that gave it, and what is written down for TPM or token."""

    secret: Secret
    token: HsmToken | None = None
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class Openers:
    """The ones that this keystored was started with.

    *secret_fd* is that of a file with a passphrase or credential, which stays open and is not read here.
    """

    secret_fd: int | None = None
    tpm: Tpm | None = None
    hsm: Hsm | None = None

    def open(self, fd: int, offer: Offer) -> Opened:
        """Give what the KEK file behind *fd* is opened with.

        Raises:
            RootOfTrustError: it is sealed to what there is not.
            SecretRefusedError: TPM or token do not answer, or refuse.
        """
        kind, blob = sealed_for(fd)
        if kind == lib.VKS_ROOT_TPM:
            if self.tpm is None:
                raise RootOfTrustError("the kek is sealed to a tpm, and there is none", TPM_HINT)
            return Opened(wrapped(self.tpm.unseal(offer(), blob)))
        if kind == lib.VKS_ROOT_HSM:
            if self.hsm is None:
                raise RootOfTrustError("the kek is sealed to a pkcs#11 token, and none was named", HSM_HINT)
            secret, token = self.hsm.unseal(offer(), blob)
            return Opened(wrapped(secret), token)
        return Opened(NO_SECRET if self.secret_fd is None else FD_SECRET)

    def seal(self, kind: RootKind, passphrase: WrappedSecret | None, offer: Offer) -> Opened:
        """Give what a new KEK file of a kind is to be opened with.

        Raises:
            SecretRefusedError: there is none of that kind, or it refuses.
        """
        if kind is RootKind.HSM:
            if self.hsm is None:
                raise SecretRefusedError("keystored was started without a pkcs#11 token", HSM_HINT)
            secret, blob, token = self.hsm.seal(offer())
            return Opened(wrapped(secret), token, blob)
        if kind is RootKind.TPM:
            if self.tpm is None:
                raise SecretRefusedError("keystored was started without a tpm", TPM_HINT)
            secret, blob = self.tpm.seal(offer())
            return Opened(wrapped(secret), blob=blob)
        if kind is RootKind.CREDENTIAL:
            if self.secret_fd is None:
                hint = "serve --root-secret FILE, or LoadCredential=vmm-keystore-root:FILE in its unit"
                raise SecretRefusedError("keystored was started without a credential", hint)
            return Opened(FD_SECRET)
        return Opened(wrapped(passphrase) if passphrase else NO_SECRET)

    def fds(self, secret: Secret) -> list[int]:
        """Descriptors that go with a secret."""
        return [self.secret_fd] if secret is FD_SECRET and self.secret_fd is not None else []
