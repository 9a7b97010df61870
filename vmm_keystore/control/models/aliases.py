# SPDX-License-Identifier: Apache-2.0
"""Aliases of keys: POST and GET /v1/aliases, DELETE /v1/aliases/{alias}."""

from pydantic import AwareDatetime

from vmm_keystore.control.models.words import KeyName, Model, Name


class AliasSet(Model):
    """Let *alias* stand for *key*, a label or an alias, whatever it stood for before."""

    alias: Name
    key: KeyName


class AliasInfo(Model):
    """An alias, the label of its key, and since when it is that key's."""

    alias: str
    key: str
    since: AwareDatetime


class AliasChanged(AliasInfo):
    """An alias as it is now; *moved_from* is the label of the key that it was before."""

    moved_from: str | None


class AliasList(Model):
    """Every alias, by name."""

    aliases: list[AliasInfo]
