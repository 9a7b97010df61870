# SPDX-License-Identifier: Apache-2.0
"""The verbs for guests."""

import os
from contextlib import suppress
from dataclasses import dataclass

from vmm_keystore.errors import AlreadyExistsError, InvalidRequestError, NotFoundError
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.guest_values import Applied, Guest, WorkerStatus
from vmm_keystore.service.ports import GuestWorkers
from vmm_keystore.store.guests import (
    GuestRow,
    delete_guest,
    find_guest,
    find_socket_owner,
    get_guest,
    insert_guest,
    list_guests,
    set_own_keys_max,
)
from vmm_keystore.store.store import Store

SOCKET_PATH_BYTES_MAX = 107
"""``sun_path`` less its NUL, unix(7)."""


@dataclass(frozen=True, slots=True)
class GuestView:
    """A guest with how its worker is."""

    guest: GuestRow
    worker: WorkerStatus


class Guests:
    """Adding, removing and showing guests."""

    def __init__(self, store: Store, workers: GuestWorkers, changes: Changes) -> None:
        self._store = store
        self._workers = workers
        self._changes = changes

    def add(self, actor: Actor, guest: Guest) -> GuestView:
        """Add a guest; its socket is ready when this returns.

        Raises:
            AlreadyExistsError: name or socket is taken.
            InvalidRequestError: the path cannot be a socket's.
            WorkerError: the socket cannot be made, or no worker started.
        """
        with self._changes.attempt(actor, "guest-add", guest=guest.name, socket=guest.socket), self._changes.lock:
            self.check(guest)
            # First the socket, then the store: a guest that is stored could be served.
            self._workers.add_guest(guest)
            change: Change | None = None
            try:
                detail = {"guest": guest.name, "socket": guest.socket, "owner_uid": guest.owner_uid}
                if guest.own_keys_max:
                    detail["own_keys_max"] = guest.own_keys_max
                with self._changes.begin(actor, "guest-add", **detail) as change:
                    insert_guest(
                        change.connection,
                        guest.name,
                        guest.socket,
                        guest.owner_uid,
                        now_s(),
                        own_keys_max=guest.own_keys_max,
                    )
            except BaseException:
                if change is None or not change.committed:
                    self._workers.remove_guest(guest.name)
                raise
        return self.show(guest.name)

    def check(self, guest: Guest) -> None:
        """Look whether a guest could be added.

        Raises:
            AlreadyExistsError: name or socket is taken.
            InvalidRequestError: the path cannot be a socket's.
        """
        if not guest.socket.startswith("/") or os.path.normpath(guest.socket) != guest.socket:
            raise InvalidRequestError(
                f"socket '{guest.socket}' is no plain absolute path", "give it from / on, without .."
            )
        if len(os.fsencode(guest.socket)) > SOCKET_PATH_BYTES_MAX:
            raise InvalidRequestError(
                f"the socket's path is longer than {SOCKET_PATH_BYTES_MAX} bytes", "UNIX sockets take no longer one"
            )
        self._check_free(guest)

    def set_own_keys_max(self, actor: Actor, name: str, count: int) -> tuple[GuestView, tuple[Applied, ...]]:
        """Let a guest have so many keys of its own; those that it has stay, if they are more.

        Raises:
            NotFoundError: there is no such guest.
        """
        with self._changes.begin(actor, "guest-own-keys", guest=name, own_keys_max=count) as change:
            get_guest(change.connection, name)
            set_own_keys_max(change.connection, name, count)
            change.affects(name)
        return self.show(name), change.applied

    def remove(self, actor: Actor, name: str) -> tuple[int, int]:
        """Remove a guest and its grants: its front-end is disconnected, its worker gone when this returns.

        Returns:
            How many grants went with it, and how many keys that were its own are the vault's now.
        """
        with self._changes.begin(actor, "guest-remove", guest=name) as change:
            removed = delete_guest(change.connection, name)
            if removed.own_key_count:
                change.note(keys_left=removed.own_key_count)
            change.afterwards(lambda: self._workers.remove_guest(name))
        return removed.grant_count, removed.own_key_count

    def show(self, name: str) -> GuestView:
        """Return one guest."""
        with self._store.read() as connection:
            row = get_guest(connection, name)
        return GuestView(row, self._workers.worker_status(name))

    def list(self) -> tuple[GuestView, ...]:
        """Every guest, by name."""
        with self._store.read() as connection:
            rows = list_guests(connection)
        views = []
        for row in rows:
            # One that is removed while we look is not there any more.
            with suppress(NotFoundError):
                views.append(GuestView(row, self._workers.worker_status(row.name)))
        return tuple(views)

    def _check_free(self, guest: Guest) -> None:
        with self._store.read() as connection:
            if find_guest(connection, guest.name) is not None:
                raise AlreadyExistsError(f"there is a guest '{guest.name}' already", "vmm-keystore guest show shows it")
            owner = find_socket_owner(connection, guest.socket)
        if owner is not None:
            raise AlreadyExistsError(f"socket {guest.socket} belongs to guest '{owner}'", "give each guest its own")
