# SPDX-License-Identifier: BSD-3-Clause
"""Use the keys that the host's vault grants to this guest, from Python: libvks, typed.

    from vks import Device

    with Device() as device:
        key = device.key("tls-web")
        signature = key.sign(b"message")

Secrets that a grant releases (derive, data-key, decapsulate) are not here: Python cannot wipe what it has read. The command ``vks`` and
libvks give them to whom they are for.
"""

from vks.device import Device, DeviceInfo
from vks.error import Refused, Unavailable, VksError
from vks.key import Key, KeyInfo

__all__ = ["Device", "DeviceInfo", "Key", "KeyInfo", "Refused", "Unavailable", "VksError"]
