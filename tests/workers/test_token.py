# SPDX-License-Identifier: Apache-2.0
"""keystored's side of vks-hsm, with the real program and a software HSM."""

import os
from collections.abc import Iterator

import pytest
from framework.patience import wait_for
from framework.software_hsm import MODULE, SoftwareHsm

from vmm_keystore._vks import lib
from vmm_keystore.errors import SecretRefusedError
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.hsm import HsmPlace
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op, mask
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.pin import Pin
from vmm_keystore.workers.token import Token


@pytest.fixture
def token(loop: Loop, hsm: SoftwareHsm) -> Iterator[Token]:
    """One that is not asked yet."""
    pin = Pin(hsm.pin_file)
    made = Token(loop, HsmPlace(MODULE, hsm.pin_file), pin, hsm.environment)
    yield made
    made.stop()
    os.close(pin.fd)


class Given:
    """What workers would have got."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def take(self, fd: int) -> None:
        """Keep one."""
        self.fds.append(os.dup(fd))

    def close(self) -> None:
        """All ends of channels."""
        while self.fds:
            os.close(self.fds.pop())


@pytest.fixture
def given() -> Iterator[Given]:
    """An empty one."""
    made = Given()
    yield made
    made.close()


def permitted(token: Token) -> PermittedKey:
    """A new key of the token that may sign."""
    pair = token.generate(KeyType.EC_P256, "label")
    permission = Permission(mask([Op.SIGN]), mask([lib.VKS_MECHANISM_ECDSA_SHA256]))
    return PermittedKey(os.urandom(16), 1, pair.key_type, KeyState.ACTIVE, True, permission, "label", token=pair.place)


def test_channel_that_was_closed_is_made_anew(token: Token, given: Given) -> None:
    """Whoever closed it, a dead worker or one that broke the protocol: nobody else loses the token."""
    key = permitted(token)
    pid = token.status().pid
    token.allow(1, [key], given.take)
    token.allow(2, [key], given.take)
    assert len(given.fds) == 2
    os.close(given.fds.pop(0))

    def changed_twice() -> bool:
        for keys in ([], [key]):
            token.allow(1, keys, given.take)
        return len(given.fds) == 2

    wait_for(changed_twice)
    assert token.status().pid == pid


def test_nothing_is_started_for_keys_of_the_vault(token: Token, given: Given) -> None:
    """A token that nobody needs is not asked."""
    permission = Permission(mask([Op.SIGN]), 2)
    own = PermittedKey(os.urandom(16), 1, KeyType.EC_P256, KeyState.ACTIVE, True, permission, "own")
    token.allow(1, [own], given.take)
    token.close_channel(1)
    assert (token.status().pid, token.status().problem, given.fds) == (None, "", [])


def test_stopped_while_somebody_waits(token: Token) -> None:
    """Whoever asks afterwards is told."""
    token.start()
    token.stop()
    with pytest.raises(SecretRefusedError, match="the token cannot be used: "):
        token.generate(KeyType.EC_P256, "label")
