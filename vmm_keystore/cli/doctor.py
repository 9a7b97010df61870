# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore doctor``: what this host lacks for the promises to hold in full, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import typer

from vmm_keystore.cli.failure import CommandError, UnreachableError
from vmm_keystore.cli.finding import Finding, Level
from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.session import Session, command

app = typer.Typer()

HIDDEN = "memfd-secret"


@command(app, "doctor")
def doctor(session: Session) -> None:
    """Look at kernel, limits, QEMU and, if it runs, keystored and its workers; say what to do.

    Exit status 1 if something does not work.
    """
    from vmm_keystore.cli.host_checks import check_host  # noqa: PLC0415  # parts of the daemon come along

    findings = [*check_host(), *check_keystored(session)]
    if session.as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{finding.level.upper():<5} {finding.name:<{width}}  {finding.detail}")
            if finding.hint:
                print(f"{'':<{width + 8}}hint: {finding.hint}")
    bad = [finding.name for finding in findings if finding.level is Level.BAD]
    if bad:
        raise CommandError(f"this cannot work as it is: {', '.join(bad)}", "what to do stands above")


def check_keystored(session: Session) -> Iterator[Finding]:
    """Look at the daemon and its guests."""
    try:
        status = session.keystored.get("status")
        guests = [session.keystored.get("guests", guest["name"]) for guest in session.keystored.get("guests")["guests"]]
    except UnreachableError as error:
        yield Finding(Level.WARN, "keystored", error.message, error.hint)
        return
    yield Finding(Level.OK, "keystored", f"version {status['version']}, {status['runs_as']}, {len(guests)} guests")
    yield from check_process("custodian", status["custodian"])
    if status["custodian"]["running"]:
        yield check_root(status["custodian"])
        yield check_post_quantum(status["custodian"])
    if status.get("token"):
        yield check_token(status["token"])
    for key in ("problem", "upkeep_problem"):
        if status["audit"][key]:
            yield Finding(Level.BAD, "audit log", status["audit"][key], "free or extend the disk; operations wait")
    for guest in guests:
        worker = guest["worker"]
        if worker["running"] or worker["connected"] or worker["problem"]:
            yield from check_process(f"guest {guest['name']}", worker)
        else:
            yield Finding(Level.OK, f"guest {guest['name']}", "no worker: its virtual machine has not connected yet")


def check_root(custodian: dict[str, Any]) -> Finding:
    """Look at what opens the keys."""
    if not custodian["root_open"]:
        return Finding(
            Level.BAD, "root of trust", "the vault is locked: no guest gets its keys", "vmm-keystore root unlock"
        )
    if custodian["root"] == "file":
        hint = "vmm-keystore root change passphrase, credential, tpm or hsm"
        return Finding(Level.WARN, "root of trust", "a file: a stolen disk has keys and what opens them", hint)
    return Finding(Level.OK, "root of trust", custodian["root"])


def check_token(token: dict[str, Any]) -> Finding:
    """Look at the token that keys may lie in."""
    if token["open"]:
        sessions = f"{token['sessions']} sessions" if token["sessions"] > 1 else "one session"
        return Finding(Level.OK, "token", f"{token['label']}, serial {token['serial']}, {sessions}")
    if not token["problem"]:
        return Finding(Level.OK, "token", "no key lies in it: it was not asked yet")
    return Finding(Level.BAD, "token", token["problem"], "its keys can be used again as soon as that is mended")


def check_post_quantum(custodian: dict[str, Any]) -> Finding:
    """Say whether there are keys of ML-DSA and ML-KEM; a host without them is well all the same."""
    openssl = f"OpenSSL {custodian['libcrypto']}"
    missing = custodian["unsupported_types"]
    if missing:
        return Finding(Level.OK, "post-quantum", f"not available ({', '.join(missing)}): {openssl}, and it takes 3.5")
    return Finding(Level.OK, "post-quantum", f"available: {openssl}")


def check_process(name: str, process: dict[str, Any]) -> Iterator[Finding]:
    """Look at a process that holds keys."""
    if process["problem"] or not process["running"]:
        yield Finding(Level.BAD, name, process["problem"] or "does not run", "the daemon's log says why")
        return
    lacks = []
    if process["secret_memory"] != HIDDEN:
        lacks.append(f"keys in {process['secret_memory']}: root can read them")
    if not process["sandbox"].startswith("own user"):
        lacks.append("no user of its own")
    if "filtered" not in process["sandbox"]:
        lacks.append("no system-call filter")
    if lacks:
        yield Finding(Level.WARN, name, "; ".join(lacks), "start keystored as root, on a kernel with memfd_secret")
    else:
        yield Finding(Level.OK, name, f"{process['secret_memory']}, {process['sandbox']}")
