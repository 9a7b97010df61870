# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore key csr``, ``self-sign`` and ``certificate``: certificates for keys that stay where they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import Key
from vmm_keystore.cli.failure import CommandError
from vmm_keystore.cli.key_options import Version
from vmm_keystore.cli.output import moment, show_facts, show_json
from vmm_keystore.cli.session import Session, command

CHAIN_BYTES_MAX = 65536

Subject = Annotated[
    str, typer.Option("--subject", metavar="NAME", help="By RFC 4514: 'CN=web,O=Example,C=DE'; CN comes first.")
]
Dns = Annotated[list[str] | None, typer.Option("--dns", metavar="NAME", help="DNS name; may be given several times.")]
Ip = Annotated[list[str] | None, typer.Option("--ip", metavar="ADDRESS", help="IP address; several times likewise.")]
Email = Annotated[list[str] | None, typer.Option("--email", metavar="ADDRESS", help="E-mail address, likewise.")]
Uri = Annotated[list[str] | None, typer.Option("--uri", metavar="URI", help="URI, likewise.")]

app = typer.Typer(help="The certificate chain that goes with a key.", no_args_is_help=True, rich_markup_mode=None)


def register(keys: typer.Typer) -> None:
    """Add the commands to those for keys."""
    command(keys, "csr")(key_csr)
    command(keys, "self-sign")(key_self_sign)
    keys.add_typer(app, name="certificate")


def key_csr(
    session: Session,
    label: Key,
    *,
    subject: Subject = "",
    dns: Dns = None,
    ip: Ip = None,
    email: Email = None,
    uri: Uri = None,
    version: Version = None,
) -> None:
    """Print a certification request (PKCS#10, PEM), signed with the key, for a CA."""
    body = _names(subject, dns=dns, ip=ip, email=email, uri=uri) | {"version": version}
    _print_pem(session, session.keystored.post("keys", label, "csr", body=body))


def key_self_sign(
    session: Session,
    label: Key,
    *,
    subject: Subject,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=36500, help="Good for so many days from now.")],
    dns: Dns = None,
    ip: Ip = None,
    email: Email = None,
    uri: Uri = None,
    ca: Annotated[bool, typer.Option("--ca", help="It may issue other certificates.")] = False,
    version: Version = None,
) -> None:
    """Print a certificate (X.509, PEM) that the key itself signs."""
    body = _names(subject, dns=dns, ip=ip, email=email, uri=uri) | {"version": version, "days": days, "ca": ca}
    _print_pem(session, session.keystored.post("keys", label, "self-sign", body=body))


@command(app, "set")
def certificate_set(
    session: Session,
    label: Key,
    file: Annotated[Path, typer.Argument(metavar="CHAIN", readable=False, help="PEM file; '-' is standard input.")],
    version: Version = None,
) -> None:
    """Attach a chain: the key's own certificate first, each one issued by the next; it takes the place of another."""
    body = {"pem": _read_chain(file), "version": version}
    found = session.keystored.post("keys", label, "certificate", body=body)
    session.done(found, f"key {label} version {found['version']} has the certificate {summary(found)}")


@command(app, "show")
def certificate_show(
    session: Session,
    label: Key,
    *,
    version: Version = None,
    pem: Annotated[bool, typer.Option("--pem", help="Print the chain itself.")] = False,
) -> None:
    """Show the certificate of a key, or print its chain."""
    found = session.keystored.get("keys", label, "certificate", version=version)
    if pem and not session.as_json:
        sys.stdout.write(found["pem"])
        return
    if session.as_json:
        show_json(found)
        return
    show_facts(
        {
            "key": found["label"],
            "version": found["version"],
            "subject": found["subject"],
            "issuer": found["issuer"],
            "serial": found["serial"],
            "not before": moment(found["not_before"]),
            "not after": moment(found["not_after"]),
            "sha256": found["sha256"],
            "certificates": found["certificates"],
        }
    )


@command(app, "remove")
def certificate_remove(session: Session, label: Key, version: Version = None) -> None:
    """Take the chain of a key away."""
    found = session.keystored.delete("keys", label, "certificate", version=version)
    session.done(found, f"key {label}: certificate {found['subject'] or found['serial']} removed")


def attach_imported(session: Session, label: str, pem: str) -> None:
    """Attach the chain that came with a key; where it cannot be attached the key is imported all the same, and why is said."""
    try:
        session.keystored.post("keys", label, "certificate", body={"pem": pem})
    except CommandError as error:
        print(f"vmm-keystore: the certificates of {label} are not attached: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)


def summary(certificate: Mapping[str, Any] | None) -> str:
    """Say a certificate in one cell."""
    if certificate is None:
        return ""
    name = certificate["subject"] or f"serial {certificate['serial']}"
    return f"{name}, until {moment(certificate['not_after'])}"


def _names(subject: str, **alternatives: list[str] | None) -> dict[str, Any]:
    return {"subject": subject, **{kind: texts or [] for kind, texts in alternatives.items()}}


def _print_pem(session: Session, made: dict[str, Any]) -> None:
    if session.as_json:
        show_json(made)
    else:
        sys.stdout.write(made["pem"])


def _read_chain(file: Path) -> str:
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(CHAIN_BYTES_MAX + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(CHAIN_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    if len(content) > CHAIN_BYTES_MAX:
        raise CommandError(f"{file} is larger than any certificate chain ({CHAIN_BYTES_MAX} bytes)")
    # Nothing of a private key goes further than this, should it be the wrong file.
    if b"PRIVATE KEY-----" in content:
        raise CommandError(
            f"{file} holds a private key", "put the certificates alone into a file: openssl x509, or an editor"
        )
    if not content.strip():
        raise CommandError(f"{file} is empty")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{file} is no PEM file", f"a DER file becomes one by: openssl x509 -inform der -in {file}"
        ) from error
