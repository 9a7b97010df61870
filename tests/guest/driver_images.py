# SPDX-License-Identifier: Apache-2.0
"""What the driver's tests have in the guest: module, ``vks`` and the exercising program."""

from dataclasses import replace
from pathlib import Path

from qemu_images import keystore
from qemu_images.cache import digest, entry, source_digest
from qemu_images.images import WARNINGS, Content
from qemu_images.kernel import run

SOURCE = Path(__file__).parent / "driver_exercise.c"


def exercise() -> Path:
    """The exercising program, static."""
    folders = [keystore.GUEST_DRIVER / "include", keystore.GUEST_DRIVER / "lib"]

    def build(folder: Path) -> None:
        sources = [SOURCE, *sorted((keystore.GUEST_DRIVER / "lib").glob("*.c"))]
        includes = [f"-I{part}" for part in folders]
        run(["cc", *WARNINGS, "-O2", "-static", *includes, "-o", folder / "exercise", *sources, "-lpthread"])

    return entry("exercise", digest(source_digest([SOURCE, *folders])), build) / "exercise"


def driver_content(*, load: tuple[str, ...] = ("virtio_keystore",)) -> Content:
    """The content of ``keystore`` and the exercising program."""
    content = keystore.content()
    return replace(content, files={**content.files, "/usr/bin/exercise": exercise()}, load=load)
