# SPDX-License-Identifier: Apache-2.0
"""A key version moves as NIST SP 800-57 says, and in no other way."""

import itertools

import pytest

from vmm_keystore.errors import InvalidRequestError, StateError
from vmm_keystore.policy.lifecycle import check_move, rotated_state, state_allows
from vmm_keystore.policy.mechanisms import TYPE_MECHANISMS, mechanism_ops, permission_for
from vmm_keystore.policy.vocabulary import KEYED_OPS, RELEASING_OPS, KeyState, KeyType, Mechanism, Op, mask

S = KeyState
ALLOWED = {
    (S.PRE_ACTIVATION, S.ACTIVE),
    (S.PRE_ACTIVATION, S.COMPROMISED),
    (S.PRE_ACTIVATION, S.DESTROYED),
    (S.ACTIVE, S.SUSPENDED),
    (S.ACTIVE, S.DEACTIVATED),
    (S.ACTIVE, S.COMPROMISED),
    (S.ACTIVE, S.DESTROYED),
    (S.SUSPENDED, S.ACTIVE),
    (S.SUSPENDED, S.DEACTIVATED),
    (S.SUSPENDED, S.COMPROMISED),
    (S.SUSPENDED, S.DESTROYED),
    (S.DEACTIVATED, S.COMPROMISED),
    (S.DEACTIVATED, S.DESTROYED),
    (S.COMPROMISED, S.DESTROYED),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(KeyState, KeyState)))
def test_moves_are_those_of_the_standard(before: KeyState, after: KeyState) -> None:
    """All 36 pairs: 14 moves, everything else refused."""
    if (before, after) in ALLOWED:
        check_move(before, after)
    else:
        with pytest.raises(StateError):
            check_move(before, after)


def test_only_active_keys_protect() -> None:
    """Protecting needs an active version; processing goes on when it is deactivated or compromised."""
    assert [s for s in S if state_allows(s, Op.SIGN)] == [S.ACTIVE]
    assert [s for s in S if state_allows(s, Op.DECRYPT)] == [S.ACTIVE, S.DEACTIVATED, S.COMPROMISED]
    assert [s for s in S if not state_allows(s, Op.PUBLIC)] == [S.DESTROYED]
    assert not any(state_allows(s, Op.RANDOM) for s in S)


def test_rotation_ends_protection_by_the_old_version() -> None:
    """An active version is deactivated; one that was suspended or worse stays as it is."""
    assert rotated_state(S.ACTIVE) == S.DEACTIVATED
    assert rotated_state(S.SUSPENDED) == S.SUSPENDED
    assert rotated_state(S.COMPROMISED) == S.COMPROMISED
    with pytest.raises(StateError, match="never active"):
        rotated_state(S.PRE_ACTIVATION)


