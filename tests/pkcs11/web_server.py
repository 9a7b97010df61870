# SPDX-License-Identifier: Apache-2.0
"""nginx whose TLS keys are in the vault, and curl to ask it. ``WebServer`` is one process, as a guest is over a socket."""

import contextlib
import socket
import subprocess
from pathlib import Path
from typing import Self

from framework.keystored import Keystored
from framework.patience import wait_for
from pkcs11.openssl_engine import EngineGuest, key_uri
from qemu_images.nginx import nginx

CONFIGURATION = """\
daemon off;
{processes}
pid {folder}/pid;
error_log stderr notice;
{engine}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    ssl_protocols {protocols};
    ssl_session_tickets off;
    ssl_session_cache off;
    {servers}
}}
"""
SERVER = """\
    server {{
        listen unix:{folder}/{label}.sock ssl;
        ssl_certificate {certificate};
        ssl_certificate_key "engine:pkcs11:{uri}";
        {more}
        location / {{ return 200 "{text} $ssl_protocol $ssl_client_s_dn"; }}
    }}
"""


def configuration(
    folder: Path,
    servers: str,
    *,
    processes: str,
    engine: str = "ssl_engine pkcs11;",
    protocols: str = "TLSv1.2 TLSv1.3",
) -> str:
    """What nginx reads.

    Args:
        folder: where its files are.
        servers: blocks of directives.
        processes: how many it has, as a directive.
        engine: the directive that has keys come from the vault; empty: they come from files.
        protocols: versions of TLS.
    """
    return CONFIGURATION.format(folder=folder, servers=servers, processes=processes, engine=engine, protocols=protocols)


def vault_servers(folder: Path, certificates: dict[str, Path], text: str, more: str = "") -> str:
    """A server with a socket in *folder* for each of *certificates*, by label, that answers *text*; *more* directives."""
    return "".join(
        SERVER.format(folder=folder, label=label, certificate=path, uri=key_uri(label), text=text, more=more)
        for label, path in certificates.items()
    )


def curl(folder: Path, label: str, certificate: Path, *arguments: str) -> list[str]:
    """The command that asks the server of one key, by a name that its certificate has."""
    path = ("--unix-socket", str(folder / f"{label}.sock"), "--cacert", str(certificate))
    return ["curl", "-sS", "--fail", "--max-time", "20", *path, *arguments, "https://localhost/"]


def worker_pid(vault: Keystored, guest: str) -> int:
    """The process that has the guest's keys, once there is one."""
    return int(wait_for(lambda: vault.api.get(f"/guests/{guest}")["worker"]["pid"]))


class WebServer:
    """A server for each of some keys of one guest; a context manager.

    Args:
        guest: whose keys they are.
        certificates: of each label.
        more: further directives of each server.
    """

    def __init__(self, guest: EngineGuest, certificates: dict[str, Path], more: str = "") -> None:
        self.guest = guest
        self.folder = guest.folder
        self._certificates = certificates
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "nginx.log"

    def __enter__(self) -> Self:
        servers = vault_servers(self.folder, self._certificates, "served", self._more)
        written = configuration(self.folder, servers, processes="master_process off;")
        (self.folder / "nginx.conf").write_text(written)
        environment = self.guest.guest.environment(self.guest.variables)
        command = [str(nginx()), "-p", str(self.folder), "-c", "nginx.conf"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for(self._listens)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _listens(self) -> bool:
        if self._process and self._process.poll() is not None:
            raise AssertionError(self.log.read_text())
        with socket.socket(socket.AF_UNIX) as end, contextlib.suppress(OSError):
            end.connect(str(self.folder / f"{next(iter(self._certificates))}.sock"))
            return True
        return False

    def get(self, label: str, *arguments: str, variables: dict[str, str] | None = None) -> str:
        """Ask the server of one key.

        Raises:
            AssertionError: it did not answer, or its certificate or signature is wrong.
        """
        command = curl(self.folder, label, self._certificates[label], *arguments)
        done = subprocess.run(command, capture_output=True, check=False, text=True, env=variables)
        if done.returncode:
            raise AssertionError(f"{done.stderr}\n{self.log.read_text()[-2000:]}")
        return done.stdout.strip()
