# SPDX-License-Identifier: Apache-2.0
"""The file that says which handlers there are: TOML, a table for each.

It decides what keystored runs. So it, and each program in it, must be changeable by nobody but root and the user who
starts keystored, as must every folder on the way to it.
"""

import os
import re
import stat
import tomllib
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vmm_keystore.errors import DaemonError
from vmm_keystore.events.exec_handler import ExecHandler, RunProgram
from vmm_keystore.events.webhook import Webhook, trust
from vmm_keystore.policy.event import KINDS, EventKind
from vmm_keystore.policy.vocabulary import NAME_PATTERN
from vmm_keystore.service.ports import EventHandler

FILE_BYTES_MAX = 1 << 16
HANDLERS_MAX = 16
URL = re.compile(r"[!-~]{1,2000}")


class HandlerTable(BaseModel):
    """One handler as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    program: Annotated[str | None, Field(alias="exec")] = None
    webhook: str | None = None
    kinds: list[Literal[*(kind.value for kind in KINDS)]] | None = None  # type: ignore[valid-type]
    timeout_s: Annotated[float, Field(gt=0, le=50, strict=True)] = 10
    attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = 12
    retry_s: Annotated[float, Field(gt=0, le=3600, strict=True)] = 5
    ca: str | None = None
    plain_http: Annotated[bool, Field(strict=True)] = False


def read_handlers(path: Path, run: RunProgram) -> tuple[EventHandler, ...]:
    """Read the file.

    Args:
        path: of the file.
        run: what runs its programs.

    Raises:
        DaemonError: somebody else may change it or one of its programs, or it says something that makes no sense.
    """
    tables = _parse(path).get("handlers")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise DaemonError(f"{path} has no tables of handlers", "one looks like: [handlers.pager]")
    if len(tables) > HANDLERS_MAX:
        raise DaemonError(f"{path} has {len(tables)} handlers, {HANDLERS_MAX} is the most")
    return tuple(_make(path, name, table, run) for name, table in tables.items())


def _parse(path: Path) -> dict[str, Any]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DaemonError(f"cannot open the event handlers' file {path}: {reason}") from error
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DaemonError(f"the event handlers' file {path} is no regular file")
        check_trusted(path)
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise DaemonError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise DaemonError(f"{path} is no TOML: {str(error)[:1].lower()}{str(error)[1:]}") from error


def _make(path: Path, name: str, content: dict[str, Any], run: RunProgram) -> EventHandler:
    where = f"{path}, handler {name.encode('unicode_escape').decode()}"
    if not re.fullmatch(NAME_PATTERN, name):
        raise DaemonError(f"{where}: this is no name", "letters, digits, '.', '_' and '-', at most 63")
    try:
        table = HandlerTable.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        raise DaemonError(f"{where}: {field}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error
    if (table.program is None) == (table.webhook is None):
        raise DaemonError(f"{where}: it needs exec or webhook, and not both")
    kinds = frozenset(map(EventKind, table.kinds)) if table.kinds is not None else frozenset(KINDS)
    options: dict[str, Any] = {
        "name": name,
        "kinds": kinds,
        "timeout_s": table.timeout_s,
        "attempts_max": table.attempts,
        "first_wait_s": table.retry_s,
    }
    if table.webhook is not None:
        _check_url(where, table.webhook, plain_http=table.plain_http)
        try:
            return Webhook(url=table.webhook, context=trust(table.ca), **options)
        except OSError as error:
            raise DaemonError(f"{where}: cannot use the certificates in {table.ca}: {error.strerror}") from error
    if table.ca is not None or table.plain_http:
        raise DaemonError(f"{where}: ca and plain_http are for webhooks")
    program = Path(table.program or "")
    _check_program(where, program)
    return ExecHandler(program=program, run=run, **options)


def _check_program(where: str, program: Path) -> None:
    if not program.is_absolute():
        raise DaemonError(f"{where}: exec '{program}' is no absolute path", "no shell looks for it")
    try:
        is_file = stat.S_ISREG(program.stat().st_mode)
    except OSError as error:
        raise DaemonError(f"{where}: cannot run {program}: {(error.strerror or str(error)).lower()}") from error
    if not is_file or not os.access(program, os.X_OK):
        raise DaemonError(f"{where}: {program} is no program", f"chmod 755 {program}")
    check_trusted(program)


def _check_url(where: str, url: str, *, plain_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not URL.fullmatch(url) or not host or parts.scheme not in {"http", "https"} or parts.fragment:
        raise DaemonError(f"{where}: webhook is no URL of a server", "give https://HOST/PATH")
    if parts.scheme == "http" and not plain_http and not _is_here(host):
        raise DaemonError(
            f"{where}: whoever is on the way to {host} could read and change events sent by http",
            "use https, or say plain_http = true",
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_trusted(path: Path, trusted: Collection[int] | None = None) -> None:
    """Refuse what somebody else could change or exchange: the file itself, or a folder on the way to it.

    Raises:
        DaemonError: it is not root's or ours alone.
    """
    owners = {0, os.geteuid()} if trusted is None else trusted
    resolved = path.resolve()
    for part in (resolved, *resolved.parents):
        found = part.stat()
        # In a sticky folder others can add files, but not exchange ours.
        sticky = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
        if found.st_uid not in owners or (found.st_mode & 0o022 and not sticky):
            who = f"uid {found.st_uid} owns it" if found.st_uid not in owners else "others may write to it"
            raise DaemonError(
                f"{path} decides what keystored runs, and somebody else could change it: {part}: {who}",
                f"chown root {part}; chmod go-w {part}",
            )
