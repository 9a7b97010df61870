# SPDX-License-Identifier: Apache-2.0
"""Programs that find libcrypto_mb, which Debian 12 does not have: from an unpacked tree, as an operator would.

What the processor of this machine cannot do is not tested, and the test says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qemu_images.crypto_mb import crypto_mb


@contextmanager
def with_crypto_mb() -> Iterator[None]:
    """Whatever is started here has the library where the loader looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(crypto_mb()))
        yield


def need_processor() -> None:
    """Skip where the processor lacks what libcrypto_mb is made of."""
    with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
        flags = next((line.split(":")[1].split() for line in file if line.startswith("flags")), [])
    lacking = {"avx512ifma", "avx512_vbmi2", "avx512bw", "avx512dq", "avx512vl"} - set(flags)
    if lacking:
        pytest.skip(f"this processor has no {', '.join(sorted(lacking))}: libcrypto_mb does nothing on it")
