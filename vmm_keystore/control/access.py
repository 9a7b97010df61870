# SPDX-License-Identifier: Apache-2.0
"""Who may ask the control API for what: three roles by user and group, and the least one that each route needs.

A route that is not in the table is for administrators. Root and keystored's own user are owners: they can do everything
to the vault without the API as well, and nobody is given that role.
"""

import grp
import pwd
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from vmm_keystore.control.peer import Peer
from vmm_keystore.errors import DaemonError

GROUP_MARK = "@"
ID_MAX = 2**32 - 2


class AdminRole(IntEnum):
    """Each may do what those before it may."""

    AUDITOR = 1
    """Look at everything; change nothing."""
    OPERATOR = 2
    """The changes of every day: guests, roles, grants, new keys and versions; nothing that cannot be undone."""
    ADMIN = 3
    OWNER = 4
    """Root and keystored's own user: what takes the KEK out of the vault."""

    @property
    def text(self) -> str:
        """What people say."""
        return self.name.lower()


_GET, _POST, _DELETE = "GET", "POST", "DELETE"
ROUTES: dict[tuple[str, str], AdminRole] = {
    **{
        (_GET, path): AdminRole.AUDITOR
        for path in (
            "/v1/status",
            "/v1/metrics",
            "/v1/guests",
            "/v1/guests/{name}",
            "/v1/keys",
            "/v1/keys/{label}",
            "/v1/keys/{label}/public",
            "/v1/aliases",
            "/v1/keys/{label}/certificate",
            "/v1/roles",
            "/v1/roles/{name}",
            "/v1/proposals",
            "/v1/proposals/{proposal_id}",
            "/v1/root",
            "/v1/events",
            "/v1/events/{event_id}",
            "/v1/event-handlers",
            "/v1/grants",
            "/v1/grants/{guest}/{key}/explain",
            "/v1/audit",
            "/v1/audit/verify",
            "/v1/audit/public-key",
        )
    },
    **{
        (_POST, path): AdminRole.OPERATOR
        for path in (
            "/v1/guests",
            "/v1/guests/{name}/own-keys",
            "/v1/keys",
            "/v1/keys/adopt",
            "/v1/keys/import/offer",
            "/v1/keys/import",
            "/v1/keys/import/wrapping-offer",
            "/v1/keys/import/wrapped",
            "/v1/keys/{label}/rotate",
            "/v1/keys/{label}/activate",
            "/v1/keys/{label}/suspend",
            "/v1/keys/{label}/destroy/cancel",
            "/v1/keys/{label}/min-version",
            "/v1/keys/{label}/rotation",
            "/v1/keys/{label}/tag",
            "/v1/keys/{label}/untag",
            "/v1/aliases",
            "/v1/keys/{label}/csr",
            "/v1/keys/{label}/self-sign",
            "/v1/keys/{label}/certificate",
            "/v1/roles",
            "/v1/roles/{name}/assign",
            "/v1/roles/{name}/unassign",
            "/v1/grants/propose",
            "/v1/roles/{name}/assign/propose",
            "/v1/dead-events/retry",
            "/v1/events/{event_id}/retry",
            "/v1/event-handlers/{name}/test",
            "/v1/root/offer",
            "/v1/root/unlock",
            "/v1/grants",
            "/v1/audit/checkpoint",
        )
    },
    (_POST, "/v1/root/export-recovery"): AdminRole.OWNER,
    (_DELETE, "/v1/guests/{name}"): AdminRole.OPERATOR,
    (_DELETE, "/v1/aliases/{alias}"): AdminRole.OPERATOR,
    (_DELETE, "/v1/keys/{label}/certificate"): AdminRole.OPERATOR,
    (_DELETE, "/v1/roles/{name}"): AdminRole.OPERATOR,
    (_DELETE, "/v1/grants/{guest}/{key}"): AdminRole.OPERATOR,
    (_DELETE, "/v1/proposals/{proposal_id}"): AdminRole.OPERATOR,
    (_DELETE, "/v1/dead-events"): AdminRole.OPERATOR,
    (_DELETE, "/v1/events/{event_id}"): AdminRole.OPERATOR,
}


def needed_role(method: str, path: str) -> AdminRole:
    """The least role for a route."""
    return ROUTES.get((method, path), AdminRole.ADMIN)


@dataclass(frozen=True, slots=True)
class Access:
    """Roles by uid and gid."""

    uids: dict[int, AdminRole] = field(default_factory=dict)
    gids: dict[int, AdminRole] = field(default_factory=dict)

    @classmethod
    def for_owners(cls, uids: Collection[int]) -> "Access":
        """Owners and nobody else."""
        return cls(dict.fromkeys(uids, AdminRole.OWNER))

    def role_of(self, peer: Peer) -> AdminRole | None:
        """The highest role that a peer has by its user or one of its groups."""
        found = [self.gids[gid] for gid in peer.groups if gid in self.gids]
        if peer.uid in self.uids:
            found.append(self.uids[peer.uid])
        return max(found, default=None)


def parse_access(who_by_role: dict[AdminRole, Sequence[str]], always: Collection[int]) -> Access:
    """Read who has which role: a user, a uid, or with ``@`` before it a group or gid; the highest counts.

    Args:
        who_by_role: as given on the command line.
        always: uids of owners, whatever was given.

    Raises:
        DaemonError: there is no such user or group.
    """
    uids = dict.fromkeys(always, AdminRole.OWNER)
    gids: dict[int, AdminRole] = {}
    for role in sorted(who_by_role):
        for who in who_by_role[role]:
            if who.startswith(GROUP_MARK):
                gids[_gid(who.removeprefix(GROUP_MARK), role)] = role
            else:
                uid = _uid(who, role)
                uids[uid] = max(role, uids.get(uid, role))
    return Access(uids, gids)


def _uid(who: str, role: AdminRole) -> int:
    if who.isdecimal():
        return _checked(int(who), who, role)
    try:
        return pwd.getpwnam(who).pw_uid
    except KeyError:
        raise DaemonError(f"--{role.text}: there is no user '{who}'", f"a group is --{role.text} @{who}") from None


def _gid(who: str, role: AdminRole) -> int:
    if who.isdecimal():
        return _checked(int(who), who, role)
    try:
        return grp.getgrnam(who).gr_gid
    except KeyError:
        raise DaemonError(f"--{role.text}: there is no group '{who}'", f"groupadd {who}") from None


def _checked(number: int, who: str, role: AdminRole) -> int:
    if number > ID_MAX:
        raise DaemonError(f"--{role.text}: {who} is no user or group id", f"they are 0 to {ID_MAX}")
    return number
