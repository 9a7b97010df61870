# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore root``: what opens the key encryption key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vmm_keystore.cli import recovery
from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.output import show_facts, show_json
from vmm_keystore.cli.passphrase_option import PassphraseFile
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.root_kind import RootKind

app = typer.Typer(
    name="root",
    help="The root of trust: what opens the key encryption key (KEK), under which every key is sealed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


recovery.register(app)

MEANING = {
    RootKind.FILE: "the file itself: whoever has it and the store has the keys",
    RootKind.PASSPHRASE: "the file and a passphrase (Argon2id, 64 MiB)",
    RootKind.CREDENTIAL: "the file and a credential that keystored is started with",
    RootKind.TPM: "the file and this host's tpm",
    RootKind.HSM: "the file and a pkcs#11 token",
}


@command(app, "show")
def root_show(session: Session) -> None:
    """Show what opens the KEK, and whether it is open."""
    root = session.keystored.get("root")
    if session.as_json:
        show_json(root)
        return
    show_facts(
        {
            "kek file": root["file"],
            "opened by": _meaning(root),
            **_token(root),
            "state": "open" if root["open"] else "locked",
            "kek": root["kek"] or "unknown while it is locked",
        }
    )
    if not root["open"]:
        print("\nnext: vmm-keystore root unlock")


@command(app, "unlock")
def root_unlock(session: Session, passphrase_file: PassphraseFile = None) -> None:
    """Give the passphrase of a locked vault; guests that wait for their keys then get them.

    A vault is locked when keystored, or its custodian alone, was started anew and nobody could ask for the passphrase.
    """
    root = session.keystored.post("root", "unlock", body=_passphrase(session, passphrase_file, new=False))
    session.done(root, "the vault is open")


@command(app, "change")
def root_change(
    session: Session,
    kind: Annotated[
        RootKind,
        typer.Argument(
            metavar="KIND",
            help="file: the KEK stands in its file. passphrase: it takes a passphrase at each start, from the terminal "
            "or by serve --root-secret. credential: it takes the bytes in serve --root-secret, or systemd's credential "
            "vmm-keystore-root. tpm: it takes this host's TPM 2.0, of serve --tpm. hsm: it takes the "
            "PKCS#11 token of serve --hsm-module, in which a key is made for it.",
        ),
    ],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a new KEK, seal every key anew under it, and have KIND open it; guests go on meanwhile.

    Also changes a passphrase, or exchanges the KEK under the same root of trust. A backup from before is opened by the
    KEK file from before, with what opened that: make a new backup.
    """
    if passphrase_file is not None and kind is not RootKind.PASSPHRASE:
        raise UsageError(f"--passphrase-file goes with passphrase, not with {kind}")
    body: dict[str, Any] = {"kind": kind.value}
    if kind is RootKind.PASSPHRASE:
        body["passphrase"] = _passphrase(session, passphrase_file, new=True)
    changed = session.keystored.post("root", "change", body=body)
    session.done(changed, f"{changed['resealed']} key versions sealed anew; opened by {_meaning(changed['root'])}")
    if not session.as_json:
        print("next: vmm-keystore backup; backups from before take the kek file from before")


def _passphrase(session: Session, file: Path | None, *, new: bool) -> dict[str, str]:
    from vmm_keystore.cli.secret_wrap import wrap_root_passphrase  # noqa: PLC0415  # subprocess, where it is needed

    offer = session.keystored.post("root", "offer")
    return {"offer_id": offer["offer_id"], "wrapped": wrap_root_passphrase(offer, file, new=new)}


def _token(root: dict[str, Any]) -> dict[str, str]:
    token = root["token"]
    return {"token": f"{token['label']}, serial number {token['serial']}"} if token else {}


def _meaning(root: dict[str, Any]) -> str:
    return MEANING[RootKind(root["kind"])] if root["kind"] else "unknown: the file could not be read"
