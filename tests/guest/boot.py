# SPDX-License-Identifier: Apache-2.0
"""Booting a guest in one line of a test: which image, and under what."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

from framework.guest import Guest
from framework.qemu import QemuGuest
from framework.uml import UmlGuest
from qemu_images.images import Content, qemu_image, uml_image


class Boot(Protocol):
    """Boots a guest that ends with the test (or module) that asked for it."""

    def __call__(self, kind: str, content: Content = ..., **options: Any) -> Guest:
        """Boot one.

        Args:
            kind: ``uml-plain`` or ``uml-kasan``, or ``qemu-`` and a flavour of Debian's kernel: ``cloud``,
                ``cloud-6.12``, ``cloud-7.3``, ``generic``.
            content: what is in its image.
            options: further arguments of ``UmlGuest`` or ``QemuGuest``.
        """


running: list[Guest] = []
"""Guests of the fixtures, so that a failing test can show their consoles."""


def booting() -> Iterator[Boot]:
    """Yield a ``Boot``; its guests end when the generator is resumed."""
    with ExitStack() as stack:

        def enter(guest: Guest) -> Guest:
            running.append(guest)
            stack.callback(running.remove, guest)
            return stack.enter_context(guest)

        def boot(kind: str, content: Content = Content(), **options: Any) -> Guest:  # noqa: B008  a frozen value
            carrier, _, flavour = kind.partition("-")
            if carrier == "uml":
                image = uml_image(flavour, content)
                return enter(UmlGuest(image.kernel, image.initrd, **options))
            image = qemu_image(flavour, content)
            return enter(QemuGuest(image.kernel, image.initrd, **options))

        yield boot
