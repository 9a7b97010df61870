# SPDX-License-Identifier: Apache-2.0
"""How every worker of a host runs: how it waits, where, and with which engines."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmm_keystore._vks import ffi, lib

FUNCTIONS: Mapping[int, tuple[str, int]] = {
    lib.VKS_ENGINE_P256_SIGN: ("p256-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_P384_SIGN: ("p384-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_ED25519_SIGN: ("ed25519-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_X25519_DERIVE: ("x25519-derive", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_RSA_2048_SIGN: ("rsa2048-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_RSA_3072_SIGN: ("rsa3072-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_RSA_4096_SIGN: ("rsa4096-sign", lib.VKS_ENGINE_CRYPTO_MB),
    lib.VKS_ENGINE_AES_GCM: ("aes-gcm", lib.VKS_ENGINE_IPSEC_MB),
    lib.VKS_ENGINE_HMAC_SHA256: ("hmac-sha256", lib.VKS_ENGINE_IPSEC_MB),
    lib.VKS_ENGINE_P256_NONCES: ("p256-nonces", lib.VKS_ENGINE_CRYPTO_MB),
}
"""What an engine can take over, as administrators read it, and which one does."""
ENGINES: Mapping[int, str] = {
    lib.VKS_ENGINE_LIBCRYPTO: "libcrypto",
    lib.VKS_ENGINE_CRYPTO_MB: "crypto_mb",
    lib.VKS_ENGINE_IPSEC_MB: "ipsec_mb",
}
CPUS_MAX: int = lib.VKS_SPAWN_CPUS_MAX
POLL_WORKERS_MAX: int = lib.VKS_POLL_PLACES_MAX
RINGS_MAX: int = lib.VKS_STATE_QUEUES_MAX
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def engines(accelerated: int) -> dict[str, str]:
    """Who serves each function that an engine can serve, by the mask of those that one does."""
    return {
        name: ENGINES[engine if accelerated >> function & 1 else lib.VKS_ENGINE_LIBCRYPTO]
        for function, (name, engine) in FUNCTIONS.items()
    }


@dataclass(frozen=True, slots=True)
class DataPlane:
    """What a worker is told when it is made."""

    poll_us: int = 0
    """How long it looks at its ring before it sleeps."""
    poll_workers: int = 0
    """How many workers may look at the same time; 0: each as it is set."""
    board_fd: int = -1
    """The board on which they agree about that, see :func:`make_board`; -1 where there is no such number."""
    accelerators: bool = True
    """It may use other engines than libcrypto."""
    nonce_pool: bool = False
    """It may make the part of P-256 signatures that needs no message in advance."""
    rings: int = 1
    """How many rings its guest may have, each with a fast and a slow thread of its own."""
    cpus: frozenset[int] = frozenset()
    """Where it may run; empty for anywhere."""

    def spawn_fields(self) -> dict[str, Any]:
        """The fields of ``vks_zygote_spawn`` that say so."""
        words = [0] * (CPUS_MAX // 64)
        for cpu in self.cpus:
            words[cpu // 64] |= 1 << cpu % 64
        return {
            "flags": (lib.VKS_SPAWN_F_ACCELERATORS if self.accelerators else 0)
            | (lib.VKS_SPAWN_F_NONCE_POOL if self.nonce_pool else 0),
            "poll_places": self._places,
            "rings": self.rings,
            "cpus": words,
        }

    def spawn_fds(self) -> list[int]:
        """The descriptors behind a worker's own, lent."""
        return [self.board_fd] if self._places else []

    @property
    def _places(self) -> int:
        """That may be taken on the board; 0: there is none."""
        return self.poll_workers if self.board_fd >= 0 else 0


def make_board() -> int:
    """Make the board that workers share: no worker can take it from under the others. The caller closes it.

    Raises:
        OSError: there is no memory.
    """
    fd = os.memfd_create("vks-poll-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, ffi.sizeof("struct vks_poll_board"))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
