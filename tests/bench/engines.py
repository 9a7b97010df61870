# SPDX-License-Identifier: Apache-2.0
"""What the accelerated vault needs and Debian 12 lacks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from framework.accelerated import with_crypto_mb
from qemu_images.apt import AptError

from bench.take import left_out


@contextmanager
def crypto_mb_if_there() -> Iterator[None]:
    """What is started here finds libcrypto_mb, fetched where it is not yet; or why not is told."""
    with ExitStack() as stack:
        try:
            stack.enter_context(with_crypto_mb())
        except (AptError, OSError) as error:
            left_out("libcrypto_mb", str(error))
        yield
