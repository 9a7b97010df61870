# SPDX-License-Identifier: Apache-2.0
"""Which mechanisms a key type can do, which operations take part in them, and which a grant must name.

The same tables as ``cext/shared/policy.c``; a test holds the two together.
"""

from collections.abc import Iterable

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import GRANTABLE_OPS, RELEASING_OPS, KeyType, Mechanism, Op, mask

_ECDSA = (Mechanism.ECDSA_SHA256, Mechanism.ECDSA_SHA384, Mechanism.ECDSA_SHA512)
_RSA = tuple(m for m in Mechanism if Mechanism.RSA_PKCS1_SHA256 <= m <= Mechanism.RSA_OAEP_SHA512)
_AES = (
    Mechanism.AES_GCM,
    Mechanism.AES_GCM_OWN_NONCE,
    Mechanism.AES_CBC,
    Mechanism.AES_CTR,
    Mechanism.AES_CMAC,
    Mechanism.AES_KW,
    Mechanism.AES_KWP,
)
_CHACHA20 = (Mechanism.CHACHA20_POLY1305, Mechanism.CHACHA20_POLY1305_OWN_NONCE)
_ECDH = (Mechanism.ECDH, Mechanism.ECDH_HKDF_SHA256, Mechanism.ECDH_HKDF_SHA384, Mechanism.ECDH_HKDF_SHA512)

TYPE_MECHANISMS: dict[KeyType, tuple[Mechanism, ...]] = {
    KeyType.EC_P256: (*_ECDSA, *_ECDH),
    KeyType.EC_P384: (*_ECDSA, *_ECDH),
    KeyType.ED25519: (Mechanism.ED25519,),
    KeyType.RSA_2048: _RSA,
    KeyType.RSA_3072: _RSA,
    KeyType.RSA_4096: _RSA,
    KeyType.AES_128: _AES,
    KeyType.AES_256: _AES,
    KeyType.HMAC_SHA256: (Mechanism.HMAC_SHA256, Mechanism.HKDF_SHA256),
    KeyType.HMAC_SHA384: (Mechanism.HMAC_SHA384, Mechanism.HKDF_SHA384),
    KeyType.HMAC_SHA512: (Mechanism.HMAC_SHA512, Mechanism.HKDF_SHA512),
    KeyType.CHACHA20_POLY1305: _CHACHA20,
    KeyType.AES_128_XTS: (Mechanism.AES_XTS,),
    KeyType.AES_256_XTS: (Mechanism.AES_XTS,),
    KeyType.X25519: _ECDH,
    KeyType.ML_DSA_44: (Mechanism.ML_DSA,),
    KeyType.ML_DSA_65: (Mechanism.ML_DSA,),
    KeyType.ML_DSA_87: (Mechanism.ML_DSA,),
    KeyType.ML_KEM_512: (Mechanism.ML_KEM,),
    KeyType.ML_KEM_768: (Mechanism.ML_KEM,),
    KeyType.ML_KEM_1024: (Mechanism.ML_KEM,),
}

_DEFAULT: dict[KeyType, Mechanism] = {
    KeyType.EC_P256: Mechanism.ECDSA_SHA256,
    KeyType.EC_P384: Mechanism.ECDSA_SHA384,
    KeyType.ED25519: Mechanism.ED25519,
    KeyType.RSA_2048: Mechanism.RSA_PSS_SHA256,
    KeyType.RSA_3072: Mechanism.RSA_PSS_SHA256,
    KeyType.RSA_4096: Mechanism.RSA_PSS_SHA256,
    KeyType.AES_128: Mechanism.AES_GCM,
    KeyType.AES_256: Mechanism.AES_GCM,
    KeyType.HMAC_SHA256: Mechanism.HMAC_SHA256,
    KeyType.HMAC_SHA384: Mechanism.HMAC_SHA384,
    KeyType.HMAC_SHA512: Mechanism.HMAC_SHA512,
    KeyType.CHACHA20_POLY1305: Mechanism.CHACHA20_POLY1305,
    KeyType.AES_128_XTS: Mechanism.AES_XTS,
    KeyType.AES_256_XTS: Mechanism.AES_XTS,
    KeyType.X25519: Mechanism.ECDH_HKDF_SHA256,
    KeyType.ML_DSA_44: Mechanism.ML_DSA,
    KeyType.ML_DSA_65: Mechanism.ML_DSA,
    KeyType.ML_DSA_87: Mechanism.ML_DSA,
    KeyType.ML_KEM_512: Mechanism.ML_KEM,
    KeyType.ML_KEM_768: Mechanism.ML_KEM,
    KeyType.ML_KEM_1024: Mechanism.ML_KEM,
}
"""What a request that names none means, unless it derives."""

