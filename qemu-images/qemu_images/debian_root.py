# SPDX-License-Identifier: Apache-2.0
"""A fresh Debian as a folder, of this machine's release or another, with packages at hand for later, without a network."""

import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from qemu_images.apt import KEYRING, AptError, mirrors
from qemu_images.cache import digest, entry, say

DROP = "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"


def debian_root(include: Sequence[str], at_hand: Sequence[str] = (), release: str = "") -> Path:
    """Make a Debian with *include* installed. Needs root.

    Args:
        include: packages; what they recommend is left out.
        at_hand: packages that wait in apt's cache, with what they depend on.
        release: its code name; this machine's if empty.
    """
    release = release or platform.freedesktop_os_release()["VERSION_CODENAME"]

    def build(folder: Path) -> None:
        say(f"a fresh {release} with {' '.join(include)}")
        debian, security = mirrors()
        lines = [f"deb {debian} {suite} main" for suite in (release, f"{release}-updates")]
        lines += [f"deb {security} {release}-security main"] if security else []
        fetch = ["--customize-hook", f'chroot "$1" apt-get -y -q --download-only install {" ".join(at_hand)}']
        words = [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--keyring={KEYRING}", "--skip=cleanup/apt"),
            *('--aptopt=APT::Install-Recommends "false"', f"--include={','.join(include)}"),
            "--dpkgopt=force-unsafe-io",  # what is made here can be made again
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in DROP),
            *(fetch if at_hand else ()),
            *(release, str(folder / "root"), *lines),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AptError(f"mmdebstrap: {done.stderr.strip()[-2000:]}")

    return entry("root", digest(release, *include, "at hand", *at_hand), build) / "root"


def dependencies(package: Path) -> list[str]:
    """What a package file depends on, by name; the first where there is a choice."""
    field = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    names = {re.split(r"[\s|(]", part.strip())[0] for part in field.split(",") if part.strip()}
    return sorted(names)
