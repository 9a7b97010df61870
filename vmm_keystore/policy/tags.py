# SPDX-License-Identifier: Apache-2.0
"""Tags of keys: names with values that administrators choose, and find keys by. They decide nothing. Pure.

A value is printable ASCII, so that none of it can act on a terminal or look like something else there.
"""

import re
from collections.abc import Iterable, Mapping

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.vocabulary import NAME_PATTERN

TAGS_MAX = 32
"""Of one key."""
VALUE_PATTERN = r"^[!-~]([ -~]{0,126}[!-~])?$"
FILTER_PATTERN = NAME_PATTERN.removesuffix("$") + "(=" + VALUE_PATTERN.removeprefix("^").removesuffix("$") + ")?$"
"""A tag's name, or name and value."""

_NAME = re.compile(NAME_PATTERN.removesuffix("$"))
_VALUE = re.compile(VALUE_PATTERN.removesuffix("$"))


def parse_tags(words: Iterable[str]) -> dict[str, str]:
    """Read ``name=value`` words.

    Raises:
        InvalidRequestError: one is none, or a name is there twice.
    """
    tags: dict[str, str] = {}
    for word in words:
        name, has_value, value = word.partition("=")
        if not has_value:
            raise InvalidRequestError(f"tag '{word}' has no value", f"give it as {name or 'name'}=value")
        check_name(name)
        if not _VALUE.fullmatch(value):
            raise InvalidRequestError(
                f"tag '{name}' cannot have the value {value!r}",
                "1 to 128 printable ASCII characters, none of the first and last a blank",
            )
        if name in tags:
            raise InvalidRequestError(f"tag '{name}' is given twice", "a key has one value of a tag")
        tags[name] = value
    return tags


def check_name(name: str) -> str:
    """Return *name*.

    Raises:
        InvalidRequestError: no tag has such a name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{name!r} is no name of a tag", "letters, digits, '.', '_' and '-', at most 63, the first no mark"
        )
    return name


def check_filter(word: str) -> str:
    """Return *word*, which chooses keys: ``name`` or ``name=value``.

    Raises:
        InvalidRequestError: it is neither.
    """
    if "=" in word:
        parse_tags([word])
    else:
        check_name(word)
    return word


def check_count(label: str, count: int) -> None:
    """Refuse more tags than a key may have.

    Raises:
        InvalidRequestError: *count* is too many.
    """
    if count > TAGS_MAX:
        raise InvalidRequestError(
            f"key '{label}' would have {count} tags, {TAGS_MAX} is the most", "vmm-keystore key untag takes some away"
        )


def tag_words(tags: Mapping[str, str]) -> list[str]:
    """Say tags as they are given, by name."""
    return [f"{name}={value}" for name, value in sorted(tags.items())]


def describe_change(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Say what becomes of a key's tags: what is set, and with a minus what goes; empty where nothing does."""
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return " ".join([*tag_words(changed), *(f"-{name}" for name in sorted(before.keys() - after.keys()))])
