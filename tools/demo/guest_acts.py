# SPDX-License-Identifier: Apache-2.0
"""What the guest does with keys it never sees, and how the host checks it without asking the vault."""

from __future__ import annotations

import hmac
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from framework.guest import Completed, Guest

from demo.narration import DemoFailed, Narration
from demo.vault import Vault

DOCUMENT = b"".join(b"line %d of a file that only the guest wrote\n" % number for number in range(1, 21))


@dataclass(frozen=True)
class Signing:
    """A key, how the guest signs with it, and the words that make openssl verify that."""

    label: str
    title: str
    options: tuple[str, ...]
    verify: tuple[str, ...]


PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sigopt", "rsa_mgf1_md:sha256")
SIGNINGS = (
    Signing("tls", "ECDSA P-256", (), ("dgst", "-sha256", "-verify", "PEM", "-signature", "SIG", "FILE")),
    Signing(
        "login",
        "Ed25519",
        (),
        ("pkeyutl", "-verify", "-pubin", "-inkey", "PEM", "-rawin", "-in", "FILE", "-sigfile", "SIG"),
    ),
    Signing(
        "release",
        "RSA-PSS",
        ("--mechanism", "rsa-pss-sha256"),
        ("dgst", "-sha256", *PSS, "-verify", "PEM", "-signature", "SIG", "FILE"),
    ),
)


class GuestActs:
    """The guest's part of the story; files that cross over lie in *folder* on the host."""

    def __init__(self, guest: Guest, vault: Vault, narration: Narration, folder: Path) -> None:
        self._guest = guest
        self._vault = vault
        self._narration = narration
        self._folder = folder
        (folder / "document").write_bytes(DOCUMENT)

    def run(self, command: str, *, refused: bool = False) -> Completed:
        """Run a command in the guest and tell it; *refused* says that it has to fail."""
        self._narration.command("guest#", command)
        done = self._guest.run(command, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        self._narration.answer(text)
        if refused != (done.status != 0):
            raise DemoFailed(f"`{command}` ended with status {done.status}: {text.strip()}")
        return done

    def sign(self, signing: Signing) -> None:
        """Sign the document in the guest, verify it on the host with openssl, and see a changed one refused."""
        label = signing.label
        self.run(shlex.join(["vks", "sign", label, *signing.options]) + f" <document >{label}.sig")
        signature = self._folder / f"{label}.sig"
        signature.write_bytes(self._guest.pull(f"{label}.sig"))
        public = self._folder / f"{label}.pub"
        public.write_text(self._vault.cli("key", "public", label))
        changed = self._folder / "changed"
        changed.write_bytes(DOCUMENT.replace(b"line 7", b"line 8"))
        verified = self._openssl(signing, public, signature, self._folder / "document", show=True)
        self._narration.require(verified, f"openssl verifies the guest's {signing.title} signature")
        refused = not self._openssl(signing, public, signature, changed, show=False)
        self._narration.require(refused, "openssl refuses it for a changed file")
        self.run(f"vks verify {label} {label}.sig {' '.join(signing.options)}".rstrip() + " <document")

    def _openssl(self, signing: Signing, public: Path, signature: Path, document: Path, *, show: bool) -> bool:
        names = {"PEM": str(public), "SIG": str(signature), "FILE": str(document)}
        words = ["openssl", *(names.get(word, word) for word in signing.verify)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if show:
            short = [Path(word).name if word in names.values() else word for word in words]
            self._narration.command("host$", short)
            self._narration.answer(done.stdout + done.stderr)
        return done.returncode == 0

    def encrypt(self, label: str, known: bytes) -> None:
        """Encrypt and decrypt in the guest; decrypt on the host with the key the demo knows."""
        self.run(f"vks encrypt {label} <document >document.box")
        self.run(f"vks decrypt {label} <document.box | cmp - document && echo the same")
        box = self._guest.pull("document.box")
        self._narration.require(DOCUMENT not in box, "the box does not hold the file in the clear")
        opened = AESGCM(known).decrypt(box[:12], box[12:], None)
        self._narration.require(
            opened == DOCUMENT, "an independent AES-GCM on the host opens the box with the key it knows"
        )
        self.run("cp document.box torn.box; printf x | dd of=torn.box bs=1 seek=40 conv=notrunc 2>/dev/null")
        self.run(f"vks decrypt {label} <torn.box", refused=True)

    def mac(self, label: str, known: bytes) -> None:
        """Make a MAC in the guest, compare it with one made on the host, verify it in the guest."""
        self.run(f"vks mac {label} <document >document.mac")
        tag = self._guest.pull("document.mac")
        same = hmac.compare_digest(tag, hmac.digest(known, DOCUMENT, "sha256"))
        self._narration.require(same, "an independent HMAC-SHA-256 on the host gives the same tag")

    def prepare(self) -> None:
        """Put the document into the guest."""
        self._guest.push(DOCUMENT, "document")
