# SPDX-License-Identifier: Apache-2.0
"""Promise P1 against root: no key is found by /proc/PID/mem, a debugger, a forced core, or a borrowed descriptor.

In every process searched a control is planted, in ordinary memory and behind a descriptor: each way finds it.
"""

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from custodian.custodian_process import KEY_ID, Custodian
from custodian.wrapping import TYPES, wrap
from framework.accelerated import need_processor, with_crypto_mb
from framework.secret_forms import (
    PrivateKey,
    Secret,
    aes_secret,
    hmac_secret,
    private_key_secret,
    secret_bytes,
    xts_secret,
)
from framework.secret_search import SecretSearch
from framework.tracer import Tracee
from protocol.worker_rig import RigKey, Zygote, key_id, pkcs8, running_bench, running_zygote
from security.allowed_calls import SYS

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.data_plane import DataPlane
from vmm_keystore.workers.programs import program_path

PRIVATE_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
SYS_PIDFD_GETFD = 438
KEK_OFFSET, KEK_BYTES = 19, 32

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Searched:
    """A process with secrets in use."""

    pid: int
    secrets: list[Secret]
    descriptor: bytes = b""
    """What lies behind a descriptor that it was given; empty: it is made to open one."""
    memory: bytes = field(default_factory=lambda: os.urandom(32))

    def plant(self) -> None:
        """Have it map a page of ordinary memory, and a file where it has none, and put the controls there."""
        with Tracee(self.pid) as tracee:
            protection = mmap.PROT_READ | mmap.PROT_WRITE
            page = tracee.call(SYS["mmap"], (0, mmap.PAGESIZE, protection, PRIVATE_ANONYMOUS, -1 & 0xFFFFFFFF, 0))
            assert page.value > 0
            memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
            try:
                os.pwrite(memory, self.memory, page.value)
            finally:
                os.close(memory)
            if not self.descriptor:
                no_name = page.value + len(self.memory)
                opened = tracee.call(SYS["memfd_create"], (no_name, 0))
                assert opened.value > 0
                self.descriptor = os.urandom(32)
                Path(f"/proc/{self.pid}/fd/{opened.value}").write_bytes(self.descriptor)


def known(name: str) -> tuple[bytes, bytes, list[Secret]]:
    """An AES and a MAC key, and what to look for."""
    aes, mac = os.urandom(32), os.urandom(64)
    return aes, mac, [aes_secret(f"{name} aes", aes), hmac_secret(f"{name} mac", mac)]


def memfd(content: bytes) -> int:
    fd = os.memfd_create("control")
    os.write(fd, content)
    return fd


@contextmanager
def worker(zygote: Zygote, _folder: Path) -> Iterator[Searched]:
    """One that has used its keys; the control is where its ring reports errors to."""
    aes, mac, secrets = known("worker")
    chacha, xts = os.urandom(32), os.urandom(64)
    secrets += [secret_bytes("worker chacha20", chacha), xts_secret("worker xts", xts)]
    control = os.urandom(32)
    with running_bench(zygote, slot_count=1) as bench:
        assert bench.rig.ready.type == lib.VKS_WORKER_READY
        bench.rig.give(
            RigKey(key_id(1), lib.VKS_KEY_TYPE_AES_256, aes),
            RigKey(key_id(2), lib.VKS_KEY_TYPE_HMAC_SHA256, mac),
            RigKey(key_id(3), lib.VKS_KEY_TYPE_CHACHA20_POLY1305, chacha),
            RigKey(key_id(4), lib.VKS_KEY_TYPE_AES_256_XTS, xts),
        )
        for op, number, mechanism, parameter in (
            (lib.VKS_OP_ENCRYPT, 1, lib.VKS_MECHANISM_AES_GCM, b""),
            (lib.VKS_OP_ENCRYPT, 1, lib.VKS_MECHANISM_AES_KW, b""),
            (lib.VKS_OP_MAC, 1, lib.VKS_MECHANISM_AES_CMAC, b""),
            (lib.VKS_OP_MAC, 2, lib.VKS_MECHANISM_HMAC_SHA256, b""),
            (lib.VKS_OP_ENCRYPT, 3, lib.VKS_MECHANISM_CHACHA20_POLY1305, b""),
            (lib.VKS_OP_ENCRYPT, 4, lib.VKS_MECHANISM_AES_XTS, bytes(16)),
        ):
            fields: dict[str, Any] = {"key_id": key_id(number), "mechanism": mechanism, "parameter": parameter}
            answer = bench.vault.request(op, data=bytes(64), output_bytes=92, **fields)
            assert answer.status == lib.VKS_STATUS_OK
        fd = memfd(control)
        bench.rig.set_ring_fd(lib.VKS_WORKER_RING_ERR, [fd])
        os.close(fd)
        yield Searched(bench.rig.pid, secrets, control)