_DERIVE_DEFAULT: dict[KeyType, Mechanism] = {
    KeyType.EC_P256: Mechanism.ECDH_HKDF_SHA256,
    KeyType.EC_P384: Mechanism.ECDH_HKDF_SHA384,
    KeyType.HMAC_SHA256: Mechanism.HKDF_SHA256,
    KeyType.HMAC_SHA384: Mechanism.HKDF_SHA384,
    KeyType.HMAC_SHA512: Mechanism.HKDF_SHA512,
}

NAMED_ONLY = frozenset(
    {
        Mechanism.AES_GCM_OWN_NONCE,
        Mechanism.AES_CBC,
        Mechanism.AES_CTR,
        Mechanism.RSA_OAEP_SHA1,
        Mechanism.CHACHA20_POLY1305_OWN_NONCE,
        Mechanism.AES_CMAC,
        Mechanism.AES_KW,
        Mechanism.AES_KWP,
        Mechanism.AES_XTS,
        Mechanism.ECDH,
    },
)
"""Mechanisms with a trap of their own, or a second use of a key: a grant has them only where it names them."""

_SIGN_OPS = (Op.SIGN, Op.VERIFY)
_CIPHER_OPS = (Op.ENCRYPT, Op.DECRYPT)
_MAC_OPS = (Op.MAC, Op.MAC_VERIFY)
_DERIVE_OPS = (Op.DERIVE, Op.RELEASE)
_DATA_KEY_OPS = (Op.DATA_KEY, Op.RELEASE)
_OUT_OF_ORDER = {
    Mechanism.AES_GCM: (*_CIPHER_OPS, *_DATA_KEY_OPS),
    Mechanism.CHACHA20_POLY1305: (*_CIPHER_OPS, *_DATA_KEY_OPS),
    Mechanism.AES_CMAC: _MAC_OPS,
    Mechanism.ML_DSA: _SIGN_OPS,
    Mechanism.ML_KEM: (Op.DECAPSULATE, Op.RELEASE),
}
"""What mechanisms do that are not among their like by number."""


def default_mechanism(key_type: KeyType, op: Op) -> Mechanism:
    """Return what a request for *op* that names none means."""
    if op == Op.DERIVE:
        return _DERIVE_DEFAULT.get(key_type, _DEFAULT[key_type])
    return _DEFAULT[key_type]


def mechanism_ops(mechanism: Mechanism) -> tuple[Op, ...]:
    """Return the operations that take *mechanism*."""
    if mechanism in _OUT_OF_ORDER:
        return _OUT_OF_ORDER[mechanism]
    if mechanism <= Mechanism.RSA_PSS_SHA512:
        return _SIGN_OPS
    if mechanism >= Mechanism.ECDH:
        return _DERIVE_OPS
    if Mechanism.HMAC_SHA256 <= mechanism <= Mechanism.HMAC_SHA512:
        return _MAC_OPS
    return _CIPHER_OPS


