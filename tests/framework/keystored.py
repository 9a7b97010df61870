# SPDX-License-Identifier: Apache-2.0
"""A real keystored in a process of its own: temporary state, the installed command line, the control API.

``Keystored`` is a context manager; ``kill`` and ``start`` again is a crash, ``hand_over`` and ``start`` an upgrade. The
log is kept and shown when it does not come up or go down as it should.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from framework.processes import peer_pid

PROGRAM = Path(sys.executable).parent / "vmm-keystore"
READY_WAIT_S = 30.0
END_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def facts(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


class Keystored:
    """One daemon on one state directory; starts when entered."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        program: Sequence[str] = (str(PROGRAM),),
        arguments: Sequence[str] = (),
        control_socket: Path | None = None,
    ) -> None:
        self._program = tuple(program)
        self._arguments = tuple(arguments)
        # Short: a socket's path has room for 107 bytes, pytest's folders are long.
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="vks-"))
        self.state_dir = self.folder / "state"
        self.control_socket = control_socket or self.state_dir / "control.sock"
        if control_socket is not None:
            self._arguments += ("--control-socket", str(control_socket))
        # On tmpfs, and ours to remove: the daemon keeps its state memory for the next start.
        self.runtime_dir = Path("/dev/shm") / self.folder.name
        self.log: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._is_ready = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove_folder()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            if self.process is not None:
                self.stop()
        finally:
            self.kill_holder()
            self._remove_folder()

    @property
    def pid(self) -> int:
        """The running daemon."""
        if self.process is None:
            raise AssertionError("keystored is not running")
        return self.process.pid

    def start(self, *arguments: str) -> None:
        """Start it and wait until it says that it is ready; these come after its other arguments."""
        self._ready.clear()
        self._is_ready = False
        command = [*self._program, "serve", "--state-dir", str(self.state_dir)]
        command += ["--runtime-dir", str(self.runtime_dir), *self._arguments, *arguments]
        env = environment() | {"PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(READY_WAIT_S) or not self._is_ready:
            self.kill()
            raise AssertionError("keystored did not start:\n" + self.log_text)

    def stop(self, timeout_s: float = END_WAIT_S) -> None:
        """End it as a service manager does; it must end cleanly."""
        process = self._take_process()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # Every thread says where it is.
            process.send_signal(signal.SIGABRT)
            process.wait()
            self._join()
            raise AssertionError("keystored did not end:\n" + self.log_text) from None
        self._join()
        if status != 0:
            raise AssertionError(f"keystored ended with {status}:\n{self.log_text}")

    def kill(self) -> None:
        """SIGKILL: zygote and custodian end by themselves, the holder stays, and with it the guests' workers."""
        process = self._take_process()
        process.kill()
        process.wait()
        self._join()

    def kill_all(self) -> None:
        """SIGKILL of keystored and holder: everything else ends by itself."""
        self.kill()
        self.kill_holder()

    def hand_over(self) -> None:
        """End it so that the next one can take over."""
        process = self._take_process()
        process.send_signal(signal.SIGUSR2)
        status = process.wait(END_WAIT_S)
        self._join()
        if status != 0:
            raise AssertionError(f"keystored ended with {status}:\n{self.log_text}")

    @property
    def holder_pid(self) -> int:
        """The holder, whichever keystored started it; 0 when there is none."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(self.runtime_dir / "holder.sock"))
            except (FileNotFoundError, ConnectionRefusedError):
                return 0
            return peer_pid(probe)

    def kill_holder(self) -> int:
        """SIGKILL of the holder, which is gone on return; its pid, 0 when there was none."""
        pid = self.holder_pid
        if pid:
            pidfd = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                poller = select.poll()
                poller.register(pidfd, select.POLLIN)
                if not poller.poll(int(END_WAIT_S * 1000)):
                    raise AssertionError("the holder does not die")
            finally:
                os.close(pidfd)
        return pid

    def cli(self, *arguments: str | Path, stdin: bytes = b"", ok: bool = True) -> Outcome:
        """Run one command against the daemon: ``cli("key", "list")``.

        Raises:
            AssertionError: it failed although *ok*.
        """
        command = [str(PROGRAM), *(str(argument) for argument in arguments)]
        env = environment() | {"VMM_KEYSTORE_CONTROL_SOCKET": str(self.control_socket)}
        done = subprocess.run(command, input=stdin, capture_output=True, env=env, check=False)
        outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
        if ok and outcome.status != 0:
            raise AssertionError(f"{arguments}: {outcome.stderr}\n{self.log_text}")
        return outcome

    def facts(self, *arguments: str | Path) -> Any:
        """Run one command with --json and give what it printed."""
        return self.cli(*arguments, "--json").facts

    @property
    def api(self) -> "Api":
        """The control API, without the command line's start-up time."""
        return Api(self.control_socket)

    def add_guest(self, name: str) -> Path:
        """Add a guest with a socket in the daemon's folder."""
        path = self.folder / f"{name}.sock"
        self.api.post("/guests", {"name": name, "socket": str(path)})
        return path

    @property
    def log_text(self) -> str:
        """What it logged so far."""
        return "".join(self.log)

    def _take_process(self) -> subprocess.Popen[str]:
        process, self.process = self.process, None
        if process is None:
            raise AssertionError("keystored is not running")
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stderr is None:
            raise AssertionError
        with process.stderr:
            for line in process.stderr:
                self.log.append(line)
                if "keystored ready:" in line:
                    self._is_ready = True
                    self._ready.set()
        self._ready.set()

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(END_WAIT_S)

    def _remove_folder(self) -> None:
        shutil.rmtree(self.runtime_dir, ignore_errors=True)
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Api:
    """JSON over the control socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str) -> Any:
        """GET below /v1."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """POST below /v1."""
        return self.ask("POST", path, body)

    def delete(self, path: str) -> Any:
        """DELETE below /v1."""
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request.

        Raises:
            AssertionError: the answer is an error.
        """
        # No certificates: loading them takes longer than the request.
        transport = httpx.HTTPTransport(uds=str(self._path), verify=False)
        with httpx.Client(transport=transport, timeout=90, trust_env=False) as client:
            answer = client.request(method, f"http://keystored/v1{path}", json=body)
        if answer.is_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text

    def generate(self, label: str, key_type: str) -> Any:
        """Make an active key."""
        return self.post("/keys", {"label": label, "type": key_type})

    def grant(self, guest: str, key: str, ops: Sequence[str], **limits: Any) -> Any:
        """Grant a key."""
        return self.post("/grants", {"guest": guest, "key": key, "ops": list(ops), **limits})

    def revoke(self, guest: str, key: str) -> Any:
        """Take a grant back."""
        return self.delete(f"/grants/{guest}/{key}")


def environment() -> dict[str, str]:
    """What a command needs, and nothing of the user's own keystore."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VMM_KEYSTORE_")}
