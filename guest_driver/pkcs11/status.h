/* SPDX-License-Identifier: BSD-3-Clause */
/* The one place where an answer of libvks becomes a return value of PKCS#11. */
#ifndef PKCS11_STATUS_H
#define PKCS11_STATUS_H

#include "cryptoki.h"

/* What was asked for: the standard has several names for "that did not verify" and "not of this size". */
enum status_use {
    STATUS_PROTECT, /* sign, encrypt, MAC, random */
    STATUS_VERIFY,
    STATUS_DECRYPT,
    STATUS_DECRYPT_AEAD,
    STATUS_UNWRAP,
    STATUS_DERIVE, /* also decapsulate */
    STATUS_OBJECT, /* public key, generate, destroy */
    STATUS_USE_COUNT,
};

/* @error: 0, enum vks_status or a negative errno. */
CK_RV status_rv(int error, enum status_use use);

#endif
