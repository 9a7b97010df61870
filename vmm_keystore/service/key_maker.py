# SPDX-License-Identifier: Apache-2.0
"""Where new key versions come from: the custodian makes them, or a token does and the custodian seals what is public."""

from collections.abc import Mapping
from dataclasses import dataclass

from vmm_keystore.errors import InvalidRequestError, RootLockedError, SecretRefusedError
from vmm_keystore.policy.hsm import OBJECT_BYTES_MAX, TOKEN_TYPES, TokenObject
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import SealedKey, TokenPair
from vmm_keystore.service.ports import KeyCustodian, TokenKeys

NO_TOKEN = ("keystored was started without a pkcs#11 token", "serve --hsm-module PATH --hsm-pin FILE")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What a key pair of a token is found by: its CKA_ID, or where that is empty its CKA_LABEL."""

    label: str = ""
    object_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Made:
    """A new version: what is sealed of it, and the token that its private half lies in, if it does."""

    sealed: SealedKey
    token: TokenObject | None = None

    @property
    def noted(self) -> Mapping[str, str]:
        """What its audit line says of the token."""
        if self.token is None:
            return {}
        return {"token_serial": self.token.serial, "token_object": self.token.object_id.hex()}


class KeyMaker:
    """Makes versions in custodian or token."""

    def __init__(self, custodian: KeyCustodian, token: TokenKeys | None) -> None:
        self._custodian = custodian
        self._token = token

    def make(self, key_id: bytes, version: int, key_type: KeyType, token_label: str | None) -> Made:
        """Make one; with *token_label* in the token, whose own tools show it under that.

        Raises:
            InvalidRequestError: a token has no keys of this type.
            SecretRefusedError: there is no token, or it refuses.
            CustodianError: it could not be made.
        """
        if token_label is None:
            return Made(self._custodian.generate(key_id, version, key_type))
        if key_type not in TOKEN_TYPES:
            types = ", ".join(word.text for word in KeyType if word in TOKEN_TYPES)
            raise InvalidRequestError(f"a token has no keys of type {key_type.text} here", f"it has {types}")
        return self._enroll(key_id, version, self._asked().generate(key_type, token_label))

    def adopt(self, key_id: bytes, name: ObjectName) -> Made:
        """Find one in the token; raises as :meth:`make`."""
        if bool(name.label) == bool(name.object_id):
            raise InvalidRequestError("a key pair of a token is named by its label or by its id, one of the two")
        if len(name.object_id) > OBJECT_BYTES_MAX:
            raise InvalidRequestError(f"the id of a token's key has at most {OBJECT_BYTES_MAX} bytes")
        return self._enroll(key_id, 1, self._asked().find(name.label, name.object_id))

    def _asked(self) -> TokenKeys:
        if self._token is None:
            raise SecretRefusedError(*NO_TOKEN)
        # Before the token makes a pair that nobody could take in.
        if not self._custodian.status().root_open:
            raise RootLockedError
        return self._token

    def _enroll(self, key_id: bytes, version: int, pair: TokenPair) -> Made:
        return Made(self._custodian.enroll(key_id, version, pair.key_type, pair.public_der), pair.place)
