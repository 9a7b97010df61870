# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token opens the keys (SoftHSM2): at each start, for each custodian; another one, or none, opens nothing.

Who is killed at which step of a change is tested in ``test_root_of_trust.py`` without a token: the steps are the same
for every kind, and what a token adds comes before the first of them.
"""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from framework.backups import restore
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import descendants
from framework.ring_guest import ring_guest
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from framework.software_hsm import KEY_LABEL, LABEL, MODULE, SoftwareHsm
from workers.test_root_of_trust import custodian_pid, kill_custodian

from vmm_keystore._vks import lib
from vmm_keystore.workers.hsm import PROGRAM

MODULE_HINT = "hint: the module must be for this machine; what it writes to its own log may say why"
WRONG_PIN = "vmm-keystore: this is not the token's pin\nhint: it is not tried again by itself; each wrong try counts\n"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="a module that is compiled here must be root's")


@pytest.fixture
def hsm() -> Iterator[SoftwareHsm]:
    with SoftwareHsm() as made:
        yield made


def keystored(hsm: SoftwareHsm, module: Path = MODULE, *others: str) -> Keystored:
    return Keystored(program=hsm.program, arguments=hsm.arguments(module, *others))


def with_keys(vault: Keystored) -> Keystored:
    vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    return vault


def seal(vault: Keystored) -> None:
    said = vault.cli("root", "change", "hsm").stdout
    assert said.startswith("1 key versions sealed anew; opened by the file and a pkcs#11 token\n")


@pytest.fixture
def vault(hsm: SoftwareHsm) -> Iterator[Keystored]:
    """One whose keys this token opens."""
    with keystored(hsm) as started:
        seal(with_keys(started))
        yield started


@pytest.fixture
def shim(hsm: SoftwareHsm) -> Path:
    """The module that counts logins and causes trouble."""
    return hsm.compile_shim()


@pytest.fixture
def troubled(hsm: SoftwareHsm, shim: Path) -> Iterator[Keystored]:
    """A vault that the token opens through that module."""
    with keystored(hsm, shim) as started:
        seal(with_keys(started))
        yield started


def sign(vault: Keystored) -> int:
    with ring_guest(vault.folder / "g.sock") as guest:
        return guest.sign("key", b"m").status


def refused_start(vault: Keystored, said: str) -> None:
    """Start it in vain."""
    with pytest.raises(AssertionError, match=re.escape(said)):
        vault.start()


def refused_change(vault: Keystored) -> list[str]:
    """Change the root of trust in vain; what is said, and that nothing was changed."""
    before = (vault.state_dir / "kek").read_bytes()
    said = vault.cli("root", "change", "hsm", ok=False).stderr.splitlines()
    assert [path.name for path in vault.state_dir.glob("kek*")] == ["kek"]
    assert (vault.state_dir / "kek").read_bytes() == before
    assert sign(vault) == lib.VKS_STATUS_OK
    return said


@dataclass(frozen=True)
class Seen:
    """What the kernel says of a process: status and limits, names of its variables, what its descriptors are."""

    status: str
    variables: set[str]
    files: list[str]


def look_at(pid: int) -> Seen:
    folder = Path(f"/proc/{pid}")
    words = (folder / "environ").read_bytes().split(b"\0")
    files = [str(path.readlink()) for path in (folder / "fd").iterdir()]
    status = (folder / "status").read_text() + (folder / "limits").read_text()
    return Seen(status, {word.split(b"=")[0].decode() for word in words if word}, files)


def test_each_start_is_opened(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Without anybody there; and the custodian's as well."""
    root = vault.facts("root", "show")
    blob = (vault.state_dir / "kek").read_bytes()[112:-32]
    assert (root["kind"], len(blob), blob[0]) == ("hsm", 65, 1)
    assert root["token"] == {"label": LABEL, "serial": blob[1:17].decode()}
    assert f"token:     {LABEL}, serial number {blob[1:17].decode()}\n" in vault.cli("root", "show").stdout
    kill_custodian(vault)
    assert vault.facts("root", "show") == root
    vault.api.post("/keys/key/rotate")
    vault.kill_all()
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK
    assert vault.facts("root", "show") == root
    vault.cli("root", "change", "file")
    assert vault.facts("root", "show")["token"] is None
    vault.stop()
    with Keystored(vault.folder) as without:
        assert sign(without) == lib.VKS_STATUS_OK
    vault.start()
    assert hsm.keys() == 1


