# SPDX-License-Identifier: Apache-2.0
"""How Alembic runs our migrations: on the connection it is given, inside that connection's transaction."""

from alembic import context

from vmm_keystore.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
