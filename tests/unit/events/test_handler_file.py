# SPDX-License-Identifier: Apache-2.0
"""The file that decides what keystored runs: who may change it, and what it may say."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vmm_keystore.errors import DaemonError
from vmm_keystore.events.exec_handler import ExecHandler
from vmm_keystore.events.handler_file import FILE_BYTES_MAX, HANDLERS_MAX, check_trusted, read_handlers
from vmm_keystore.events.webhook import Webhook
from vmm_keystore.policy.event import KINDS, Event, EventKind
from vmm_keystore.service.ports import EventHandler

PROGRAM = "/bin/true"


def run(program: Path, event: Event, timeout_s: float, stop_fd: int) -> None:
    """Stand where programs are run."""


def read(path: Path) -> tuple[EventHandler, ...]:
    return read_handlers(path, run)


def refused(path: Path) -> DaemonError:
    with pytest.raises(DaemonError) as caught:
        read(path)
    return caught.value


def test_what_it_says(tmp_path: Path) -> None:
    """Every option, and what holds where nothing is said."""
    path = tmp_path / "handlers.toml"
    path.write_text(
        f"""
        [handlers.pager]
        exec = "{PROGRAM}"
        [handlers.chat]
        webhook = "https://chat.example.org:8443/hook/SECRET?x=1"
        kinds = ["budget-low", "worker-death"]
        timeout_s = 2.5
        attempts = 3
        retry_s = 1
        [handlers.local]
        webhook = "http://[::1]:9/"
        [handlers.far]
        webhook = "http://far.example.org/"
        plain_http = true
        """
    )
    pager, chat, local, far = read(path)
    assert isinstance(pager, ExecHandler)
    assert (pager.name, pager.way, pager.target, pager.kinds) == ("pager", "exec", PROGRAM, frozenset(KINDS))
    assert (pager.timeout_s, pager.attempts_max, pager.first_wait_s, pager.run) == (10, 12, 5, run)
    assert isinstance(chat, Webhook)
    assert (chat.way, chat.target) == ("webhook", "https://chat.example.org:8443")
    assert chat.kinds == {EventKind.BUDGET_LOW, EventKind.WORKER_DEATH}
    assert (chat.timeout_s, chat.attempts_max, chat.first_wait_s) == (2.5, 3, 1)
    assert (local.target, far.target) == ("http://[::1]:9", "http://far.example.org")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no tables of handlers"),
        ("handlers = 3", "has no tables of handlers"),
        ("handlers.a = 3", "has no tables of handlers"),
        ("[handlers", "is no TOML: "),
        ('[handlers."a b"]\nexec = "/bin/true"', "handler a b: this is no name"),
        ('[handlers."a\\u001b"]\nexec = "/bin/true"', r"handler a\x1b: this is no name"),
        ("[handlers.a]", "handler a: it needs exec or webhook, and not both"),
        ('[handlers.a]\nexec = "/bin/true"\nwebhook = "https://h/"', "it needs exec or webhook, and not both"),
        ('[handlers.a]\nexec = "true"', "exec 'true' is no absolute path"),
        ('[handlers.a]\nexec = "/nowhere/x"', "cannot run /nowhere/x: no such file or directory"),
        ('[handlers.a]\nexec = "/etc/passwd"', "/etc/passwd is no program"),
        ('[handlers.a]\nexec = "/tmp"', "/tmp is no program"),
        ('[handlers.a]\nexec = "/bin/true"\nshell = true', "shell: extra inputs are not permitted"),
        ('[handlers.a]\nexec = "/bin/true"\nkinds = ["test"]', "kinds: input should be 'budget-low', "),
        ('[handlers.a]\nexec = "/bin/true"\ntimeout_s = 51', "timeout_s: input should be less than or equal to 50"),
        ('[handlers.a]\nexec = "/bin/true"\nattempts = 0', "attempts: input should be greater than or equal to 1"),
        ('[handlers.a]\nexec = "/bin/true"\nretry_s = 0', "retry_s: input should be greater than 0"),
        ('[handlers.a]\nexec = "/bin/true"\nca = "/etc/passwd"', "ca and plain_http are for webhooks"),
        ('[handlers.a]\nwebhook = "ftp://h/"', "webhook is no URL of a server"),
        ('[handlers.a]\nwebhook = "https:///x"', "webhook is no URL of a server"),
        ('[handlers.a]\nwebhook = "https://h:x/"', "webhook is no URL of a server"),
        ('[handlers.a]\nwebhook = "https://h/ x"', "webhook is no URL of a server"),
        ('[handlers.a]\nwebhook = "http://h/"', "whoever is on the way to h could read and change events sent by http"),
        ('[handlers.a]\nwebhook = "http://localhost.evil/"', "whoever is on the way to localhost.evil"),
        ('[handlers.a]\nwebhook = "https://h/"\nca = "/nowhere"', "cannot use the certificates in /nowhere: "),
        ("#" * (FILE_BYTES_MAX + 1), f"is larger than {FILE_BYTES_MAX} bytes"),
        (
            "\n".join(f'[handlers.a{n}]\nexec = "/bin/true"' for n in range(HANDLERS_MAX + 1)),
            f"has {HANDLERS_MAX + 1} handlers, {HANDLERS_MAX} is the most",
        ),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, content: str, message: str) -> None:
    """The file, the handler, and what is wrong with it."""
    path = tmp_path / "handlers.toml"
    path.write_text(content)
    error = refused(path)
    assert error.message.startswith(str(path))
    assert message in error.message


def test_a_url_is_not_repeated(tmp_path: Path) -> None:
    """What is wrong with it may be a secret that is in it."""
    path = tmp_path / "handlers.toml"
    path.write_text('[handlers.a]\nwebhook = "http://h.example/TOKEN"')
    error = refused(path)
    assert "TOKEN" not in error.message + error.hint


def test_no_such_file(tmp_path: Path) -> None:
    """Nor a pipe, which would have keystored wait."""
    path = tmp_path / "handlers.toml"
    assert refused(path).message == f"cannot open the event handlers' file {path}: no such file or directory"
    os.mkfifo(path)
    assert refused(path).message == f"the event handlers' file {path} is no regular file"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.chmod(0o775), "handlers.toml: others may write to it"),
        (lambda path: path.parent.chmod(0o777), "folder: others may write to it"),
        (lambda path: os.chown(path, 4711, -1), "handlers.toml: uid 4711 owns it"),
        (lambda path: os.chown(path.parent, 4711, -1), "folder: uid 4711 owns it"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("what", ["file", "program"])
def test_somebody_else_could_change_it(tmp_path: Path, spoil: Callable[[Path], None], reason: str, what: str) -> None:
    """The file or a program, itself or by a folder on the way to it, also behind a symbolic link."""
    folder = tmp_path / "folder"
    folder.mkdir()
    spoilt = folder / "handlers.toml"
    spoilt.write_text(f'[handlers.a]\nexec = "{PROGRAM}"')
    spoilt.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(spoilt)
    path = link
    if what == "program":
        path = tmp_path / "good.toml"
        path.write_text(f'[handlers.a]\nexec = "{link}"')
    assert len(read(path)) == 1
    spoil(spoilt)
    error = refused(path)
    assert re.search("decides what keystored runs, and somebody else could change it: .*" + reason, error.message)
    assert error.hint.startswith("chown root ")


def test_sticky_folders_are_well(tmp_path: Path) -> None:
    """Nobody exchanges somebody else's file there."""
    tmp_path.chmod(0o1777)
    path = tmp_path / "file"
    path.touch()
    check_trusted(path)
