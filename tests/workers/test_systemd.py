# SPDX-License-Identifier: Apache-2.0
"""The unit that we print, under a real systemd: guests go on over a crash and a restart, and not over a stop."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from framework.patience import wait_for
from framework.processes import kill, status_of
from framework.systemd_machine import SystemdMachine
from framework.systemd_service import STATE_DIR, UNIT, Service, loaded, start_service

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def service(machine: SystemdMachine) -> Service:
    """The unit as our command prints it, started, with a guest that may sign."""
    return start_service(machine)


def crash(service: Service) -> None:
    """SIGKILL of keystored."""
    kill(service.main_pid)


def restart(service: Service) -> None:
    """As an upgrade does it."""
    service.systemctl("restart")


@pytest.mark.parametrize("end", [crash, restart])
def test_guests_go_on(service: Service, end: Callable[[Service], None]) -> None:
    """The next keystored has everything back, within two seconds, as many times as one likes."""
    with loaded(service) as guest:
        took_s = []
        for _ in range(3):
            main, worker = service.main_pid, service.worker_pid
            started_s = time.monotonic()
            end(service)
            service.wait_for_another(main)
            took_s.append(time.monotonic() - started_s)
            assert wait_for(lambda: service.worker_pid) != worker
            guest.wait_for_more()
        count = guest.finish()
    service.ask("audit", "verify")
    report = service.ask("audit", "report", "--by", "op")
    signed = next(row for row in report if row["op"] == "sign")
    assert signed["operations"] >= count
    print(f"\n  {end.__name__}, systemd to readiness: " + ", ".join(f"{seconds:.2f} s" for seconds in took_s))


def test_workers_go_on_while_there_is_no_keystored(service: Service) -> None:
    """Systemd does not take them along; the one that starts at last finds them at work."""
    folder = Path("/etc/systemd/system") / f"{UNIT}.d"
    service.machine.run("mkdir", folder)
    service.machine.write(folder / "late.conf", "[Service]\nRestartSec=1h\n")
    service.machine.run("systemctl", "daemon-reload")
    with loaded(service) as guest:
        worker = service.worker_pid
        crash(service)
        wait_for(lambda: service.main_pid == 0)
        guest.wait_for_more()
        assert worker in service.processes
        service.systemctl("restart")
        wait_for(lambda: service.worker_pid not in {0, worker})
        guest.wait_for_more()
        guest.finish()


def test_stop_ends_everything(service: Service) -> None:
    """No worker outlives a service that is stopped: systemd lets go of what kept it."""
    with loaded(service) as guest:
        guest.wait_for_more()
        worker = service.worker_pid
        assert worker in service.processes
        service.systemctl("stop")
        wait_for(lambda: not service.processes)
        # A control group lists no zombies: what is not reaped yet is still there.
        wait_for(lambda: not Path(f"/proc/{worker}").exists())
    service.systemctl("start")
    with loaded(service) as guest:
        guest.wait_for_more()
        guest.finish()
    service.ask("audit", "verify")


def test_store_is_not_filled_by_what_comes_and_goes(service: Service) -> None:
    """As many descriptors with systemd after many front-ends and dead workers as before."""

    def held() -> int:
        return int(service.machine.facts(UNIT, "NFileDescriptorStore")["NFileDescriptorStore"])

    with loaded(service) as guest:
        guest.finish()
    before = wait_for(held)
    for _ in range(3):
        with loaded(service) as guest:
            kill(service.worker_pid)
            guest.wait_for_more()
            guest.finish()
    wait_for(lambda: held() <= before)


def test_what_is_out_of_keystoreds_reach(service: Service) -> None:
    """System and home folders, devices, networks, rights; and what systemd itself says about the unit."""
    service.machine.run("test", "-w", "/etc")
    for folder in ("/etc", "/usr", "/root"):
        tried = service.inside("touch", f"{folder}/a-file")
        assert "Read-only file system" in tried.stderr
    networks = [Path(f"/proc/{pid}/ns/net").readlink() for pid in (service.main_pid, service.machine.init_pid)]
    assert networks[0] != networks[1]
    lines = Path(f"/proc/{service.main_pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]
    service.machine.run("mknod", "/dev/a-device", "c", "1", "1")
    assert service.inside("test", "-e", "/dev/null").returncode == 0
    assert service.inside("test", "-e", "/dev/a-device").returncode == 1
    facts = status_of(service.main_pid)
    assert facts["Seccomp"] == "2"
    assert facts["NoNewPrivs"] == "1"
    assert not any(int(facts[name], 16) for name in ("CapBnd", "CapPrm", "CapInh", "CapAmb"))
    exposure = service.exposure()
    print(f"\n  systemd-analyze security: {exposure}")
    assert exposure <= 1.5


def test_confinement_is_as_good_as_without_a_service(service: Service) -> None:
    """What systemd takes away does not keep a worker from being confined."""
    with loaded(service) as guest:
        guest.finish()
    for sandbox in (
        service.ask("guest", "show", "g")["worker"]["sandbox"],
        service.ask("status")["custodian"]["sandbox"],
    ):
        assert "own user" in sandbox
        assert "landlock" in sandbox or "namespaces" in sandbox
        assert "system calls filtered" in sandbox


def test_credential_opens_the_keys(service: Service) -> None:
    """Systemd hands root's file to a keystored that is not root; guests notice neither change nor restart."""
    machine = service.machine
    machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    machine.run("sh", "-c", "umask 077; head -c 32 /dev/urandom >/etc/credential")
    drop_in = "[Service]\nLoadCredential=vmm-keystore-root:/etc/credential\n"
    machine.write(Path(f"/etc/systemd/system/{UNIT}.d/credential.conf"), drop_in)
    machine.run("systemctl", "daemon-reload")
    with loaded(service) as guest:
        restart(service)
        assert service.ask("root", "change", "credential")["root"]["kind"] == "credential"
        guest.wait_for_more()
        restart(service)
        guest.wait_for_more()
        assert guest.finish() > 0
    assert service.ask("root", "show")["open"]
    head = machine.run("head", "-n", "1", STATE_DIR / "kek").stdout
    assert head == "vmm-keystore kek 2\n"


def test_keystored_that_hangs_is_replaced(machine: SystemdMachine) -> None:
    """Systemd hears nothing of it, ends it and starts another one; guests go on."""
    machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    drop_in = "[Service]\nWatchdogSec=2s\n"
    machine.write(Path(f"/etc/systemd/system/{UNIT}.d/watchdog.conf"), drop_in)
    service = start_service(machine)
    with loaded(service) as guest:
        main_pid = service.main_pid
        guest.wait_for_more()
        os.kill(main_pid, signal.SIGSTOP)
        service.wait_for_another(main_pid)
        guest.wait_for_more()
        assert guest.finish() > 0
    assert machine.facts(UNIT, "NRestarts")["NRestarts"] == "1"
