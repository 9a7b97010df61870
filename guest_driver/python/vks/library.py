# SPDX-License-Identifier: BSD-3-Clause
"""libvks as it is loaded: structures and functions of vks.h.

``VKS_LIBRARY`` names another file than the system's libvks.so.0.
"""

import ctypes
import os

LABEL_BYTES = 64
KEY_ID_BYTES = 16


class Bytes(ctypes.Structure):
    """struct vks_bytes."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t))

    @classmethod
    def of(cls, data: bytes) -> "Bytes":
        """These bytes, which have to stay for as long."""
        return cls(data, len(data))


class InfoStructure(ctypes.Structure):
    """struct vks_device_info."""

    _fields_ = (
        ("abi_version_min", ctypes.c_uint16),
        ("abi_version_max", ctypes.c_uint16),
        ("device_version", ctypes.c_uint32),
        ("input_bytes_max", ctypes.c_uint32),
        ("output_bytes_max", ctypes.c_uint32),
        ("aad_bytes_max", ctypes.c_uint32),
        ("parameter_bytes_max", ctypes.c_uint32),
        ("random_bytes_max", ctypes.c_uint32),
        ("descriptors_max", ctypes.c_uint32),
        ("op_mask", ctypes.c_uint64),
        ("mechanism_mask", ctypes.c_uint64),
        ("key_count", ctypes.c_uint32),
        ("guest_name", ctypes.c_char * LABEL_BYTES),
    )


class KeyStructure(ctypes.Structure):
    """struct vks_key."""

    _fields_ = (
        ("id", ctypes.c_ubyte * KEY_ID_BYTES),
        ("version", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("is_current", ctypes.c_bool),
        ("op_mask", ctypes.c_uint64),
        ("mechanism_mask", ctypes.c_uint64),
        ("label", ctypes.c_char * LABEL_BYTES),
    )


class UseStructure(ctypes.Structure):
    """struct vks_use."""

    _fields_ = (
        ("key_id", ctypes.c_ubyte * KEY_ID_BYTES),
        ("key_version", ctypes.c_uint32),
        ("mechanism", ctypes.c_uint32),
        ("is_digest", ctypes.c_bool),
    )


def words(text: str) -> bytes:
    """A text for C, which ends at the first NUL.

    Raises:
        ValueError: there is one in it.
    """
    if "\0" in text:
        raise ValueError("a name has no NUL in it")
    return text.encode(errors="surrogateescape")


def _load() -> ctypes.CDLL:
    loaded = ctypes.CDLL(os.environ.get("VKS_LIBRARY") or "libvks.so.0", use_errno=True)
    pointer, size, use = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(UseStructure)
    prototypes = {
        "vks_open": (ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(pointer)),
        "vks_close": (None, pointer),
        "vks_path": (ctypes.c_char_p, pointer),
        "vks_info": (ctypes.c_int, pointer, ctypes.POINTER(InfoStructure)),
        "vks_list": (ctypes.c_int, pointer, ctypes.POINTER(ctypes.POINTER(KeyStructure)), size),
        "vks_find_key": (ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_uint32, ctypes.POINTER(KeyStructure)),
        "vks_key_is_own": (ctypes.c_bool, ctypes.POINTER(KeyStructure)),
        "vks_public": (ctypes.c_int, pointer, use, pointer, size),
        "vks_sign": (ctypes.c_int, pointer, use, Bytes, pointer, size),
        "vks_verify": (ctypes.c_int, pointer, use, Bytes, Bytes),
        "vks_encrypt": (ctypes.c_int, pointer, use, Bytes, Bytes, Bytes, pointer, size),
        "vks_decrypt": (ctypes.c_int, pointer, use, Bytes, Bytes, Bytes, pointer, size),
        "vks_mac": (ctypes.c_int, pointer, use, Bytes, pointer, size),
        "vks_mac_verify": (ctypes.c_int, pointer, use, Bytes, Bytes),
        "vks_random": (ctypes.c_int, pointer, pointer, ctypes.c_size_t),
        "vks_ecdsa_to_der": (ctypes.c_int, Bytes, pointer, size),
        "vks_ecdsa_from_der": (ctypes.c_int, Bytes, pointer, ctypes.c_size_t),
        "vks_mechanism_name": (ctypes.c_char_p, ctypes.c_uint32),
        "vks_mechanism_from_name": (ctypes.c_uint32, ctypes.c_char_p),
        "vks_op_name": (ctypes.c_char_p, ctypes.c_uint32),
        "vks_key_type_name": (ctypes.c_char_p, ctypes.c_uint32),
        "vks_key_state_name": (ctypes.c_char_p, ctypes.c_uint32),
        "vks_error_text": (ctypes.c_char_p, ctypes.c_int),
        "vks_error_hint": (ctypes.c_char_p, ctypes.c_int),
    }
    for name, (result, *arguments) in prototypes.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


library = _load()
free = ctypes.CDLL(None).free
free.restype, free.argtypes = None, (ctypes.c_void_p,)
