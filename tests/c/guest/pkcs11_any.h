/* SPDX-License-Identifier: BSD-3-Clause */
/* Values for calls of the PKCS#11 module, many of them wrong, the same ones for the same seed. */
#ifndef PKCS11_ANY_H
#define PKCS11_ANY_H

#include <stdint.h>

#include "cryptoki.h"

void any_begin(uint64_t seed);
/* 0 to @below - 1. */
uint32_t draw(uint32_t below);

/* Bytes of *@size, up to 4096, for free(); now and then none. */
CK_BYTE *any_bytes(CK_ULONG *size);
CK_MECHANISM_TYPE any_mechanism_type(void);
/* Good until the next one; now and then none, and now and then with another one's parameter. */
CK_MECHANISM *any_mechanism(void);
/* Up to @room attributes, 8 at most, whose values are good until the next ones; their number. */
CK_ULONG any_template(CK_ATTRIBUTE *attributes, uint32_t room);
/* Of a message: pointers that are good, since those of the caller are nothing that the module could check. */
CK_GCM_MESSAGE_PARAMS *any_message(CK_ULONG *size);

#endif
