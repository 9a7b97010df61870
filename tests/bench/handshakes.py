# SPDX-License-Identifier: Apache-2.0
"""TLS handshakes a second of nginx, with its key in the vault and with the same kind of key in a file.

Debian 12's nginx, one process, by OpenSSL's engine and the PKCS#11 module over a guest's socket. Clients, nginx and worker share the two
processors, as on one host. Every handshake is a new one: TLS 1.3, X25519, ECDSA with P-256.
"""

import itertools
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from framework.keystored import Keystored, environment
from framework.patience import wait_for
from framework.pinned import pin, start_pinned
from pkcs11.openssl_engine import EngineGuest, key_uri
from pkcs11.web_server import configuration, worker_pid
from qemu_images.nginx import nginx
from rich.console import Console
from rich.table import Table

from bench.take import CPUS, LOAD_CPU
from bench.vault_subject import SPIN_US

CLIENTS = 2
SECONDS = 2
LABEL, GUEST = "web", "web"
IN_A_FILE = "key in a file"
SETTINGS = {
    "vault": ("--no-accelerators",),
    "vault, nonce pool": ("--nonce-pool",),
}
SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key "{key}";
    }}
"""


@dataclass(frozen=True, slots=True)
class HandshakesRow:
    """One server, the medians of *rounds* rounds; ``ratio`` is of each round's own figure to that of the key in a file."""

    subject: str
    polling: bool
    handshakes_per_s: float
    ratio: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running nginx."""

    subject: str
    polling: bool
    port: int

    def handshakes_per_s(self) -> float:
        """Have clients connect for ``SECONDS``."""
        words = ["openssl", "s_time", "-connect", f"127.0.0.1:{self.port}", "-new", "-tls1_3", "-time", str(SECONDS)]
        begin_s = time.monotonic()
        clients = [
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(CLIENTS)
        ]
        count = 0
        for client in clients:
            said, complaint = client.communicate()
            if client.returncode:
                raise RuntimeError(f"openssl s_time: {complaint}")
            # "1234 connections in 2 real seconds, 0 bytes read per connection"
            (line,) = (line for line in said.splitlines() if "real seconds" in line)
            count += int(line.split()[0])
        return count / (time.monotonic() - begin_s)


def measure_handshakes(rounds: int) -> Sequence[HandshakesRow]:
    """Every server in each round, the one with a file first."""
    with ExitStack() as stack:
        servers = [stack.enter_context(server_with_a_file())]
        for (subject, setting), poll_us in itertools.product(SETTINGS.items(), (0, SPIN_US)):
            servers.append(stack.enter_context(server_with_the_vault(subject, setting, poll_us)))
        figures: dict[Server, list[float]] = {server: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                figures[server].append(server.handshakes_per_s())
    base = figures[servers[0]]
    return [
        HandshakesRow(
            subject=server.subject,
            polling=server.polling,
            handshakes_per_s=round(median(found), 1),
            ratio=round(median(one / other for one, other in zip(found, base, strict=True)), 3),
            rounds=rounds,
        )
        for server, found in figures.items()
    ]


def write_handshakes(rows: Sequence[HandshakesRow], path: Path) -> None:
    """Write every row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def print_handshakes(rows: Sequence[HandshakesRow]) -> None:
    """Show every row."""
    table = Table(box=None, pad_edge=False)
    for title in ("nginx, TLS 1.3, P-256", "spin", "handshakes/s", "ratio"):
        table.add_column(title, justify="left" if title.startswith("nginx") else "right")
    for row in rows:
        table.add_row(row.subject, "yes" if row.polling else "", f"{row.handshakes_per_s:,.0f}", f"{row.ratio:.2f}")
    Console(width=100).print(table)


@contextmanager
def server_with_a_file() -> Iterator[Server]:
    """Start nginx with a new key on the disk."""
    with tempfile.TemporaryDirectory(prefix="vks-") as name:
        key, certificate = Path(name) / "key.pem", certificate_in(Path(name))
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(
            [*words, "-keyout", key, "-subj", "/CN=localhost", "-out", certificate], check=True, capture_output=True
        )
        with started(Path(name), str(key), CPUS, environment()) as (port, _pid):
            yield Server(IN_A_FILE, polling=False, port=port)


@contextmanager
def server_with_the_vault(subject: str, setting: Sequence[str], poll_us: int) -> Iterator[Server]:
    """Start nginx with a key of a vault of its own, whose worker looks for requests so long before it sleeps."""
    with (
        tempfile.TemporaryDirectory(prefix="vks-") as name,
        Keystored(arguments=["--poll-us", str(poll_us), *setting]) as daemon,
    ):
        guest = EngineGuest(daemon.add_guest(GUEST), Path(name))
        daemon.api.generate(LABEL, "ec-p256")
        daemon.api.grant(GUEST, LABEL, ("sign",))
        guest.certificate(LABEL)
        # Where it begins with one processor it never looks for answers, but sleeps at once.
        begins_on = CPUS if poll_us else [LOAD_CPU]
        variables = guest.guest.environment(guest.variables)
        key = f"engine:pkcs11:{key_uri(LABEL)}"
        with started(Path(name), key, begins_on, variables, "ssl_engine pkcs11;") as (port, pid):
            pin(pid, CPUS)
            pin(worker_pid(daemon, GUEST), CPUS)
            yield Server(subject, polling=poll_us > 0, port=port)


@contextmanager
def started(
    folder: Path, key: str, begins_on: Sequence[int], variables: dict[str, str], engine: str = ""
) -> Iterator[tuple[int, int]]:
    """Start nginx with *key* and the certificate in *folder*; its port and process, once it answers."""
    port = free_port()
    text = SERVER.format(certificate=certificate_in(folder), key=key, port=port)
    read = configuration(folder, text, processes="master_process off;", engine=engine, protocols="TLSv1.3")
    (folder / "nginx.conf").write_text(read)
    server = start_pinned([nginx(), "-p", folder, "-c", "nginx.conf"], begins_on, variables)
    try:
        wait_for(lambda: server.poll() is not None or listens(port))
        if server.poll() is not None:
            raise RuntimeError(f"nginx: {server.communicate()[1]}")
        yield port, server.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.communicate()


def certificate_in(folder: Path) -> Path:
    """Where a server's certificate is."""
    return folder / f"{LABEL}.pem"


def free_port() -> int:
    """A port of the loopback device that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