def test_one_key_for_every_change(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Each change has random bytes of its own; the token's key stays the same, and stays there."""
    before = (vault.state_dir / "kek").read_bytes()[112:-32]
    vault.cli("root", "change", "hsm")
    after = (vault.state_dir / "kek").read_bytes()[112:-32]
    assert (before[:33], len(after)) == (after[:33], 65)
    assert before[33:] != after[33:]
    assert hsm.keys() == 1
    vault.stop()
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


def test_another_token_opens_nothing(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Of the same label and PIN; nor is there a start without one. The keys are there when the right one is back."""
    serial = vault.facts("root", "show")["token"]["serial"]
    vault.stop()
    aside = hsm.folder / "aside"
    shutil.move(hsm.tokens, aside)
    hsm.tokens.mkdir()
    absent = f"vmm-keystore: the token that the kek is sealed to is not there\nhint: no other token opens it; its serial number is {serial}\n"
    refused_start(vault, absent)
    hsm.add_token(LABEL)
    refused_start(vault, absent)
    shutil.rmtree(hsm.tokens)
    shutil.move(aside, hsm.tokens)
    with pytest.raises(
        AssertionError, match=r"sealed to a pkcs#11 token, and none was named\nhint: serve --hsm-module P"
    ):
        Keystored(vault.folder).start()
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


def test_key_that_is_gone(vault: Keystored, hsm: SoftwareHsm) -> None:
    """It is said, and nothing is made in its place; the key back, everything opens."""
    vault.stop()
    (token,) = hsm.tokens.iterdir()
    (key,) = (path for path in token.glob("*.object") if path.name != "token.object")
    aside = hsm.folder / "key"
    shutil.move(key, aside)
    refused_start(vault, "vmm-keystore: the token has lost the key that opens the kek\nhint: without it take a backup")
    assert hsm.keys() == 0
    shutil.move(aside, key)
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


def test_module_that_is_none(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Each kind of it has a sentence of its own."""
    vault.stop()
    text = hsm.folder / "text.so"
    text.write_text("no library")
    writable = hsm.folder / "writable.so"
    shutil.copy(MODULE, writable)
    writable.chmod(0o646)
    libz = next(Path("/usr/lib").glob("*/libz.so.1"))
    for module, said in (
        (Path("/none.so"), "there is no pkcs#11 module at this path\nhint: serve --hsm-module PATH says where it is"),
        (libz, "this is no pkcs#11 module\nhint: serve --hsm-module takes the library that the vendor names"),
        (writable, "somebody else than root could change the pkcs#11 module\nhint: it and every folder above it must"),
        (text, "the pkcs#11 module cannot be loaded\nhint: it must be a library for this machine"),
    ):
        if os.geteuid() == 0 or hsm.folder not in module.parents:
            other = Keystored(vault.folder, program=hsm.program, arguments=hsm.arguments(module))
            refused_start(other, f"vmm-keystore: {said}")
    folder = hsm.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    shutil.copy(MODULE, folder / "module.so")
    other = Keystored(vault.folder, program=hsm.program, arguments=hsm.arguments(folder / "module.so"))
    refused_start(other, "vmm-keystore: somebody else than root could change the pkcs#11 module\n")
    hsm.configuration.rename(hsm.folder / "away")
    refused_start(vault, "vmm-keystore: the pkcs#11 module does not start\nhint: its configuration must be there")
    (hsm.folder / "away").rename(hsm.configuration)
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


@only_root
def test_wrong_pin_is_tried_once(troubled: Keystored, hsm: SoftwareHsm, shim: Path) -> None:
    """By a start, which ends with a status that the unit knows; and by a custodian, however often it is restarted."""
    troubled.stop()
    before, right = hsm.logins(), hsm.pin
    hsm.write_pin("1234567")
    folders = ("--state-dir", str(troubled.state_dir), "--runtime-dir", str(troubled.runtime_dir))
    command = [*hsm.program, "serve", *folders, *hsm.arguments(shim)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (4, WRONG_PIN)
    assert hsm.logins() == before + 1
    hsm.write_pin(right)
    troubled.start()
    hsm.change_pin("another-pin-0123456")
    before = hsm.logins()
    os.kill(custodian_pid(troubled), 9)
    failed = "vks-custodian could not be restarted: this is not the token's pin"
    wait_for(lambda: troubled.log_text.count(failed) > 3)
    assert hsm.logins() == before + 1
    hsm.write_pin(hsm.pin)
    wait_for(lambda: "vks-custodian restarted" in troubled.log_text)
    assert hsm.logins() == before + 2
    assert sign(troubled) == lib.VKS_STATUS_OK


@only_root
@pytest.mark.parametrize(
    ("trouble", "said", "logins"),
    [
        ("final try", "one more wrong pin locks the token, so it was not asked", 0),
        ("locked", "the token's user pin is locked", 0),
        ("locks", "the token's user pin is locked", 1),
        ("does not start", "the pkcs#11 module does not start", 0),
        ("crashes", "the pkcs#11 module crashed: aborted", 1),
        ("ends", "the pkcs#11 module ended the program that it was loaded into", 1),
        ("short", "the pkcs#11 module gave an answer that makes no sense", 1),
        ("endless slots", "the pkcs#11 module gave an answer that makes no sense", 0),
        ("endless objects", "the pkcs#11 module gave an answer that makes no sense", 1),
    ],
)
def test_trouble(troubled: Keystored, hsm: SoftwareHsm, trouble: str, said: str, logins: int) -> None:
    """With the token or its module: each is told apart, for a start as for a change, and nothing is lost."""
    hsm.cause(trouble)
    before = hsm.logins()
    assert refused_change(troubled)[0] == f"vmm-keystore: {said}"
    assert hsm.logins() == before + logins
    troubled.stop()
    refused_start(troubled, f"vmm-keystore: {said}\n")
    hsm.cause("")
    troubled.start()
    assert sign(troubled) == lib.VKS_STATUS_OK


@only_root
def test_mac_that_is_never_the_same(troubled: Keystored, hsm: SoftwareHsm) -> None:
    """Nothing is sealed to what would not open again."""
    hsm.cause("unsteady")
    assert refused_change(troubled)[0] == "vmm-keystore: the token computes two macs of the same bytes"
    hsm.cause("")


@only_root
def test_pin_that_cannot_be_one(troubled: Keystored, hsm: SoftwareHsm) -> None:
    """The token is not even asked."""
    before = hsm.logins()
    for pin in ("", "x", "x" * 300):
        hsm.write_pin(pin)
        assert refused_change(troubled)[0].startswith(
            "vmm-keystore: what is in the pin's file cannot be this token's pin"
        )
    assert hsm.logins() == before
    hsm.write_pin(hsm.pin + "\r\nnot the pin")
    seal(troubled)
    hsm.write_pin(hsm.pin)


@only_root
def test_module_that_hangs_costs_a_change_only(troubled: Keystored, hsm: SoftwareHsm) -> None:
    """It is ended after a while; guests, and what needs no token, go on meanwhile. How it runs is looked at then."""
    hsm.cause("hangs")
    started = time.monotonic()
    seen: list[Seen] = []

    def look() -> None:
        wait_for((hsm.folder / "hanging").exists)
        seen.extend(look_at(child.pid) for child in descendants(troubled.pid) if child.role == PROGRAM)

    with ring_guest(troubled.folder / "g.sock") as guest:
        watcher = threading.Thread(target=look)
        watcher.start()
        said = troubled.cli("root", "change", "hsm", ok=False).stderr.splitlines()
        watcher.join()
        assert said == ["vmm-keystore: the token did not answer within 30 s", MODULE_HINT]
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    assert 30 <= time.monotonic() - started < 40
    assert [child for child in descendants(troubled.pid) if child.role == PROGRAM] == []
    assert [path.name for path in troubled.state_dir.glob("kek*")] == ["kek"]
    hsm.cause("")
    (found,) = seen
    for line in (r"CapEff:\t0+$", r"CapPrm:\t0+$", r"CapBnd:\t0+$", r"NoNewPrivs:\t1$", r"Max core file size +0 +0 "):
        assert re.search(line, found.status, re.MULTILINE), line
    assert found.variables == set(hsm.environment)
    assert not [path for path in found.files if str(troubled.state_dir) in path or "socket" in path]


def test_key_that_could_leave_the_token(hsm: SoftwareHsm) -> None:
    """One that somebody made under our name is not used, nor removed."""
    hsm.tool("--keygen", "--key-type", "GENERIC:32", "--label", KEY_LABEL, "--id", "aa" * 16, "--extractable")
    with keystored(hsm) as started:
        with_keys(started)
        assert refused_change(started)[0] == (
            'vmm-keystore: the token\'s key "vmm-keystore root" is not fit to open a kek'
        )
    assert hsm.keys() == 1


def test_key_with_a_short_id(hsm: SoftwareHsm) -> None:
    """It could not be found again by the blob."""
    words = ("--keygen", "--key-type", "GENERIC:32", "--label", KEY_LABEL, "--id", "aa", "--sensitive")
    hsm.tool(*words, "--usage-sign", "--private")
    with keystored(hsm) as started:
        with_keys(started)
        assert refused_change(started)[0].endswith("has no id of 16 bytes")


def test_several_tokens(hsm: SoftwareHsm) -> None:
    """To seal to one takes its label; to open takes what the blob says."""
    hsm.add_token("other")
    with keystored(hsm) as unnamed:
        with_keys(unnamed)
        assert refused_change(unnamed) == [
            "vmm-keystore: several tokens could be meant",
            "hint: serve --hsm-token LABEL says which, by a label of its own",
        ]
        unnamed.stop()
        for label, said in (("none", "there is no such token"), ("x" * 33, "there is no such token")):
            named = Keystored(
                unnamed.folder, program=hsm.program, arguments=hsm.arguments(MODULE, "--hsm-token", label)
            )
            with named:
                assert refused_change(named)[0] == f"vmm-keystore: {said}"
        chosen = Keystored(unnamed.folder, program=hsm.program, arguments=hsm.arguments(MODULE, "--hsm-token", "other"))
        with chosen:
            seal(chosen)
            assert chosen.facts("root", "show")["token"]["label"] == "other"
        unnamed.start()
        assert unnamed.facts("root", "show")["token"]["label"] == "other"


def test_without_a_token() -> None:
    """What a person reads."""
    with Keystored() as plain:
        assert plain.cli("root", "change", "hsm", ok=False).stderr.splitlines() == [
            "vmm-keystore: keystored was started without a pkcs#11 token",
            "hint: serve --hsm-module PATH --hsm-pin FILE say what opens it",
        ]
        for options, said in (
            (("--hsm-pin", "/x"), "--hsm-token, --hsm-pin and --hsm-env go with --hsm-module"),
            (("--hsm-module", "/x"), "--hsm-module takes --hsm-pin FILE, the file with the token's pin"),
            (("--hsm-module", "x", "--hsm-pin", "/x"), "--hsm-module takes an absolute path, which x is not"),
            (
                ("--hsm-module", "/x", "--hsm-pin", "/none"),
                "cannot open the token's pin /none: no such file or directory",
            ),
            (("--hsm-module", "/x", "--hsm-pin", "/x", "--hsm-env", "A=1"), "--hsm-env takes the name of a variable"),
            (
                ("--hsm-module", "/x", "--hsm-pin", "/x", "--hsm-env", "LD_PRELOAD"),
                "--hsm-env does not take LD_PRELOAD",
            ),
        ):
            assert said in plain.cli("serve", *options, ok=False).stderr


def test_damaged_file_costs_no_try(vault: Keystored) -> None:
    """It is said of the file, not of the token."""
    vault.stop()
    path = vault.state_dir / "kek"
    good = path.read_bytes()
    for position in (19, 140, len(good) - 1):
        damaged = bytearray(good)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        refused_start(vault, "vmm-keystore: the kek is damaged\n")
    path.write_bytes(good)
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


def test_backup_is_restored_with_the_token(vault: Keystored, hsm: SoftwareHsm, tmp_path: Path) -> None:
    """On whatever machine it is plugged into; without it the backup's KEK is refused."""
    vault.cli("backup", tmp_path / "backup")
    (tmp_path / "kek").write_bytes((vault.state_dir / "kek").read_bytes())
    vault.stop()
    key = ("--root-key", tmp_path / "kek")
    refused = restore(vault, tmp_path / "backup", *key, ok=False)
    assert "sealed to a pkcs#11 token, and none was named" in refused.stderr
    for name, value in hsm.environment.items():
        os.environ[name] = value
    try:
        restore(vault, tmp_path / "backup", *key, *hsm.arguments())
    finally:
        for name in hsm.environment:
            del os.environ[name]
    vault.start()


@only_root
def test_pin_is_in_no_python_process(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Nor in any other of ours, in arguments, environments or the log; what else stands in the file is the control."""
    kill_custodian(vault)
    seal(vault)
    pids = [vault.pid, *(child.pid for child in descendants(vault.pid))]
    known = secret_bytes("pin", hsm.pin.encode())
    planted = secret_bytes("control", str(hsm.pin_file).encode())
    search = SecretSearch([known, planted])
    reports = [search.in_process(pid) for pid in pids]
    assert len(reports) >= 4
    assert [hit for report in reports for hit in report.of([known])] == []
    assert reports[0].of([planted])
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert hsm.pin.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert str(hsm.pin_file).encode() in Path(f"/proc/{vault.pid}/cmdline").read_bytes()
    assert hsm.pin not in vault.log_text
    stored = [path for path in vault.state_dir.rglob("*") if path.is_file()]
    assert not any(hsm.pin.encode() in path.read_bytes() for path in stored)
