# SPDX-License-Identifier: Apache-2.0
"""What ``vmm-keystore systemd-unit`` prints; a real systemd tries it in ``workers/test_systemd.py``."""

import pytest
from cli.conftest import Cli

from vmm_keystore.cli.failure import ExitStatus

SYSTEM, HOME = "ProtectSystem=full", "ProtectHome=read-only"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {SYSTEM, HOME}),
        (("--state-dir", "/srv/vault"), {SYSTEM, HOME}),
        (("--state-dir", "/home/of-somebody/vault"), {SYSTEM}),
        (("--state-dir", "/srv/../root/vault"), {SYSTEM}),
        (("--state-dir", "/homes/vault"), {SYSTEM, HOME}),
        (("--control-socket", "/run/user/1000/vault/control.sock"), {SYSTEM}),
        (("--control-socket", "/run/vault/control.sock"), {SYSTEM, HOME}),
        (("--state-dir", "/etc/vault", "--control-socket", "/root/control.sock"), set()),
    ],
)
def test_own_files_stay_in_reach(cli: Cli, arguments: tuple[str, ...], expected: set[str]) -> None:
    """No folder that keystored is told to write to is closed to it."""
    lines = cli("systemd-unit", *arguments).stdout.splitlines()
    assert {line for line in lines if line.startswith(("ProtectSystem", "ProtectHome"))} == expected
    assert "CapabilityBoundingSet=CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID" in lines


def test_words_are_quoted_as_systemd_reads_them(cli: Cli) -> None:
    """Blanks, percent and dollar signs of a path stay what they are."""
    said = cli("systemd-unit", "--state-dir", "/srv/a b%c$d").stdout
    (start,) = [line for line in said.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith('--state-dir "/srv/a b%%c$$d"')


def test_event_handlers(cli: Cli) -> None:
    """Their file is named to keystored, from wherever it was said."""
    said = cli("systemd-unit", "--event-handlers", "/etc/vmm-keystore/../handlers.toml").stdout
    (start,) = [line for line in said.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith(" --event-handlers /etc/vmm-keystore/../handlers.toml")


def test_socket_user_and_folders_go_with_the_service(cli: Cli) -> None:
    """The same options for all of them name the same paths and the same user."""
    where = ("--state-dir", "/srv/a vault%", "--user", "keeper")
    assert "ListenStream=/srv/a vault%%/control.sock\n" in cli("systemd-unit", "socket", *where).stdout
    assert "SocketUser=keeper\n" in cli("systemd-unit", "socket", *where).stdout
    user = cli("systemd-unit", "sysusers", *where).stdout.splitlines()[1]
    assert user == 'u keeper - "Key vault for virtual machines" "/srv/a vault%%" /usr/sbin/nologin'
    folders = cli("systemd-unit", "tmpfiles", *where).stdout.splitlines()[1:]
    assert folders == ['d "/srv/a vault%%" 0700 keeper - -', "d /run/vmm-keystore 0755 keeper - -"]
    assert "Sockets=vmm-keystore.socket\n" in cli("systemd-unit", *where).stdout


def test_wrong_pin_is_no_reason_to_start_again(cli: Cli) -> None:
    """The status that a keystored ends with, whose token did not take its PIN."""
    assert f"RestartPreventExitStatus={ExitStatus.PIN_REFUSED.value}\n" in cli("systemd-unit").stdout


def test_another_program_may_be_named(cli: Cli) -> None:
    """As whoever builds a package needs it."""
    said = cli("systemd-unit", "--program", "/usr/bin/vmm-keystore").stdout
    assert "ExecStart=/usr/bin/vmm-keystore serve " in said


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [((), "0700"), (("--control-socket", "/run/vault/control.sock"), "0755")],
)
def test_who_may_enter_the_sockets_folder(cli: Cli, arguments: tuple[str, ...], mode: str) -> None:
    """The state folder is keystored's alone, also where systemd makes it; any other one is for those with a role."""
    assert f"DirectoryMode={mode}\n" in cli("systemd-unit", "socket", *arguments).stdout
