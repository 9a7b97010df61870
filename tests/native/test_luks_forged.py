# SPDX-License-Identifier: Apache-2.0
"""Disks that somebody changed who can write them: the vault gives nothing for a header that is not the one enrolled."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from framework.luks import luks_format, metadata
from framework.luks_host import Host


def test_token_of_another_header(enrolled: Host, tmp_path: Path) -> None:
    """Copied with its keyslot's number it gives nothing: the vault opens it for the disk it was made for."""
    with metadata(enrolled.disk) as parts:
        token = parts["tokens"]["0"]
    other = Host(enrolled.vault, luks_format(tmp_path / "other"))
    with metadata(other.disk) as parts:
        parts["tokens"]["0"] = token | {"keyslots": ["0"]}
    assert "changed, or made for another header" in other.refused("secret")


def set_token(name: str, value: Any) -> Callable[[Any], None]:
    """Change one member of the vault's token."""

    def change(parts: Any) -> None:
        parts["tokens"]["0"][name] = value

    return change


def set_keyslot(*path: str, value: Any) -> Callable[[Any], None]:
    """Change one member of the vault's keyslot."""

    def change(parts: Any) -> None:
        place = parts["keyslots"]["1"]
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


def set_segment(name: str, value: Any) -> Callable[[Any], None]:
    """Change what the header says of the data."""

    def change(parts: Any) -> None:
        parts["segments"]["0"][name] = value

    return change


def second_segment(parts: Any) -> None:
    """Have the disk be of two parts, one of them as it was."""
    first = parts["segments"]["0"]
    parts["segments"]["1"] = first | {"offset": str(int(first["offset"]) + (1 << 20))}
    first["size"] = str(1 << 20)
    parts["digests"]["0"]["segments"].append("1")


def open_to_all(parts: Any) -> None:
    """Forge the keyslot of the passphrase, which a keyscript's cryptsetup may try first."""
    parts["keyslots"]["0"]["area"]["encryption"] = "null"


def flip_sealed(parts: Any) -> None:
    """Change one bit of the sealed secret."""
    sealed = parts["tokens"]["0"]["sealed"]
    parts["tokens"]["0"]["sealed"] = f"{int(sealed[0], 16) ^ 1:x}" + sealed[1:]


