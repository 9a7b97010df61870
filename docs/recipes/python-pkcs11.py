#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Python by python-pkcs11: signatures, authenticated encryption, and what a taken-over program does not get.

Packages: vks-pkcs11; python-pkcs11 from PyPI
On the host:
  vmm-keystore key generate web --type ec-p256
  vmm-keystore key generate box --type aes-256
  vmm-keystore grant add GUEST web --ops sign,verify
  vmm-keystore grant add GUEST box --ops encrypt,decrypt --mechanisms aes-gcm,aes-gcm-own-nonce
"""

import os
import platform

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

MODULE = os.environ.get("MODULE", f"/usr/lib/{platform.machine()}-linux-gnu/pkcs11/vmm_keystore.so")

(slot,) = pkcs11.lib(MODULE).get_slots(token_present=True)
token = slot.get_token()
with token.open() as session:
    private = session.get_key(label="web", object_class=ObjectClass.PRIVATE_KEY)
    public = session.get_key(label="web", object_class=ObjectClass.PUBLIC_KEY)
    signature = private.sign(b"what was said", mechanism=Mechanism.ECDSA_SHA256)
    said = public.verify(b"what was said", signature, mechanism=Mechanism.ECDSA_SHA256)
    not_said = public.verify(b"what was not", signature, mechanism=Mechanism.ECDSA_SHA256)

    box = session.get_key(label="box", key_type=KeyType.AES)
    nonce = pkcs11.GCMParams(session.generate_random(96))
    sealed = box.encrypt(b"a secret", mechanism=Mechanism.AES_GCM, mechanism_param=nonce)
    opened = box.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=nonce)
    if (said, not_said, opened) != (True, False, b"a secret"):
        raise SystemExit("something is wrong")
    try:
        box[Attribute.VALUE]
    except pkcs11.exceptions.AttributeSensitive:
        print(f"{token.label.strip()}: the vault signs and encrypts, and keeps its keys")
    else:
        raise SystemExit("a key was read")
