# SPDX-License-Identifier: Apache-2.0
"""The story: a vault, a virtual machine, keys, their use, refusal, record, and the search for what must not be there."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from framework.guest import Guest, GuestError
from framework.qemu import QemuGuest, qemu_version
from framework.secret_forms import Secret
from qemu_images.images import Image, qemu_image
from qemu_images.keystore import content

from demo.guest_acts import SIGNINGS, GuestActs
from demo.known_keys import KnownKey, make_known_keys
from demo.narration import DemoFailed, Narration, fail
from demo.searches import Searches
from demo.vault import Vault


class Demo:
    """What the steps share."""

    def __init__(self, folder: Path, narration: Narration, vault: Vault) -> None:
        self.folder = folder
        self.narration = narration
        self.vault = vault
        # Everything that names the guest or this key also shows that a search can find.
        self.mark = secrets.token_hex(8)
        self.guest_name = f"guest-{self.mark}"
        self.control_label = f"control-{self.mark}"
        self.known: list[KnownKey] = []
        self.passphrase: Secret | None = None

    def add_guest(self) -> list[str]:
        """Register the virtual machine; returns the QEMU options for it."""
        name, socket = self.guest_name, self.folder / "guest.sock"
        self.vault.cli("guest", "add", name, "--socket", socket)
        version = ".".join(str(part) for part in qemu_version(["qemu-system-x86_64"]))
        return shlex.split(self.vault.cli("qemu-args", name, "--qemu", version, "--accel", "tcg", "--memory", "256M"))

    def import_key(self, key: KnownKey) -> None:
        """Import a key that was made outside, and grant it to the guest."""
        self.vault.cli("key", "import", key.label, key.file, *key.import_options)
        self.vault.cli("grant", "add", self.guest_name, key.label, "--ops", key.ops)

    def add_keys(self) -> None:
        """Import the rest of the known keys, generate others, and grant all but one to the running guest."""
        for key in self.known[1:]:
            self.import_key(key)
        self.vault.cli("key", "generate", "backup", "--type", "ec-p384")
        self.vault.cli("key", "generate", "private", "--type", "ed25519")
        self.vault.cli("key", "generate", self.control_label, "--type", "hmac-sha256")
        self.vault.cli("key", "list")
        self.vault.cli("grant", "add", self.guest_name, "backup", "--ops", "sign")
        self.vault.cli("grant", "add", self.guest_name, self.control_label, "--ops", "mac")

    def use_keys(self, acts: GuestActs) -> None:
        """Encrypt, decrypt, MAC in the guest, be refused, and find it all on record."""
        narration = self.narration
        raw = {key.label: key.raw for key in self.known}
        with narration.step("the guest encrypts, decrypts and makes a MAC"):
            acts.encrypt("disk", raw["disk"])
            acts.mac("token", raw["token"])
        with narration.step("what is not granted does not exist"):
            without = acts.run("vks sign private <document", refused=True)
            absent = acts.run("vks sign no-such-key <document", refused=True)
            same = without.stderr.replace(b"private", b"X") == absent.stderr.replace(b"no-such-key", b"X")
            narration.require(same, "a foreign key looks exactly like an absent one")
            acts.run("vks encrypt tls <document", refused=True)
            acts.run("vks sign backup <document >backup.sig")
            acts.run("vks verify backup backup.sig <document", refused=True)
            narration.tell("the key is granted for signing only; the device refused, and the refusal is on record")
        with narration.step("a grant is revoked, and the running guest is refused at once"):
            self.vault.cli("grant", "remove", self.guest_name, "backup")
            acts.run("vks sign backup <document", refused=True)
            acts.run("vks sign tls <document >again.sig && echo the other keys still work")
        with narration.step("every use is on record"):
            acts.run(f"vks mac {self.control_label} <document >control.mac")
            self.vault.cli("audit", "tail", "--count", "22")
            self.vault.cli("audit", "verify")

    def control(self) -> Secret:
        """What went the same ways as the keys' uses, and must be found wherever a search looks."""
        key = self.vault.facts("key", "show", self.control_label)
        return Secret(
            "control",
            {
                "key label bytes": self.control_label.encode(),
                "guest name bytes": self.guest_name.encode(),
                "key id bytes": bytes.fromhex(key["id"]),
            },
        )

    def search(self, guest: QemuGuest) -> None:
        """Look for the imported keys everywhere."""
        if self.passphrase is None:
            raise DemoFailed("no keys were imported")
        keys = [*(key.secret for key in self.known), self.passphrase]
        searches = Searches(self.narration, keys, self.control())
        searches.ordinary_program(self.known, self.folder / "known/passphrase")
        memory = self.folder / "guest-memory"
        guest.run(f"vks list >list; echo {self.control_label} >mark")
        guest.save_memory(memory)
        searches.file(memory, "the guest's whole memory")
        memory.unlink()
        searches.tree(self.vault.state_dir, "store and audit files")
        searches.tree(self.vault.runtime_dir, "state memory")
        searches.file(self.vault.log, "keystored's log")
        searches.process(self.vault.pid, "keystored's memory")
        for name, pid in self.processes():
            searches.process(pid, f"memory of {name}", controlled=name == "vks-worker")

    def processes(self) -> list[tuple[str, int]]:
        """The C programs that keystored started, and what they started."""
        found: list[tuple[str, int]] = []
        parents = {self.vault.pid}
        stats = sorted((int(path.name), path) for path in Path("/proc").iterdir() if path.name.isdigit())
        for pid, path in stats:
            try:
                head, _, rest = (path / "stat").read_text().rpartition(")")
            except OSError:
                continue  # it ended meanwhile
            if int(rest.split()[1]) in parents:
                parents.add(pid)
                found.append((head.partition("(")[2], pid))
        return found


