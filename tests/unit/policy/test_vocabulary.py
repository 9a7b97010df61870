# SPDX-License-Identifier: Apache-2.0
"""The words and tables in Python are those of the C headers, member by member."""

from pathlib import Path

import pytest

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.mechanisms import NAMED_ONLY, TYPE_MECHANISMS, default_mechanism, mechanism_ops
from vmm_keystore.policy.vocabulary import KEYED_OPS, KeyState, KeyType, Mechanism, Op, Status, Word, mask

README = Path(__file__).resolve().parents[3] / "README.md"
C_ENUMS = [
    (KeyType, "vks_key_type", "VKS_KEY_TYPE_", ("COUNT",)),
    (KeyState, "vks_key_state", "VKS_KEY_STATE_", ("COUNT",)),
    (Op, "vks_op", "VKS_OP_", ("COUNT",)),
    (Mechanism, "vks_mechanism", "VKS_MECHANISM_", ("COUNT", "DEFAULT")),
    (Status, "vks_status", "VKS_STATUS_", ("END",)),
]


@pytest.mark.parametrize(("words", "enum", "prefix", "bounds"), C_ENUMS, ids=str)
def test_words_are_the_headers_constants(words: type[Word], enum: str, prefix: str, bounds: tuple[str, ...]) -> None:
    """No number is missing, added or different on either side."""
    c_members = {name.removeprefix(prefix): value for value, name in ffi.typeof(f"enum {enum}").elements.items()}
    assert {word.name: int(word) for word in words} == {k: v for k, v in c_members.items() if k not in bounds}


def test_words_round_trip() -> None:
    """Every word is found again by its text; an unknown one is refused with the list."""
    for words in (KeyType, KeyState, Op, Mechanism, Status):
        for word in words:
            assert words.from_text(word.text) is word
    with pytest.raises(InvalidRequestError, match="unknown key type 'p256'") as caught:
        KeyType.from_text("p256")
    assert "ec-p256" in caught.value.hint


@pytest.mark.parametrize("key_type", KeyType)
def test_type_mechanisms_agree_with_c(key_type: KeyType) -> None:
    """What a type can do is one table in two languages."""
    assert mask(TYPE_MECHANISMS[key_type]) == lib.vks_policy_type_mechanisms(key_type)
    for op in Op:
        assert default_mechanism(key_type, op) == lib.vks_policy_default_mechanism(key_type, op)
        assert lib.vks_policy_default_mechanism(key_type, op) in TYPE_MECHANISMS[key_type]
    for op in KEYED_OPS:
        # Encrypting by RSA apart, the default does whatever a mechanism does that need not be named.
        able = [one for one in TYPE_MECHANISMS[key_type] if op in mechanism_ops(one) and one not in NAMED_ONLY]
        main = [one for one in able if not Mechanism.RSA_OAEP_SHA1 <= one <= Mechanism.RSA_OAEP_SHA512]
        if main:
            assert op in mechanism_ops(default_mechanism(key_type, op))


@pytest.mark.parametrize("mechanism", Mechanism)
def test_mechanism_ops_agree_with_c(mechanism: Mechanism) -> None:
    """Which operations take a mechanism is one table in two languages."""
    assert mask(mechanism_ops(mechanism)) == lib.vks_policy_mechanism_ops(mechanism)


def test_readme_names_types_and_what_a_grant_must_name() -> None:
    """Nobody looks into the sources for a word that the command line takes."""
    [line] = [line for line in README.read_text().splitlines() if line.startswith("Key types: ")]
    types, _, rest = line.partition(" Operations: ")
    named = rest.partition("except ")[2].partition(", which")[0]
    assert types == "Key types: " + ", ".join(f"`{key_type.text}`" for key_type in KeyType) + "."
    assert set(named.replace(" and ", ", ").split(", ")) == {f"`{mechanism.text}`" for mechanism in NAMED_ONLY}
