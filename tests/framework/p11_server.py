# SPDX-License-Identifier: Apache-2.0
"""``p11-kit server`` in front of a software HSM: each client has a process of its own there, at the end of a socket."""

import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Self

from framework.patience import wait_for
from framework.pinned import start_pinned
from framework.software_hsm import LABEL, MODULE, SoftwareHsm

CLIENT_MODULE = Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so")
PACKAGES = {Path("/usr/bin/p11-kit"): "p11-kit", CLIENT_MODULE: "p11-kit-modules", MODULE: "softhsm2"}
"""What has to be there, and the Debian package that has it."""


class P11Server:
    """Serves a token on some processors while entered; the token is the caller's."""

    def __init__(self, hsm: SoftwareHsm, name: str, cpus: Collection[int]) -> None:
        self._hsm = hsm
        self._socket = hsm.folder / name
        self._cpus = cpus
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = ["p11-kit", "server", "--foreground", "--name", self._socket, "--provider", MODULE]
        self._process = start_pinned([*command, f"pkcs11:token={LABEL}"], self._cpus, self._hsm.environment)
        wait_for(lambda: self._socket.exists() or self._failed())
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
        self._socket.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to see."""
        return {"P11_KIT_SERVER_ADDRESS": f"unix:path={self._socket}"}

    def _failed(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"p11-kit server ended: {self._process.communicate()[1].strip()}")
        return False