@contextmanager
def batching_worker(_zygote: Zygote, _folder: Path) -> Iterator[Searched]:
    """One whose keys were used by libcrypto_mb and libipsec-mb, both lanes' and several at once, with nonces ready."""
    need_processor()
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    edwards, rsa2048 = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    x25519_key = x25519.X25519PrivateKey.generate()
    aes, mac, secrets = known("batching worker")
    pairs: dict[str, PrivateKey] = {
        "p256": p256,
        "p384": p384,
        "ed25519": edwards,
        "rsa": rsa2048,
        "x25519": x25519_key,
    }
    secrets += [private_key_secret(f"batching worker {name}", key) for name, key in pairs.items()]
    control = os.urandom(32)
    plane = DataPlane(nonce_pool=True)
    with with_crypto_mb(), running_zygote() as fast, running_bench(fast, slot_count=40, data_plane=plane) as bench:
        ready: Any = ffi.from_buffer("struct vks_worker_ready *", bench.rig.ready.body)
        assert ready.accelerated == (1 << lib.VKS_ENGINE_FUNCTIONS) - 1
        bench.rig.give(
            RigKey(key_id(1), lib.VKS_KEY_TYPE_EC_P256, pkcs8(p256)),
            RigKey(key_id(2), lib.VKS_KEY_TYPE_EC_P384, pkcs8(p384)),
            RigKey(key_id(3), lib.VKS_KEY_TYPE_ED25519, pkcs8(edwards)),
            RigKey(key_id(4), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa2048)),
            RigKey(key_id(5), lib.VKS_KEY_TYPE_X25519, pkcs8(x25519_key)),
            RigKey(key_id(6), lib.VKS_KEY_TYPE_HMAC_SHA256, mac),
            RigKey(key_id(7), lib.VKS_KEY_TYPE_AES_256, aes),
        )
        peer = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
        sign = lib.VKS_OP_SIGN
        fields: dict[str, Any] = {"data": b"m", "output_bytes": 512}
        work: list[tuple[int, int, dict[str, Any]]] = [(sign, number, {}) for number in (1, 2, 3, 4)]
        work += [
            (lib.VKS_OP_DERIVE, 5, {"data": b"", "parameter": peer, "output_bytes": 32}),
            (lib.VKS_OP_MAC, 6, {}),
            (lib.VKS_OP_ENCRYPT, 7, {"data": bytes(300)}),
        ]
        for _ in range(3):
            for op, number, more in work:
                for _ in range(12):
                    bench.vault.submit(op, key_id=key_id(number), **fields | more)
                bench.ring.kick(force=True)
                answers = bench.vault.collect(12)
                assert {answer.status for _head, answer in answers} == {lib.VKS_STATUS_OK}
            assert bench.vault.request(sign, key_id=key_id(1), **fields).status == lib.VKS_STATUS_OK
        fd = memfd(control)
        bench.rig.set_ring_fd(lib.VKS_WORKER_RING_ERR, [fd])
        os.close(fd)
        yield Searched(bench.rig.pid, secrets, control)


@contextmanager
def custodian(_zygote: Zygote, folder: Path) -> Iterator[Searched]:
    """One that has imported, unsealed and loaded."""
    aes, mac, secrets = known("custodian")
    with Custodian() as running:
        kek = folder / "kek"
        assert running.open_root(kek, create=True) == 0
        for number, (name, material) in enumerate({"aes-256": aes, "hmac-sha512": mac}.items(), 1):
            offer = running.offer()
            error, key = running.import_key(offer[:16], wrap(offer, TYPES[name], material))
            assert error == 0
            assert key is not None
            running.add_channel(number)
            assert running.load(number, 1, [(KEY_ID, 1, key.type, 0, key.sealed)]) == 0
        secrets.append(secret_bytes("kek", kek.read_bytes()[KEK_OFFSET : KEK_OFFSET + KEK_BYTES]))
        yield Searched(running.pid, secrets)


@contextmanager
def spawner(zygote: Zygote, folder: Path) -> Iterator[Searched]:
    """The zygote of a worker that has keys."""
    with worker(zygote, folder) as child:
        yield Searched(zygote.process.pid, child.secrets)


@contextmanager
def importer(_zygote: Zygote, folder: Path) -> Iterator[Searched]:
    """An import that has read a key and waits for the reader of its result."""
    aes = os.urandom(32)
    path = folder / "raw"
    path.write_bytes(aes)
    with Custodian() as running:
        offer = running.offer()
    reader, writer = os.pipe()
    os.write(writer, bytes(1 << 16))
    command: list[str | Path] = [program_path("vks-import"), "--offer", offer.hex(), "--type", "aes-256", path]
    with subprocess.Popen(command, stdout=writer) as process:
        os.close(writer)
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[:2] != ["1", "0x1"]:
            assert process.poll() is None
            os.sched_yield()
        yield Searched(process.pid, [aes_secret("imported", aes)])
        process.kill()
    os.close(reader)