def build_image(narration: Narration) -> Image:
    """Build or find the tiny image."""
    with narration.step("guest image: Debian's kernel, busybox, our module and vks"):
        image = qemu_image("cloud", content())
        narration.tell(f"kernel {image.release}, initramfs {image.initrd.stat().st_size >> 10} KiB")
    return image


def tell(demo: Demo, image: Image, stack: ExitStack) -> None:
    """Tell the story from the first guest to the last search."""
    narration = demo.narration
    with narration.step("a guest gets its socket; stock QEMU boots while the first key is imported"):
        options = demo.add_guest()
        guest = QemuGuest(image.kernel, image.initrd, devices=options)
        booting: Future[Guest] = stack.enter_context(ThreadPoolExecutor(1)).submit(stack.enter_context, guest)
        demo.known, demo.passphrase = make_known_keys(demo.folder / "known")
        demo.import_key(demo.known[0])
        booting.result()
        narration.tell(f"booted in {guest.boot_seconds:.1f} s")
    with narration.step("the guest signs a file, the host verifies it with openssl"):
        acts = GuestActs(guest, demo.vault, narration, demo.folder)
        acts.prepare()
        acts.run("vks info")
        acts.sign(SIGNINGS[0])
        narration.tell(f"first signature {narration.seconds:.1f} s after the start")
    with narration.step("more keys for the running guest: imported, or generated inside"):
        demo.add_keys()
        acts.run("vks list")
    with narration.step("Ed25519, from a file with a passphrase, and RSA-PSS"):
        for signing in SIGNINGS[1:]:
            acts.sign(signing)
    demo.use_keys(acts)
    with narration.step("the search: are the imported keys anywhere they must not be?"):
        demo.search(guest)


def run(narration: Narration) -> None:
    """Run the demo in a folder that is gone afterwards."""
    image = build_image(narration)
    with tempfile.TemporaryDirectory(prefix="vks-demo-") as name, ExitStack() as stack:
        folder = Path(name)
        with narration.step("keystored starts with an empty state folder"):
            vault = stack.enter_context(Vault(folder, narration))
            vault.cli("status")
        with ExitStack() as guests:
            tell(Demo(folder, narration, vault), image, guests)
        with narration.step("the end"):
            narration.require(vault.stop() == os.EX_OK, "keystored ends cleanly on SIGTERM")


def main() -> int:
    """Returns the exit status; the last line says how it went."""
    narration = Narration()
    try:
        run(narration)
    except (DemoFailed, GuestError) as error:
        return fail(narration, str(error))
    except subprocess.CalledProcessError as error:
        return fail(narration, f"{shlex.join(map(str, error.cmd))}: {error.stderr}")
    except (OSError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        return fail(narration, f"{type(error).__name__}: {error}")
    print(f"\n{narration.seconds:.1f} s in all\ndemo: ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
