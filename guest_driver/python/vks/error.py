# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong: the device refused, or there was no answer."""

from enum import IntEnum

from vks.library import library


class Status(IntEnum):
    """What a device answers; enum vks_status of vmm_keystore.h."""

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


class VksError(Exception):
    """Something went wrong.

    Attributes:
        code: a ``Status``, or a negative errno where no answer came.
        hint: what to do about it; empty where nothing helps.
    """

    def __init__(self, code: int) -> None:
        super().__init__((library.vks_error_text(code) or b"unknown error").decode())
        self.code = code
        self.hint = (library.vks_error_hint(code) or b"").decode()


class Refused(VksError):
    """The device answered, and this is its answer: a ``Status`` as code."""


class Unavailable(VksError):
    """No answer came, and the code is a negative errno; it may come when the device is there again."""


def check(code: int) -> None:
    """Raise what *code* stands for, unless all is well.

    Raises:
        Refused: the device said so.
        Unavailable: there was no answer.
    """
    if code > 0:
        raise Refused(code)
    if code < 0:
        raise Unavailable(code)