PROGRAMS: dict[str, Callable[[Zygote, Path], AbstractContextManager[Searched]]] = {
    "worker": worker,
    "batching worker": batching_worker,
    "custodian": custodian,
    "zygote": spawner,
    "import": importer,
}


@pytest.fixture(scope="module")
def _secret_memory() -> None:
    fd = _libc.syscall(SYS["memfd_secret"], 0)
    if fd < 0:
        pytest.skip("this kernel has memfd_secret off: secrets are in locked memory, which root can read")
    os.close(fd)


@pytest.fixture(params=PROGRAMS)
def target(request: pytest.FixtureRequest, _secret_memory: None, zygote: Zygote, tmp_path: Path) -> Iterator[Searched]:
    """Give each program in turn, with its control planted."""
    with PROGRAMS[request.param](zygote, tmp_path) as searched:
        searched.plant()
        yield searched


def expect(found: set[str], control: str) -> None:
    """The control and nothing else."""
    assert control in found, "the control was not found: the search proves nothing"
    assert found == {control}


def search_for(target: Searched) -> SecretSearch:
    controls = [secret_bytes("planted", target.memory), secret_bytes("descriptor", target.descriptor)]
    return SecretSearch([*target.secrets, *controls])


def test_memory_file(target: Searched) -> None:
    """/proc/PID/mem, every mapping of it."""
    report = search_for(target).in_process(target.pid)
    expect({hit.secret for hit in report.hits}, "planted")


def test_debugger(target: Searched, tmp_path: Path) -> None:
    """The debugger reads each mapping by itself."""
    commands = tmp_path / "commands"
    spans = [line.split()[0].split("-") for line in Path(f"/proc/{target.pid}/maps").read_text().splitlines()]
    dumped = tmp_path / "dumped"
    dumped.mkdir()
    lines = [f"dump binary memory {dumped}/{first} 0x{first} 0x{last}" for first, last in spans]
    # One that fails must not end the rest.
    commands.write_text("".join(f"python\ntry: gdb.execute('{line}')\nexcept gdb.error: pass\nend\n" for line in lines))
    debug(target.pid, "-x", str(commands))
    report = search_for(target).in_tree(dumped)
    expect({hit.secret for hit in report.hits}, "planted")


def test_forced_core(target: Searched, tmp_path: Path) -> None:
    """A core of everything, also of what a process asked to leave out."""
    core = tmp_path / "core"
    settings = ("set use-coredump-filter off", "set dump-excluded-mappings on", f"generate-core-file {core}")
    debug(target.pid, *(part for setting in settings for part in ("-ex", setting)))
    report = search_for(target).in_file(core)
    expect({hit.secret for hit in report.hits}, "planted")


def test_borrowed_descriptors(target: Searched) -> None:
    """pidfd_getfd gives root each descriptor; none leads to secret memory, and what it leads to holds no key."""
    pidfd = os.pidfd_open(target.pid)
    found: set[str] = set()
    search = search_for(target)
    for number in [path.name for path in Path(f"/proc/{target.pid}/fd").iterdir()]:
        fd = _libc.syscall(SYS_PIDFD_GETFD, pidfd, int(number), 0)
        assert fd >= 0
        try:
            assert "secretmem" not in str(Path(f"/proc/self/fd/{fd}").readlink())
            size = os.fstat(fd).st_size
            if size:
                with mmap.mmap(fd, size, prot=mmap.PROT_READ) as content:
                    found |= {hit.secret for hit in search.in_bytes(content, number).hits}
        except (OSError, ValueError):
            pass  # a socket, an eventfd, a pipe: nothing to map
        finally:
            os.close(fd)
    os.close(pidfd)
    expect(found, "descriptor")


def test_signal_leaves_no_core() -> None:
    """SIGQUIT with the limit raised from outside: the kernel dumps no process that is not dumpable."""

    def dumps(pid: int) -> bool:
        with contextlib.suppress(PermissionError):  # a container's root may not raise it: the hard limit is 0
            resource.prlimit(pid, resource.RLIMIT_CORE, (1 << 20, 1 << 20))
        os.kill(pid, signal.SIGQUIT)
        return os.WCOREDUMP(os.waitpid(pid, 0)[1])

    running = Custodian()
    running.status()
    assert not dumps(running.pid)
    running.socket.close()
    held = "import os, tempfile; os.chdir(tempfile.mkdtemp()); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as control:
        assert control.stdout
        assert control.stdout.readline() == b"\n"
        if not dumps(control.pid):
            pytest.skip("this machine lets no process dump core: nothing is proved")


def debug(pid: int, *arguments: str) -> None:
    """Run gdb on a process, without anybody's settings."""
    command = ["gdb", "-nx", "-batch", "-p", str(pid), "-iex", "set auto-load off", *arguments]
    subprocess.run(command, capture_output=True, check=False, timeout=100)