def test_default_mechanisms_leave_out_those_with_a_trap() -> None:
    """The caller's own nonce, CBC, CTR, OAEP with SHA-1 and what gives a key a second use are granted only by name."""
    aes = permission_for(KeyType.AES_256, [Op.ENCRYPT, Op.DECRYPT], None)
    assert aes.mechanism_mask == mask([Mechanism.AES_GCM])
    chacha20 = permission_for(KeyType.CHACHA20_POLY1305, [Op.ENCRYPT, Op.DECRYPT], None)
    assert chacha20.mechanism_mask == mask([Mechanism.CHACHA20_POLY1305])
    every = permission_for(KeyType.AES_256, [Op.ENCRYPT, Op.MAC], TYPE_MECHANISMS[KeyType.AES_256])
    assert every.mechanism_mask == mask(TYPE_MECHANISMS[KeyType.AES_256])
    rsa = permission_for(KeyType.RSA_2048, [Op.SIGN, Op.DECRYPT], None)
    assert not rsa.mechanism_mask >> Mechanism.RSA_OAEP_SHA1 & 1
    assert rsa.mechanism_mask >> Mechanism.RSA_OAEP_SHA256 & 1
    signing = permission_for(KeyType.RSA_2048, [Op.SIGN], None)
    assert not signing.mechanism_mask >> Mechanism.RSA_OAEP_SHA256 & 1
    named = permission_for(KeyType.AES_128, [Op.ENCRYPT], [Mechanism.AES_CBC])
    assert named.mechanism_mask == mask([Mechanism.AES_CBC])
    signing = permission_for(KeyType.EC_P256, [Op.SIGN], None)
    assert signing.mechanism_mask == mask([Mechanism.ECDSA_SHA256, Mechanism.ECDSA_SHA384, Mechanism.ECDSA_SHA512])
    deriving = permission_for(KeyType.EC_P256, [Op.DERIVE, Op.RELEASE], None)
    hkdf = [Mechanism.ECDH_HKDF_SHA256, Mechanism.ECDH_HKDF_SHA384, Mechanism.ECDH_HKDF_SHA512]
    assert deriving.mechanism_mask == mask(hkdf)
    assert deriving.op_mask == mask([Op.DERIVE, Op.RELEASE])
    data_keys = permission_for(KeyType.AES_256, [Op.DATA_KEY, Op.RELEASE, Op.DECRYPT], None)
    assert data_keys.mechanism_mask == mask([Mechanism.AES_GCM])
    for key_type in KeyType:
        op = next(op for op in KEYED_OPS if any(op in mechanism_ops(m) for m in TYPE_MECHANISMS[key_type]))
        marks = [Op.LOGIN, *([Op.RELEASE] if op in RELEASING_OPS else [])]
        guarded = permission_for(key_type, [op, *marks], TYPE_MECHANISMS[key_type])
        assert guarded.op_mask == mask([op, *marks])


@pytest.mark.parametrize(
    ("key_type", "ops", "mechanisms", "message"),
    [
        (KeyType.EC_P256, [Op.ENCRYPT], None, "cannot encrypt"),
        (KeyType.EC_P256, [Op.PUBLIC], None, "cannot public"),
        (KeyType.AES_256, [Op.ENCRYPT], [Mechanism.HMAC_SHA256], "has no mechanism hmac-sha256"),
        (KeyType.AES_256_XTS, [Op.ENCRYPT], None, "none of the mechanisms can encrypt"),
        (KeyType.AES_256, [Op.ENCRYPT, Op.MAC], None, "none of the mechanisms can mac"),
        (KeyType.RSA_2048, [Op.SIGN, Op.DECRYPT], [Mechanism.RSA_PSS_SHA256], "none of the mechanisms can decrypt"),
        (KeyType.X25519, [Op.SIGN], None, "cannot sign"),
        (KeyType.ED25519, [Op.SIGN, Op.RELEASE], None, "cannot release"),
        (KeyType.EC_P256, [Op.DERIVE], None, "derive gives the guest a secret"),
        (KeyType.EC_P256, [Op.SIGN, Op.RELEASE], None, "release goes with derive, data-key or decapsulate"),
        (KeyType.EC_P256, [Op.LOGIN], None, "login goes with operations"),
        (KeyType.EC_P256, [Op.LOGIN], [Mechanism.ECDSA_SHA256], "login goes with operations"),
        (KeyType.AES_256, [Op.DATA_KEY, Op.ENCRYPT], None, "data-key gives the guest a secret"),
        (KeyType.AES_256, [Op.DATA_KEY, Op.RELEASE], [Mechanism.AES_CBC], "none of the mechanisms can data-key"),
    ],
)
def test_a_grant_that_could_never_be_used_is_refused(
    key_type: KeyType, ops: list[Op], mechanisms: list[Mechanism] | None, message: str
) -> None:
    """An operator learns at once, not from a guest's failure, that a grant makes no sense."""
    with pytest.raises(InvalidRequestError, match=message):
        permission_for(key_type, ops, mechanisms)


def test_bounds_that_exclude_each_other_are_refused() -> None:
    """A window that never opens is a mistake."""
    with pytest.raises(InvalidRequestError, match="not-after"):
        permission_for(KeyType.ED25519, [Op.SIGN], None, not_before_s=20, not_after_s=19)
