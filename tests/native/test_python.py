# SPDX-License-Identifier: Apache-2.0
"""The Python client over a guest's socket: the script that users copy, answers that are errors, threads."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored, environment
from framework.native_guest import BUILD, ROOT
from framework.pkcs11_guest import UNDER_SANITIZER
from framework.recipes import recipe

pytestmark = pytest.mark.skipif(UNDER_SANITIZER, reason="Python would have to be built with sanitizers")

REFUSALS = """
import errno, sys
from vks import Device, Refused, Unavailable, VksError
def said(call):
    try:
        return repr(call())
    except VksError as error:
        return f"{type(error).__name__} {error.code:#x} {bool(error.hint)}"
    except ValueError as error:
        return f"ValueError {error}"
device = Device()
key = device.key("web")
print(said(lambda: device.key("nobody's")))
print(said(lambda: key.encrypt(b"text")))
print(said(lambda: key.verify(b"text", b"not DER")))
print(said(lambda: key.sign(b"text", "rubbish")))
print(said(lambda: device.key("web\\0other")))
print(said(lambda: device.key("web", 1 << 32)))
print(said(lambda: key.sign(b"short", digest=True)))
print(said(lambda: key.sign(bytes(2 << 20))), flush=True)
sys.stdin.readline()
print(said(lambda: key.sign(b"text")))
print(said(lambda: device.list_keys()), flush=True)
sys.stdin.readline()
gone = said(lambda: key.sign(b"text"))
print(gone == f"Unavailable {-errno.ENODEV:#x} True")
device.close()
device.close()
print(said(lambda: key.sign(b"text")))
"""
THREADS = """
import threading
from vks import Device
device = Device()
counts = []
def work(number):
    key = device.key("web")
    texts = [f"{number} {turn}".encode() for turn in range(50)]
    signatures = [key.sign(text) for text in texts]
    counts.append(sum(key.verify(text, signature) for text, signature in zip(texts, signatures)))
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
closer = threading.Thread(target=device.close)
def last():
    try:
        while True: device.random(1)
    except ValueError: counts.append(0)
busy = [threading.Thread(target=last) for _ in range(4)]
for thread in busy: thread.start()
closer.start()
for thread in [closer, *busy]: thread.join()
print(sorted(counts))
"""


FORKS = """
import os, threading
from vks import Device
device, is_over = Device(), False
def work():
    while not is_over: device.random(1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        device.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
is_over = True
for thread in threads: thread.join()
print(len(device.random(16)))
"""


def start(socket: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Run Python at one guest's socket."""
    env = environment() | {"VKS_DEVICE": f"vhost-user:{socket}", "PYTHONPATH": str(ROOT / "guest_driver/python")}
    env["VKS_LIBRARY"] = str(BUILD / "guest_driver/lib/libvks.so.0")
    command = [sys.executable, "-P", "-W", "error", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def test_recipe(vault: Keystored) -> None:
    """It prints what it should, and the public key is the vault's."""
    script = recipe("python-vks.py")
    socket = vault.add_guest("app")
    script.prepare(vault, "app")
    said, complaint = start(socket, script.path).communicate()
    lines = said.splitlines()
    assert not complaint
    assert lines[:3] == ["app: box, web", "said: True", "not said: False"]
    assert lines[-2] == "opened: a secret"
    assert lines[-1].startswith("refused: verification failed")
    public = load_pem_public_key("\n".join(lines[3:-2]).encode())
    assert public == load_pem_public_key(vault.cli("key", "public", "web").stdout.encode())
    assert script.unused(vault, "app") == {"box"}


def test_refusals(vault: Keystored) -> None:
    """Each is the device's own answer, also after the grant and then the guest are gone."""
    socket = vault.add_guest("app")
    vault.api.generate("web", "ec-p256")
    vault.api.grant("app", "web", ("sign", "verify"))
    with start(socket, "-c", REFUSALS) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        lines = [process.stdout.readline().strip() for _ in range(8)]
        assert lines == [
            "Refused 0x83 True",
            "Refused 0x82 True",
            "False",
            "ValueError no mechanism 'rubbish'",
            "ValueError a name has no NUL in it",
            f"ValueError no key has a version {1 << 32}",
            "Refused 0x88 False",
            f"Unavailable {-7:#x} True",
        ]
        vault.cli("grant", "remove", "app", "web")
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline().strip() for _ in range(2)] == ["Refused 0x83 True", "[]"]
        vault.cli("guest", "remove", "app")
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "True"
        assert process.stdout.readline().strip() == "ValueError the device is closed"


def test_threads(vault: Keystored) -> None:
    """One device, many threads; closing it waits for their calls, and those after it are told."""
    socket = vault.add_guest("app")
    vault.api.generate("web", "ec-p256")
    vault.api.grant("app", "web", ("sign", "verify"))
    said, complaint = start(socket, "-c", THREADS).communicate()
    assert not complaint
    assert said.strip() == str([0] * 4 + [50] * 8)


def test_fork(vault: Keystored) -> None:
    """A child closes the device at once, whatever its parent's threads were at; the parent goes on."""
    said, complaint = start(vault.add_guest("app"), "-c", FORKS).communicate(timeout=60)
    assert not complaint
    assert said.strip() == "16"
