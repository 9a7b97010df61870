# SPDX-License-Identifier: Apache-2.0
"""The zygote: the process that workers are forked from, with libcrypto warmed up."""

from vmm_keystore._vks import lib
from vmm_keystore.errors import WorkerError
from vmm_keystore.workers.data_plane import DataPlane
from vmm_keystore.workers.errors import ProgramError, ProgramLostError
from vmm_keystore.workers.ipc import REPLY, Form, Message, pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import Process, RightfulPrograms
from vmm_keystore.workers.supervised import SupervisedProgram

PROGRAM = "vks-zygote"
FORMS = {lib.VKS_ZYGOTE_SPAWN | REPLY: Form("vks_zygote_spawned", fd_count=1)}
START_TIMEOUT_S = 10.0  # the first spawn waits for the warm-up


class Zygote:
    """Forks workers; restarted when it dies, which workers do not notice."""

    def __init__(self, loop: Loop, first: RightfulPrograms) -> None:
        self._program = SupervisedProgram(
            loop, PROGRAM, FORMS, first=first, without_rights="new workers are no users of their own, but keystored's"
        )

    @property
    def pid(self) -> int | None:
        """The zygote's pid, for the log and for tests."""
        return self._program.pid

    def start(self) -> None:
        """Start the program.

        Raises:
            WorkerError: it is not installed.
        """
        try:
            self._program.start()
        except ProgramError as error:
            raise WorkerError(error.message, error.hint) from error

    def stop(self) -> None:
        """End the program."""
        self._program.stop()

    def spawn(
        self, worker_id: int, control_fd: int, key_channel_fd: int, state_fd: int, data_plane: DataPlane
    ) -> Process:
        """Fork a worker with its three descriptors, lent for the call; it is the zygote's to reap.

        Raises:
            ProgramError: the zygote refused, or died and so did its successor.
        """
        body = pack("vks_zygote_spawn", {"worker_id": worker_id} | data_plane.spawn_fields())
        fds = [control_fd, key_channel_fd, state_fd, *data_plane.spawn_fds()]
        try:
            message = self._request(body, fds)
        except ProgramLostError:
            message = self._request(body, fds)
        return Process(int(message.body.pid), message.fds[0])

    def _request(self, body: bytes, fds: list[int]) -> Message:
        return self._program.connection().request(lib.VKS_ZYGOTE_SPAWN, body, fds, timeout_s=START_TIMEOUT_S)
