# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore key import`` and ``import-offer``: keys from elsewhere; only ciphertext comes this way."""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any

import typer

from vmm_keystore.cli import certificate
from vmm_keystore.cli.complete import complete_key_type
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.key_options import Inactive, NewLabel, NewTags
from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.passphrase_option import PassphraseFile
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.tags import parse_tags

WRAPPED_BYTES_MAX = 8192


def register(keys: typer.Typer) -> None:
    """Add the commands to those for keys."""
    command(keys, "import")(key_import)
    command(keys, "import-offer")(key_import_offer)
    command(keys, "adopt")(key_adopt)


def key_adopt(
    session: Session,
    label: NewLabel,
    *,
    token_label: Annotated[
        str | None, typer.Option("--token-label", metavar="LABEL", help="The key pair's label in the token.")
    ] = None,
    token_id: Annotated[
        str | None, typer.Option("--token-id", metavar="HEX", help="Instead: its id there (CKA_ID), in hex.")
    ] = None,
    tag: NewTags = None,
    inactive: Inactive = False,
) -> None:
    """Use a key pair that lies in the PKCS#11 token already (serve --hsm-module); it stays there.

    It must be sensitive and not extractable, and its public half must be there too.
    """
    if bool(token_label) == bool(token_id):
        raise UsageError("say which key pair of the token: --token-label LABEL or --token-id HEX")
    named = {"token_label": token_label} if token_label else {"token_id": (token_id or "").lower()}
    body = {"label": label, "activate": not inactive, "tags": parse_tags(tag or ()), **named}
    key = session.keystored.post("keys", "adopt", body=body)
    session.done(key, f"key {label} adopted{token_words(key)}: {key['type']}, version 1, {key['state']}")


def token_words(key: dict[str, Any]) -> str:
    """Where the current version lies, if that is not the vault."""
    token = _token(key)
    return f" in token {token['serial']}" if token else ""


def token_facts(key: dict[str, Any]) -> dict[str, object]:
    """The same for a list of facts, with the id that the token's own tools show."""
    token = _token(key)
    return {"in token": f"serial {token['serial']}, id {token['id']}"} if token else {}


def _token(key: dict[str, Any]) -> dict[str, str] | None:
    token: dict[str, str] | None = key["versions"][key["current_version"] - 1]["token"]
    return token


def key_import(
    session: Session,
    label: NewLabel,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", readable=False, help="File with the key.")] = None,
    *,
    pkcs12: Annotated[
        Path | None,
        typer.Option("--pkcs12", metavar="FILE", readable=False, help="Instead: PKCS#12 file; with its certificates."),
    ] = None,
    key_type: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="Type; raw keys need it.", autocompletion=complete_key_type),
    ] = "auto",
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="One of pem, der, pkcs8, raw; auto looks.")
    ] = "auto",
    wrapped_file: Annotated[
        Path | None,
        typer.Option("--wrapped", metavar="FILE", readable=False, help="Instead: wrapped to an import-offer."),
    ] = None,
    offer_id: Annotated[str | None, typer.Option("--offer", metavar="ID", help="That offer.")] = None,
    oaep_hash: Annotated[
        str, typer.Option("--oaep-hash", metavar="HASH", help="With --wrapped: of RSA-OAEP, sha256 or sha1.")
    ] = "sha256",
    passphrase_file: PassphraseFile = None,
    tag: NewTags = None,
    inactive: Inactive = False,
) -> None:
    """Import a key from a file (PEM, DER, PKCS#8 with or without passphrase, raw, PKCS#12).

    A program of its own reads the file and encrypts the key to the custodian; this one sees ciphertext.
    """
    from vmm_keystore.cli import secret_wrap  # noqa: PLC0415  # subprocess, for this command only

    if sum(given is not None for given in (file, pkcs12, wrapped_file)) != 1:
        raise UsageError("one file is needed: FILE, --pkcs12 FILE or --wrapped FILE", f"key import {label} FILE")
    if (wrapped_file is None) != (offer_id is None):
        raise UsageError("--wrapped and --offer go together", "vmm-keystore key import-offer makes one")
    # Before anybody is asked for a passphrase.
    new = {"label": label, "activate": not inactive, "tags": parse_tags(tag or ())}
    if wrapped_file and offer_id:
        body = _wrapped_body(wrapped_file, offer_id, key_type, oaep_hash)
        key = session.keystored.post("keys", "import", "wrapped", body=body | new)
        session.done(key, f"key {label} imported: {key['type']}, version 1, {key['state']}")
        return
    if pkcs12 and form != "auto":
        raise UsageError("--pkcs12 and --format exclude each other", "leave --format away")
    offer = session.keystored.post("keys", "import", "offer")
    certificates = ""
    if pkcs12:
        wrapped, certificates = secret_wrap.wrap_pkcs12_file(
            offer, pkcs12, key_type=key_type, passphrase_file=passphrase_file
        )
    elif file:
        wrapped = secret_wrap.wrap_key_file(offer, file, key_type=key_type, form=form, passphrase_file=passphrase_file)
    key = session.keystored.post("keys", "import", body=new | {"offer_id": offer["offer_id"], "wrapped": wrapped})
    if certificates:
        certificate.attach_imported(session, label, certificates)
        key = session.keystored.get("keys", label)
    with_it = certificate.summary(key["versions"][0]["certificate"])
    session.done(
        key,
        f"key {label} imported: {key['type']}, version 1, {key['state']}"
        + (f"; certificate {with_it}" if with_it else ""),
    )


def key_import_offer(session: Session) -> None:
    """Print a one-time RSA public key to wrap a key to that is elsewhere, for key import --wrapped; good for a day."""
    offer = session.keystored.post("keys", "import", "wrapping-offer")
    if session.as_json:
        show_json(offer)
    else:
        # Text before a PEM block is a comment to whoever reads it.
        sys.stdout.write(f"offer: {offer['offer_id']}\n{offer['public_key']}")


def _wrapped_body(file: Path, offer_id: str, key_type: str, oaep_hash: str) -> dict[str, Any]:
    if key_type == "auto":
        raise UsageError("--wrapped needs --type", "the type of the key that was wrapped, like --type aes-256")
    try:
        with file.open("rb") as opened:
            content = opened.read(WRAPPED_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    if len(content) > WRAPPED_BYTES_MAX:
        raise CommandError(f"{file} is larger than any wrapped key ({WRAPPED_BYTES_MAX} bytes)")
    return {
        "offer_id": offer_id,
        "wrapped": b64encode(content).decode(),
        "type": key_type,
        "oaep_hash": oaep_hash,
    }
