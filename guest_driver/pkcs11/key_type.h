/* SPDX-License-Identifier: BSD-3-Clause */
/* The key types of the device as PKCS#11 describes them. */
#ifndef PKCS11_KEY_TYPE_H
#define PKCS11_KEY_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "cryptoki.h"
#include "vks.h"

#define KEY_TYPE_BIT(type) (UINT64_C(1) << (type))

struct key_type {
    CK_KEY_TYPE ckk;
    bool is_pair;
    uint32_t bits;            /* of a mechanism's key size: modulus, order, or bytes of a secret key */
    uint32_t signature_bytes; /* of a signature or, of HMAC keys, a tag; RSA: of what is encrypted, too */
    uint32_t value_bytes;     /* of a secret key */
    uint32_t parameter_set;   /* CKP_, of post-quantum keys; 0: none */
    uint8_t curve[10];        /* CKA_EC_PARAMS: an object identifier in DER */
    uint8_t curve_size;
};

/* NULL: a type that this module does not know. */
const struct key_type *key_type_find(uint32_t type);
/* Those of the pair or secret key types whose CKA_EC_PARAMS these are; 0: none. */
uint32_t key_type_by_curve(CK_KEY_TYPE ckk, const void *parameters, size_t size);
/* By another property, where a type of keys has several: parameter set, or bytes. */
uint32_t key_type_by_parameter_set(CK_KEY_TYPE ckk, CK_ULONG parameter_set);
uint32_t key_type_by_value_bytes(CK_KEY_TYPE ckk, CK_ULONG bytes);
/* Of a key with this SubjectPublicKeyInfo; 0: none that a vault has. It may be anybody's. */
uint32_t key_type_of_public_key(struct vks_bytes der);

#endif
