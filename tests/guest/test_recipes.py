# SPDX-License-Identifier: Apache-2.0
"""Programs of Debian 13 that know nothing of the vault, in a guest, by the scripts that users copy: docs/recipes.

The guest is user-mode Linux with a Debian 13 to run from: /dev/keystore0, kernel module and worker are the real ones.
"""

import os
import shlex
import signal
from pathlib import Path

import pytest
from framework.guest import Guest
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.recipes import Recipe, recipe, recipes
from guest.boot import Boot
from pkcs11.web_server import worker_pid
from qemu_images.keystore import content
from qemu_images.userland import KEYSTORE_GROUP, userland

pytestmark = pytest.mark.uml
SECONDS = 60
REQUESTS = 4
ELSEWHERE = ("java.sh", "openssl-engine.sh")
ENTER = """
chgrp {group} /dev/keystore0 && chmod 660 /dev/keystore0 || exit 1
mkdir -p /debian && mount -t hostfs -o ro,{root} debian /debian
for name in dev proc sys; do mount -o bind /$name /debian/$name || exit 1; done
for name in run tmp var/log; do mount -t tmpfs tmpfs /debian/$name || exit 1; done
"""
ASK = "while read -r line; do curl -sS --cacert web.pem https://localhost:{port}/; done"


def debian_guest(boot: Boot, socket: Path) -> Guest:
    """Boot a guest with one device and a Debian 13 in /debian."""
    guest = boot("uml-plain", content(), devices=[(socket, 20)])
    guest.run(ENTER.format(root=userland(), group=KEYSTORE_GROUP))
    return guest


def command(script: Recipe, *arguments: str) -> str:
    """The command line that runs a recipe in an empty folder of the guest's Debian."""
    variables = "HOME=/tmp PATH=/usr/sbin:/usr/bin"
    path = f"/usr/share/doc/vks-pkcs11/recipes/{script.path.name}"
    inside = f"mkdir /tmp/work && cd /tmp/work && exec sh {path} {shlex.join(arguments)}"
    return f"exec chroot /debian /usr/bin/env -i {variables} sh -c {shlex.quote(inside)}"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("script", recipes(*ELSEWHERE), ids=lambda script: script.name)
def test_recipe(script: Recipe, shared_vault: Keystored, boot: Boot) -> None:
    """It does what it says, by its own checks; and every one of its keys signed in the vault."""
    name = f"guest-{script.name}"
    socket = shared_vault.add_guest(name)
    script.prepare(shared_vault, name)
    debian_guest(boot, socket).run(command(script), timeout=SECONDS)
    assert script.labels
    assert not script.unused(shared_vault, name)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "port"), [("nginx", 4443), ("apache", 4444)])
def test_worker_is_killed(name: str, port: int, vault: Keystored, boot: Boot) -> None:
    """Between the requests of a server that was reloaded: its processes do not notice."""
    script = recipe(f"{name}.sh")
    socket = vault.add_guest("web")
    script.prepare(vault, "web")
    server = debian_guest(boot, socket).start(command(script, "sh", "-c", ASK.format(port=port)))
    assert server.wait_for_output(b"served again", SECONDS), server.stderr.decode()
    for number in range(REQUESTS):
        pid = worker_pid(vault, "web")
        os.kill(pid, signal.SIGKILL)
        server.send(b"\n")
        assert wait_for(lambda: server.stdout.count(b"served again") == 2 + number)  # noqa: B023 - called here and now
        assert worker_pid(vault, "web") != pid
    server.end_input()
    assert server.wait(SECONDS)
    assert server.status == 0, server.stderr.decode()