def permission_for(
    key_type: KeyType,
    ops: Iterable[Op],
    mechanisms: Iterable[Mechanism] | None,
    *,
    not_before_s: int = 0,
    not_after_s: int = 0,
    input_bytes_max: int = 0,
    uids: Iterable[int] = (),
    ops_max: int = 0,
    ops_a_second: int = 0,
) -> Permission:
    """Make the permission of a grant, refusing what could never be used.

    Args:
        key_type: of the key it is for.
        ops: operations it allows.
        mechanisms: mechanisms it allows; None: those of *key_type* that go with *ops* and need not be named.
        not_before_s: UNIX time, 0: no bound.
        not_after_s: UNIX time, 0: no bound; the second itself is still allowed.
        input_bytes_max: of one request, 0: no bound of the grant's own.
        uids: of the guest's users who may; none: every one.
        ops_max: operations in all, 0: no bound.
        ops_a_second: rate of operations, 0: no bound.

    Raises:
        InvalidRequestError: an operation or mechanism does not go with the type, or the bounds exclude each other.
    """
    wanted_ops = tuple(dict.fromkeys(ops))
    if mechanisms is None:
        wanted = tuple(
            m for m in TYPE_MECHANISMS[key_type] if m not in NAMED_ONLY and set(mechanism_ops(m)) & set(wanted_ops)
        )
    else:
        wanted = tuple(dict.fromkeys(mechanisms))
    # It goes with every type and mechanism.
    used_ops = tuple(op for op in wanted_ops if op != Op.LOGIN)
    if wanted_ops and not used_ops:
        raise InvalidRequestError("login goes with operations, and alone allows nothing")
    _check_fit(key_type, used_ops, wanted)
    if not_before_s and not_after_s and not_after_s < not_before_s:
        raise InvalidRequestError("not-after is earlier than not-before")
    return Permission(
        op_mask=mask(wanted_ops),
        mechanism_mask=mask(wanted),
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        input_bytes_max=input_bytes_max,
        uids=tuple(sorted(set(uids))),
        ops_max=ops_max,
        ops_a_second=ops_a_second,
    )


def own_permission(key_type: KeyType) -> Permission:
    """What a guest may do with a key that it made: all that gives it no secret, as far as it need not be named."""
    mechanisms = [m for m in TYPE_MECHANISMS[key_type] if m not in NAMED_ONLY]
    possible = {op for m in mechanisms for op in mechanism_ops(m)} - RELEASING_OPS - {Op.RELEASE}
    return permission_for(key_type, sorted(possible), None)


def _check_fit(key_type: KeyType, ops: tuple[Op, ...], mechanisms: tuple[Mechanism, ...]) -> None:
    possible = TYPE_MECHANISMS[key_type]
    possible_ops = [op for op in GRANTABLE_OPS if any(op in mechanism_ops(m) for m in possible)]
    for op in ops:
        if op not in possible_ops:
            raise InvalidRequestError(
                f"a key of type {key_type.text} cannot {op.text}",
                "it can: " + ", ".join(op.text for op in possible_ops),
            )
    releasing = [op for op in ops if op in RELEASING_OPS]
    if releasing and Op.RELEASE not in ops:
        raise InvalidRequestError(
            f"{releasing[0].text} gives the guest a secret, and the grant does not say release",
            "if the guest shall have it: --ops " + ",".join(op.text for op in (*ops, Op.RELEASE)),
        )
    if Op.RELEASE in ops and not releasing:
        raise InvalidRequestError("release goes with derive, data-key or decapsulate, and alone allows nothing")
    for mechanism in mechanisms:
        if mechanism not in possible:
            raise InvalidRequestError(
                f"a key of type {key_type.text} has no mechanism {mechanism.text}",
                "it has: " + ", ".join(m.text for m in possible),
            )
    for op in ops:
        if not any(op in mechanism_ops(m) for m in mechanisms):
            raise InvalidRequestError(
                f"none of the mechanisms can {op.text}",
                "it needs one of: " + ", ".join(m.text for m in possible if op in mechanism_ops(m)),
            )
