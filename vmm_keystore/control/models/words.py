# SPDX-License-Identifier: Apache-2.0
"""Names, numbers and words that requests and answers are made of, and the answers that several nouns share."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.tags import FILTER_PATTERN, TAGS_MAX, VALUE_PATTERN
from vmm_keystore.policy.vocabulary import (
    GRANTABLE_OPS,
    KEY_NAME_BYTES_MAX,
    KEY_NAME_PATTERN,
    NAME_PATTERN,
    OWN_KEYS_MAX,
    KeyState,
    KeyType,
    Mechanism,
    Op,
    Word,
)

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
KeyName = Annotated[str, Field(pattern=KEY_NAME_PATTERN, max_length=KEY_NAME_BYTES_MAX)]
"""Of a key that there is: an administrator's, or a guest's own."""
HolderName = Annotated[str, Field(pattern=NAME_PATTERN.replace("^", "^@?"))]
"""A guest, or a role with an '@' before its name."""
Tags = Annotated[dict[Name, Annotated[str, Field(pattern=VALUE_PATTERN)]], Field(max_length=TAGS_MAX)]
TagFilter = Annotated[str, Field(pattern=FILTER_PATTERN)]
"""A tag's name, or ``name=value``."""
Uid = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]
KeyCount = Annotated[int, Field(ge=0, le=OWN_KEYS_MAX, strict=True)]
"""Of a guest's own keys."""
Flag = Annotated[bool, Field(strict=True)]


def _iso_time(value: Any) -> Any:
    """A number is no time: nobody could say what it counts."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("no time by ISO 8601; write it like 2030-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_iso_time), Field(strict=False)]
"""As text, with its offset from UTC."""


def _by_text(words: type[Word], value: Any) -> Any:
    if isinstance(value, words):
        return value
    try:
        return words.from_text(str(value))
    except InvalidRequestError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error


def _text(word: Word) -> str:
    return word.text


def _schema(members: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": members})


KeyTypeWord = Annotated[
    KeyType, BeforeValidator(partial(_by_text, KeyType)), PlainSerializer(_text), _schema([t.text for t in KeyType])
]
KeyStateWord = Annotated[
    KeyState, BeforeValidator(partial(_by_text, KeyState)), PlainSerializer(_text), _schema([s.text for s in KeyState])
]
OpWord = Annotated[
    Op, BeforeValidator(partial(_by_text, Op)), PlainSerializer(_text), _schema([o.text for o in GRANTABLE_OPS])
]
MechanismWord = Annotated[
    Mechanism,
    BeforeValidator(partial(_by_text, Mechanism)),
    PlainSerializer(_text),
    _schema([m.text for m in Mechanism]),
]


class Model(BaseModel):
    """Unknown fields are an error: a misspelt limit must not become no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AppliedTo(Model):
    """What became of a change in one guest's worker; the answer waited for it."""

    guest: str
    outcome: Literal["acknowledged", "worker-killed", "no-worker"]
    detail: str = ""


class ErrorBody(Model):
    """Why it failed; *hint* may be empty."""

    code: str
    message: str
    hint: str = ""


class ErrorAnswer(Model):
    """The body of every answer that is not 2xx."""

    error: ErrorBody