# Device mapper would take the key behind the name, and leave out the disk's own.
INJECTED = f"aes-xts-plain64 {'11' * 64} 0 /dev/null 0 1 sector_size:4096"
INTEGRITY = {"type": "none", "journal_encryption": "none", "journal_integrity": "none"}
NOT_OURS = "not encrypted as 'vks luks enroll' does it"
FORGED = {
    "version of the future": (set_token("version", 2), "the token is of version 2"),
    "version as text": (set_token("version", "1"), "it has no version"),
    "version of a thousand digits": (set_token("version", 10**1000), "version"),
    "key too short": (set_token("key", "00" * 15), "it names no key"),
    "key in capitals": (set_token("key", "AB" * 16), "it names no key"),
    "key of another": (set_token("key", "00" * 16), "the vault refuses"),
    "key as number": (set_token("key", 7), "it names no key"),
    "key version 0": (set_token("key_version", 0), "it names no key"),
    "key version negative": (set_token("key_version", -1), "it names no key"),
    "key version of 33 bits": (set_token("key_version", 1 << 32), "it names no key"),
    "no such key version": (set_token("key_version", 999), "the vault refuses"),
    "label for a terminal": (set_token("label", "\x1b[2J"), "its label is none"),
    "label with NUL": (set_token("label", "disks\0x"), "its label is none"),
    "label too long": (set_token("label", "x" * 64), "its label is none"),
    "no label": (set_token("label", None), "its label is none"),
    "sealed too short": (set_token("sealed", "00" * 59), "its sealed secret has another form"),
    "sealed too long": (set_token("sealed", "00" * 61), "its sealed secret has another form"),
    "sealed not hex": (set_token("sealed", "zz" * 60), "its sealed secret has another form"),
    "sealed a list": (set_token("sealed", ["00"] * 60), "its sealed secret has another form"),
    "sealed of zeros": (set_token("sealed", "00" * 60), "was changed"),
    "sealed with a flipped bit": (flip_sealed, "was changed"),
    "keyslot of the null cipher": (set_keyslot("area", "encryption", value="cipher_null-ecb"), NOT_OURS),
    "keyslot with a key of one byte": (set_keyslot("area", "key_size", value=1), NOT_OURS),
    "keyslot with another hash": (set_keyslot("kdf", "hash", value="sha1"), NOT_OURS),
    "keyslot of the null cipher, short": (set_keyslot("area", "encryption", value="null"), NOT_OURS),
    "keyslot of another cipher": (set_keyslot("area", "encryption", value="aes-cbc-essiv:sha256"), NOT_OURS),
    "keyslot with another size of volume key": (set_keyslot("key_size", value=32), NOT_OURS),
    "another keyslot of the null cipher": (open_to_all, "keyslot 0 is not encrypted"),
    "data of the null cipher": (set_segment("encryption", "cipher_null-ecb"), "the data of this disk is not encrypted"),
    "data of the null cipher, short": (set_segment("encryption", "null"), "the data of this disk is not encrypted"),
    "data of no cipher": (set_segment("type", "linear"), "the data of this disk is not encrypted"),
    "data with a key in the header": (set_segment("encryption", INJECTED), "names no cipher"),
    "data with more than a cipher": (set_segment("encryption", "aes-xts-plain64 00"), "names no cipher"),
    "data of a cipher with a long name": (set_segment("encryption", "aes-xts-plain64" + "4" * 64), "names no cipher"),
    "data with a tweak elsewhere": (set_segment("iv_tweak", "8"), "made for another header"),
    "data with integrity": (set_segment("integrity", INTEGRITY), "made for another header"),
    "data in two parts": (second_segment, "encrypted anew, or in parts"),
    "data under change": (set_segment("flags", ["in-reencryption"]), "encrypted anew, or in parts"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_header(enrolled: Host, name: str) -> None:
    """Whoever can write the disk gets no secret out of the vault for it, and a reason is given; list goes on."""
    change, reason = FORGED[name]
    with metadata(enrolled.disk) as parts:
        change(parts)
    for command in ("check", "secret"):
        assert reason in enrolled.refused(command)
    listed = enrolled.luks("list", "--json").stdout
    assert len(json.loads(listed)) == 1
    assert b"\x1b" not in listed
    said = enrolled.with_plugin("open", "--test-passphrase", "--token-only", enrolled.disk, ok=False)
    assert said.status


SEEN_BY_PLUGIN = [
    "keyslot of the null cipher",
    "keyslot with a key of one byte",
    "keyslot with another hash",
    "data of the null cipher",
    "data of no cipher",
    "data with a key in the header",
    "another keyslot of the null cipher",
    "sealed of zeros",
    "key of another",
]


@pytest.mark.parametrize("name", SEEN_BY_PLUGIN)
def test_plugin_looks_at_the_header_too(enrolled: Host, name: str) -> None:
    """Stock cryptsetup says the same reasons; what is no token it does not even show to the plugin."""
    change, reason = FORGED[name]
    with metadata(enrolled.disk) as parts:
        change(parts)
    said = enrolled.with_plugin("open", "--test-passphrase", "--token-only", enrolled.disk, ok=False)
    assert reason in said.stderr


@pytest.mark.parametrize("cipher", ["serpent-xts-plain64", "aes-cbc-essiv:sha256"])
def test_data_cipher_is_bound(enrolled: Host, cipher: str) -> None:
    """A header that says another cipher than at enrolment is not opened."""
    with metadata(enrolled.disk) as parts:
        parts["segments"]["0"]["encryption"] = cipher
    assert "changed, or made for another header" in enrolled.refused("secret")
