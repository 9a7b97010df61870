# SPDX-License-Identifier: Apache-2.0
"""Certificate chains of key versions in the store: as PEM, with what people ask for beside it."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.certificate_chain import CertificateFacts, Chain, read_chain
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.store.tables import key_certificates, key_versions, keys

FACTS = tuple(CertificateFacts.__dataclass_fields__)


def put_chain(connection: sa.Connection, key_row: int, version: int, chain: Chain) -> None:
    """Attach a chain to a version, in place of one that it has."""
    drop_chain(connection, key_row, version)
    row = connection.execute(sa.select(key_versions.c.id).where(_is(key_row, version))).scalar_one()
    connection.execute(key_certificates.insert().values(key_version=row, pem=chain.pem, **asdict(chain.facts)))


def drop_chain(connection: sa.Connection, key_row: int, version: int) -> bool:
    """Take a version's chain away; False: it has none."""
    rows = sa.select(key_versions.c.id).where(_is(key_row, version))
    return connection.execute(key_certificates.delete().where(key_certificates.c.key_version.in_(rows))).rowcount > 0


def find_chain(connection: sa.Connection, key_row: int, version: int) -> Chain | None:
    """A version's chain."""
    query = sa.select(key_certificates).join(key_versions).where(_is(key_row, version))
    row = connection.execute(query).one_or_none()
    return None if row is None else Chain(row.pem, facts_of(row))


def facts_of(row: Any) -> CertificateFacts:
    """What is said of a chain, from a row that has its columns."""
    return CertificateFacts(**{name: getattr(row, name) for name in FACTS})


def list_ends(connection: sa.Connection) -> list[tuple[str, int, int]]:
    """Label, version and the end of the certificate, of versions that protect."""
    query = (
        sa.select(keys.c.label, key_versions.c.version, key_certificates.c.not_after_s)
        .select_from(key_certificates)
        .join(key_versions)
        .join(keys)
        .where(key_versions.c.state == KeyState.ACTIVE)
        .order_by(keys.c.label, key_versions.c.version)
    )
    return [(row.label, row.version, row.not_after_s) for row in connection.execute(query)]


def check_chains(connection: sa.Connection) -> None:
    """See that each chain is one, and what is said of it is so.

    Raises:
        ValueError: it is not.
    """
    for row in connection.execute(sa.select(key_certificates)):
        try:
            if read_chain(row.pem) != Chain(row.pem, facts_of(row)):
                raise ValueError("what it says of a certificate is not what the certificate says")
        except InvalidRequestError as error:
            raise ValueError("a certificate chain in it is none") from error


def _is(key_row: int, version: int) -> sa.ColumnElement[bool]:
    return sa.and_(key_versions.c.key == key_row, key_versions.c.version == version)
