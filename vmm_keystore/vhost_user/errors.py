# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between front-end and back-end.

::

    VhostUserError
    ├── ProtocolError     the front-end broke vhost-user: it loses its connection, nobody else notices
    └── SocketInUseError  the listening path belongs to somebody else
"""


class VhostUserError(Exception):
    """Root of this package's errors; the text names cause and message type, never payload or addresses."""


class ProtocolError(VhostUserError):
    """A message that vhost-user or the negotiated features do not allow here."""


class SocketInUseError(VhostUserError):
    """The path of a guest's socket holds something that is not ours to replace."""
