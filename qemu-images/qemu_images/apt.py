# SPDX-License-Identifier: Apache-2.0
"""Packages of a Debian release, through apt with a state of its own.

The mirror is the one this machine uses for Debian; apt checks its signatures with the machine's Debian archive keyring.
The machine's own package lists, sources and installed packages are neither used nor touched.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qemu_images.cache import cache_root, locked, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")


class AptError(Exception):
    """apt could not find or fetch something."""


class WrongChecksum(AptError):
    """A file is signed by the archive, and yet not the one that was tested under this version."""


@dataclass(frozen=True)
class Package:
    """One exact package of a suite."""

    name: str
    suite: str
    version: str
    sha256: str


def _source_lines() -> Iterator[tuple[str, str]]:
    """(URI, suite) pairs of the machine's apt sources, both formats."""
    for path in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"(?im)^(URIs|Suites):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza))
                for uri in fields.get("URIs", "").split():
                    for suite in fields.get("Suites", "").split():
                        yield uri, suite
        elif path.suffix == ".list":
            for match in re.finditer(r"(?m)^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text):
                yield match[1], match[2]


def mirrors() -> tuple[str, str | None]:
    """The machine's mirrors: of Debian itself and, if it has one, of its security suites."""
    debian = security = None
    for uri, suite in _source_lines():
        if re.fullmatch(r"(bookworm|trixie|forky)-security(/updates)?|(stable|oldstable)-security", suite):
            security = security or uri
        elif re.fullmatch(r"bookworm|trixie|forky|stable|oldstable|testing", suite):
            debian = debian or uri
    if debian is None:
        raise AptError(f"no Debian mirror in {SOURCES}\nhint: a sources entry for bookworm or trixie is needed")
    return debian, security


class Apt:
    """apt for one release (``bookworm``, ``trixie``, ``forky``), with lists and cache under the user's cache."""

    def __init__(self, release: str) -> None:
        self.release = release
        self._root = cache_root() / "apt" / release
        self._fresh = False
        empty = self._root / "none"
        for folder in (empty, self._root / "lists/partial", self._root / "cache/archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        (self._root / "status").touch()
        settings = {
            "Dir::Etc::sourcelist": self._root / "sources.list",
            "Dir::Etc::sourceparts": empty,
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": empty,
            "Dir::State": self._root,
            "Dir::State::lists": self._root / "lists",
            "Dir::State::status": self._root / "status",
            "Dir::Cache": self._root / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def _run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [program, *self._options, "-q", *words], cwd=cwd, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AptError(f"{program} {' '.join(words[:4])}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def update(self) -> None:
        """Fetch the lists, once in the life of this object."""
        if self._fresh:
            return
        say(f"package lists of {self.release}")
        debian, security = mirrors()
        trusted = f"deb [signed-by={KEYRING}]"
        suites = [self.release, f"{self.release}-updates"]
        if self.release == "trixie":  # bookworm's backports are of no use here and archived first; testing has none
            suites.append(f"{self.release}-backports")
        lines = [f"{trusted} {debian} {suite} main" for suite in suites]
        if security:
            lines.append(f"{trusted} {security} {self.release}-security main")
        with locked(self._root / "lock"):
            (self._root / "sources.list").write_text("\n".join(lines) + "\n")
            self._run("apt-get", "update")
        self._fresh = True

    def resolve(self, wanted: Sequence[str]) -> list[Package]:
        """*wanted* (``name`` or ``name/suite``) and all they depend on, as the suite has them now."""
        self.update()
        plan = self._run("apt-get", "-y", "--no-install-recommends", "--print-uris", "install", *wanted)
        names = re.findall(r"(?m)^'\S+' ([^_\s]+)_(\S+?)_(?:amd64|all)\.deb ", plan)
        if not names:
            raise AptError(f"apt found nothing to install for {' '.join(wanted)}")
        return self.records([(name, version.replace("%3a", ":")) for name, version in names])

    def records(self, names: Sequence[tuple[str, str]]) -> list[Package]:
        """The records of (name, version) pairs in the signed lists."""
        text = self._run("apt-cache", "show", *(f"{name}={version}" for name, version in names))
        checksums: dict[tuple[str, str], str] = {}
        for stanza in text.split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Package|Version|SHA256): (\S+)$", stanza))
            if len(fields) == 3:
                checksums[fields["Package"], fields["Version"]] = fields["SHA256"]
        suites: dict[tuple[str, str], str] = {}
        for line in self._run("apt-cache", "madison", *{name for name, _ in names}).splitlines():
            name, version, origin = (part.strip() for part in line.split("|"))
            suites.setdefault((name, version), origin.split()[1].partition("/")[0])
        try:
            return [Package(name, suites[name, version], version, checksums[name, version]) for name, version in names]
        except KeyError as missing:
            raise AptError(f"no record of {missing}") from None

    def download(self, packages: Sequence[Package], folder: Path) -> None:
        """Fetch *packages* into *folder*; apt verifies them against the signed lists."""
        if not (self._root / "sources.list").exists():
            self.update()
        words = [f"{package.name}={package.version}" for package in packages]
        try:
            self._run("apt-get", "download", *words, cwd=folder)
        except AptError:
            if self._fresh:
                raise
            self.update()
            self._run("apt-get", "download", *words, cwd=folder)
