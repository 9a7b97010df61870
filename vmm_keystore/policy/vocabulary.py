# SPDX-License-Identifier: Apache-2.0
"""The numbers of the device ABI with the words people use for them.

Written out here so that the pure modules need no extension module; a test ties each number to the C header.
The word of a member is its name in lower case with dashes: ``EC_P256`` is ``ec-p256``.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Self

from vmm_keystore.errors import InvalidRequestError

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$"
"""Names of guests and roles, labels of keys that administrators make."""
OWNER_MARK = ":"
"""In the label of a key that is a guest's own, between the guest's name and what the guest calls it."""
KEY_NAME_PATTERN = r"^([a-zA-Z0-9][a-zA-Z0-9._-]*:)?[a-zA-Z0-9][a-zA-Z0-9._-]*$"
"""Labels of all keys, and their aliases; of at most ``KEY_NAME_BYTES_MAX``."""
KEY_NAME_BYTES_MAX = 63


class Word(IntEnum):
    """A number of the ABI that has a word."""

    @property
    def text(self) -> str:
        """The word: what CLI, API, store and audit log say."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the member with the word *text*.

        Raises:
            InvalidRequestError: there is none; the hint lists those there are.
        """
        for member in cls:
            if member.text == text:
                return member
        raise InvalidRequestError(
            f"unknown {cls.noun()} '{text}'", "one of: " + ", ".join(member.text for member in cls)
        )

    @classmethod
    def find(cls, number: int) -> Self | None:
        """Return the member with *number*; a guest may send any."""
        return next((member for member in cls if member == number), None)

    @classmethod
    def noun(cls) -> str:
        """What one of them is called in a message."""
        return cls.__name__.lower()


class KeyType(Word):
    """What a key is, fixed for its whole life."""

    EC_P256 = 1
    EC_P384 = 2
    ED25519 = 3
    RSA_2048 = 4
    RSA_3072 = 5
    RSA_4096 = 6
    AES_128 = 7
    AES_256 = 8
    HMAC_SHA256 = 9
    HMAC_SHA384 = 10
    HMAC_SHA512 = 11
    CHACHA20_POLY1305 = 12
    AES_128_XTS = 13
    AES_256_XTS = 14
    X25519 = 15
    ML_DSA_44 = 16
    ML_DSA_65 = 17
    ML_DSA_87 = 18
    ML_KEM_512 = 19
    ML_KEM_768 = 20
    ML_KEM_1024 = 21

    @classmethod
    def noun(cls) -> str:
        """What one of them is called in a message."""
        return "key type"

    @property
    def has_public(self) -> bool:
        """True for key pairs."""
        return self <= KeyType.RSA_4096 or self >= KeyType.X25519

    @property
    def signs(self) -> bool:
        """True for key pairs that make signatures."""
        return self.certifies or KeyType.ML_DSA_44 <= self <= KeyType.ML_DSA_87

    @property
    def certifies(self) -> bool:
        """True for key pairs with which the custodian makes certificates."""
        return self <= KeyType.RSA_4096

    @property
    def makes_nonces(self) -> bool:
        """True where the device makes nonces from a lease (SP 800-38D, 8.2.1)."""
        return self in {KeyType.AES_128, KeyType.AES_256, KeyType.CHACHA20_POLY1305}


class KeyState(Word):
    """NIST SP 800-57 part 1, 7: state of a key version."""

    PRE_ACTIVATION = 0
    ACTIVE = 1
    SUSPENDED = 2
    DEACTIVATED = 3
    COMPROMISED = 4
    DESTROYED = 5

    @classmethod
    def noun(cls) -> str:
        """What one of them is called in a message."""
        return "key state"


class Op(Word):
    """An operation of the device, and two that are none, which a grant may name beside them.

    Without *release* no secret that a key makes reaches a guest; *login* has a guest's programs ask for one.
    """

    INFO = 1
    LIST = 2
    PUBLIC = 3
    SIGN = 4
    VERIFY = 5
    ENCRYPT = 6
    DECRYPT = 7
    MAC = 8
    MAC_VERIFY = 9
    RANDOM = 10
    DERIVE = 11
    DATA_KEY = 12
    DECAPSULATE = 13
    GENERATE = 14
    ROTATE = 15
    DESTROY = 16
    LOGIN = 61
    RELEASE = 62

    @classmethod
    def noun(cls) -> str:
        """What one of them is called in a message."""
        return "operation"


class Mechanism(Word):
    """How an operation is done."""

    ECDSA_SHA256 = 1
    ECDSA_SHA384 = 2
    ECDSA_SHA512 = 3
    ED25519 = 4
    RSA_PKCS1_SHA256 = 5
    RSA_PKCS1_SHA384 = 6
    RSA_PKCS1_SHA512 = 7
    RSA_PSS_SHA256 = 8
    RSA_PSS_SHA384 = 9
    RSA_PSS_SHA512 = 10
    RSA_OAEP_SHA1 = 11
    RSA_OAEP_SHA256 = 12
    RSA_OAEP_SHA384 = 13
    RSA_OAEP_SHA512 = 14
    AES_GCM = 15
    AES_GCM_OWN_NONCE = 16
    AES_CBC = 17
    AES_CTR = 18
    HMAC_SHA256 = 19
    HMAC_SHA384 = 20
    HMAC_SHA512 = 21
    CHACHA20_POLY1305 = 22
    CHACHA20_POLY1305_OWN_NONCE = 23
    AES_CMAC = 24
    AES_KW = 25
    AES_KWP = 26
    AES_XTS = 27
    ECDH = 28
    ECDH_HKDF_SHA256 = 29
    ECDH_HKDF_SHA384 = 30
    ECDH_HKDF_SHA512 = 31
    HKDF_SHA256 = 32
    HKDF_SHA384 = 33
    HKDF_SHA512 = 34
    ML_DSA = 35
    ML_KEM = 36


class Status(Word):
    """How the device answers a request."""

    OK = 0
    FOREIGN_NOTSUPP = 3
    MALFORMED = 0x80
    VERSION = 0x81
    UNSUPPORTED = 0x82
    NO_KEY = 0x83
    DENIED = 0x84
    KEY_STATE = 0x85
    LIMIT = 0x86
    AUTH_FAILED = 0x87
    INPUT_SIZE = 0x88
    OUTPUT_SIZE = 0x89
    INTERNAL = 0x8A
    UNAVAILABLE = 0x8B
    EXISTS = 0x8C


KEYED_OPS = (
    Op.SIGN,
    Op.VERIFY,
    Op.ENCRYPT,
    Op.DECRYPT,
    Op.MAC,
    Op.MAC_VERIFY,
    Op.DERIVE,
    Op.DATA_KEY,
    Op.DECAPSULATE,
)
"""Operations that use a key and that a grant must name; info, list and random need no grant, public needs any grant."""
MARKS = (Op.RELEASE, Op.LOGIN)
"""No operations: a grant names them beside some."""
GRANTABLE_OPS = (*KEYED_OPS, *MARKS)
"""What a grant may name."""
RELEASING_OPS = frozenset({Op.DERIVE, Op.DATA_KEY, Op.DECAPSULATE})
"""They give the guest a secret: only where its grant names release, and each on a line of the audit log of its own."""
OWNER_OPS = frozenset({Op.ROTATE, Op.DESTROY})
"""What a guest may do with a key of its own, whatever its grant names."""

OWN_KEYS_MAX = 1000
"""That one guest may have."""
OWN_TYPES = frozenset(
    {
        KeyType.EC_P256,
        KeyType.EC_P384,
        KeyType.ED25519,
        KeyType.AES_128,
        KeyType.AES_256,
        KeyType.HMAC_SHA256,
        KeyType.HMAC_SHA384,
        KeyType.HMAC_SHA512,
        KeyType.CHACHA20_POLY1305,
        KeyType.ML_DSA_44,
        KeyType.ML_DSA_65,
        KeyType.ML_DSA_87,
    }
)
"""What a guest may make for itself: not RSA, for which everybody else's keys would have to wait, and nothing that does
only what a grant must name."""


def mask(members: Iterable[int]) -> int:
    """Return the mask with the bit of each of *members* set."""
    bits = 0
    for member in members:
        bits |= 1 << member
    return bits
