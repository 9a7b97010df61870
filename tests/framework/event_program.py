# SPDX-License-Identifier: Apache-2.0
"""An operator's program for events that does what a test says, and tells what it was given and what it could see.

It runs as whoever keystored's handlers run as: its folder can be entered, and its inbox written to, by all.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = """#!/usr/bin/python3 -IS
import json, os, signal, subprocess, sys, time
folder = {folder!r}
fds = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]
order = json.load(open(folder + "/order"))
event = json.load(sys.stdin)
status = {{name: value.strip() for name, _, value in (line.partition(":") for line in open("/proc/self/status"))}}
children = []
for _ in range(order.get("children", 0)):
    children.append(subprocess.Popen(["/bin/sleep", "1000"]).pid)
if order.get("daemon"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children.append(subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True).pid)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
seen = {{}}
for path in order.get("look", ()):
    try:
        seen[path] = os.listdir(path) if os.path.isdir(path) else f"opened {{open(path, 'rb')}}"
    except OSError as error:
        seen[path] = type(error).__name__
for path in order.get("connect", ()):
    import socket
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        seen[path] = "connected"
    except OSError as error:
        seen[path] = type(error).__name__
told = {{"event": event, "fds": fds, "environment": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(),
        "uid": os.getuid(), "groups": os.getgroups(), "seen": seen, "children": children, "status": status, "arguments": sys.argv[1:],
        "mask": [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())]}}
with open(folder + "/inbox", "a") as inbox:
    inbox.write(json.dumps(told) + "\\n")
print(order.get("say", ""), end="", flush=True)
time.sleep(order.get("sleep_s", 0))
sys.exit(order.get("status", 0))
"""


class EventProgram:
    """The program and the file that names it; ``obey`` says how it does from now on."""

    def __init__(self, above: Path | None = None) -> None:
        """Lie in a folder in *above*; without it where temporary files lie."""
        self.folder = Path(tempfile.mkdtemp(prefix="vks-events-", dir=above))
        self.folder.chmod(0o755)
        self.inbox = self.folder / "inbox"
        self.inbox.touch()
        self.inbox.chmod(0o666)
        self.path = self.folder / "program"
        self.path.write_text(PROGRAM.format(folder=str(self.folder)))
        self.path.chmod(0o755)
        self.file = self.folder / "handlers.toml"
        self.obey()
        self.configure({"pager": {"exec": str(self.path), "retry_s": 0.05}})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What ``serve`` takes."""
        return ("--event-handlers", str(self.file))

    def obey(self, **order: Any) -> None:
        """Do so from now on: say, status, sleep_s, children, daemon, look, connect."""
        fresh = self.folder / "order.new"
        fresh.write_text(json.dumps(order))
        fresh.chmod(0o644)
        fresh.rename(self.folder / "order")

    def configure(self, handlers: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the file of handlers."""
        lines = []
        for name, table in handlers.items():
            lines += [f"[handlers.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind that it was given so far, each once."""
        return list({line["event"]["id"]: line["event"] for line in self.told(kind)}.values())

    def told(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What it was given so far; of one kind of events when named."""
        # The last line may be being written.
        whole, _end, _rest = self.inbox.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if kind is None or line["event"]["kind"] == kind]
