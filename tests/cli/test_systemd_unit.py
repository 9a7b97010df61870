# SPDX-License-Identifier: Apache-2.0
"""What ``vmm-keystore systemd-unit`` prints; a real systemd tries it in ``workers/test_systemd.py``."""

import pytest
from cli.conftest import Cli

from vmm_keystore.cli.failure import ExitStatus
from vmm_keystore.workers.programs import LIBEXEC

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
    assert "CapabilityBoundingSet=" in lines


def test_words_are_quoted_as_systemd_reads_them(cli: Cli) -> None:
    """Blanks, percent and dollar signs of a path stay what they are."""
    said = cli("systemd-unit", "--state-dir", "/srv/a b%c$d").stdout
    (start,) = [line for line in said.splitlines() if line.startswith("ExecStart=")]
    assert ' --state-dir "/srv/a b%%c$$d" ' in start


def test_event_handlers(cli: Cli) -> None:
    """Their file is named to keystored, from wherever it was said; nothing else about the service is another thing."""
    with_them, without = (
        cli("systemd-unit", *words).stdout.splitlines()
        for words in (("--event-handlers", "/etc/vmm-keystore/../handlers.toml"), ())
    )
    (start,) = set(with_them) - set(without)
    assert start.startswith("ExecStart=")
    assert start.endswith(" --event-handlers /etc/vmm-keystore/../handlers.toml")
    assert len(with_them) == len(without)
    assert "RestrictNamespaces=yes" in with_them
    (calls,) = [line for line in with_them if line.startswith("SystemCallFilter=~")]
    assert "@mount" in calls.split()


def test_handlers_programs_see_nothing_of_keystoreds(cli: Cli) -> None:
    """Wherever its files are."""
    where = ("--state-dir", "/srv/a vault%", "--control-socket", "/srv/control.sock")
    (hidden,) = [line for line in cli("systemd-unit", "handler", *where).stdout.splitlines() if "Inaccessible" in line]
    assert hidden == (
        'InaccessiblePaths="-/srv/a vault%%" -/run/vmm-keystore -/srv/control.sock -/run/vmm-keystore-programs'
    )


def test_socket_user_and_folders_go_with_the_service(cli: Cli) -> None:
    """The same options for all of them name the same paths and the same user."""
    where = ("--state-dir", "/srv/a vault%", "--user", "keeper")
    assert "ListenStream=/srv/a vault%%/control.sock\n" in cli("systemd-unit", "socket", *where).stdout
    assert "SocketUser=keeper\n" in cli("systemd-unit", "socket", *where).stdout
    user = cli("systemd-unit", "sysusers", *where).stdout.splitlines()[1]
    assert user == 'u keeper - "Key vault for virtual machines" "/srv/a vault%%" /usr/sbin/nologin'
    folders = cli("systemd-unit", "tmpfiles", *where).stdout.splitlines()[2:]
    assert folders == ['d "/srv/a vault%%" 0700 keeper keeper -', "d /run/vmm-keystore 0755 keeper keeper -"]
    assert cli("systemd-unit", "tmpfiles", "--user", "nobody").stdout.endswith(" nobody nogroup -\n")
    service = cli("systemd-unit", *where).stdout
    assert "Sockets=vmm-keystore.socket\n" in service
    assert "User=keeper\n" in service
    assert "--user" not in service
    for kind in ("zygote", "custodian", "handler"):
        assert "User=keeper\n" in cli("systemd-unit", kind, *where).stdout
        assert "SocketUser=keeper\n" in cli("systemd-unit", f"{kind}-socket", *where).stdout


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


@pytest.mark.parametrize(
    ("state_dir", "expected"),
    [
        ("/var/lib/a vault%", ['StateDirectory="a vault%%"', "StateDirectoryMode=0700"]),
        ("/srv/vault", []),
        ("/var/library/vault", []),
    ],
)
def test_folders_of_systemds(cli: Cli, state_dir: str, expected: list[str]) -> None:
    """It makes what lies where it makes folders; others are made beforehand."""
    lines = cli("systemd-unit", "--state-dir", state_dir).stdout.splitlines()
    assert [line for line in lines if line.startswith("StateDirectory")] == expected
    assert "RuntimeDirectory=vmm-keystore" in lines


def test_programs_may_lie_elsewhere(cli: Cli) -> None:
    """As whoever builds a package needs it; the service and the sockets name one folder."""
    said = cli("systemd-unit", "custodian", "--programs", "/usr/lib/a b").stdout
    assert 'ExecStart="/usr/lib/a b/vks-custodian"\n' in said
    assert f"ExecStart={LIBEXEC / 'vks-zygote'}\n" in cli("systemd-unit", "zygote").stdout
    folder = "/run/vmm-keystore-programs"
    for name in ("zygote", "custodian", "handler"):
        line = f"ListenSequentialPacket={folder}/vks-{name}.sock\n"
        assert line in cli("systemd-unit", f"{name}-socket").stdout
    assert f"--program-sockets {folder}\n" in cli("systemd-unit").stdout


def test_root_is_nobody_to_run_as(cli: Cli) -> None:
    """A keystored of root's without a right could not end its workers."""
    refused = cli("systemd-unit", "--user", "root")
    assert refused.status == ExitStatus.USAGE.value
    assert "--user" in refused.stderr


def test_programs_below_a_temporary_folder_are_shown(cli: Cli) -> None:
    """Their service has a /tmp of its own; anything else it sees."""
    shown = [
        [line for line in cli("systemd-unit", kind, "--programs", folder).stdout.splitlines() if "Bind" in line]
        for kind in ("zygote", "handler")
        for folder in ("/tmp/a", "/var/tmp/b c", "/usr/lib/a")
    ]
    assert shown == [["BindReadOnlyPaths=/tmp/a"], ['BindReadOnlyPaths="/var/tmp/b c"'], []] * 2
