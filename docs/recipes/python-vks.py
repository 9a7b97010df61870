#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Python by the package vks: signatures, authenticated encryption, and what the vault says to what it does not allow.

Packages: python3-vks
On the host:
  vmm-keystore key generate web --type ec-p256
  vmm-keystore key generate box --type aes-256
  vmm-keystore grant add GUEST web --ops sign,verify
  vmm-keystore grant add GUEST box --ops encrypt,decrypt
"""

from vks import Device, Refused

with Device() as device:
    print(f"{device.info().guest}: {', '.join(sorted(key.label for key in device.list_keys()))}")

    web = device.key("web")
    signature = web.sign(b"what was said")
    print("said:", web.verify(b"what was said", signature))
    print("not said:", web.verify(b"what was not", signature))
    print(web.public_pem(), end="")

    box = device.key("box")
    sealed = box.encrypt(b"a secret", aad=b"for whom")
    print("opened:", box.decrypt(sealed, aad=b"for whom").decode())
    try:
        box.decrypt(sealed, aad=b"for another")
    except Refused as refused:
        print("refused:", refused)
