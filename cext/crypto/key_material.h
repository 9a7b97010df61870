/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key material, the form in which keys are sealed and handed to workers: the seed of ML-DSA (32 bytes) and ML-KEM keys
 * (64), PKCS#8 PrivateKeyInfo (RFC 5208) in DER for other asymmetric ones, raw bytes for symmetric ones.
 */
#ifndef VKS_KEY_MATERIAL_H
#define VKS_KEY_MATERIAL_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "key_kind.h"

/* 0; -EINVAL: raw material of a length that the type does not take; -EBADMSG: the two keys of XTS are one. */
__attribute__((warn_unused_result)) int vks_key_material_check_raw(const struct vks_key_kind *kind,
                                                                   const uint8_t *material, size_t material_bytes);
/*
 * Parse it, with nothing behind it, and check it as below. One thread a process. 0, -EBADMSG, -ENOMEM, or -ENOTSUP:
 * this libcrypto has no keys of the kind.
 */
__attribute__((warn_unused_result)) int vks_key_material_parse(const struct vks_key_kind *kind, const uint8_t *material,
                                                               size_t material_bytes, EVP_PKEY **pkey);
/* The same of what somebody else wrote: PKCS#8 also where our own form is a seed, which it has to hold. */
__attribute__((warn_unused_result)) int vks_key_material_parse_import(const struct vks_key_kind *kind,
                                                                      const uint8_t *material, size_t material_bytes,
                                                                      EVP_PKEY **pkey);
/*
 * A private key of this type, by what is cheap to look at: curve by name, modulus length, n = p * q, public exponent
 * below 2^64. That the parts fit each other was checked before the key was sealed, and the seal proves that it is that
 * key: to check it again costs 2 ms for each P-384 key of a worker. 0 or -EBADMSG.
 */
__attribute__((warn_unused_result)) int vks_key_material_check(const struct vks_key_kind *kind, EVP_PKEY *pkey);
/*
 * Everything that libcrypto can check, private against public part and primes included: for keys that were made
 * elsewhere. 0 or -EBADMSG.
 */
__attribute__((warn_unused_result)) int vks_key_material_check_import(const struct vks_key_kind *kind, EVP_PKEY *pkey);
/*
 * Parse a SubjectPublicKeyInfo (RFC 5280, 4.1) with nothing behind it: of this type, which a token may have, and a
 * point of the curve or a modulus and exponent as above. 0, -EBADMSG or -ENOMEM.
 */
__attribute__((warn_unused_result)) int
vks_key_material_parse_public(const struct vks_key_kind *kind, const uint8_t *der, size_t der_bytes, EVP_PKEY **pkey);
/* The type a parsed private key is of; NULL if it is none of ours. */
const struct vks_key_kind *vks_key_material_kind(EVP_PKEY *pkey);
/* Our form, in the arena, for vks_secret_free. 0, -ENOMEM, or -ENODATA: a key that came without its seed. */
__attribute__((warn_unused_result)) int vks_key_material_encode(const struct vks_key_kind *kind, EVP_PKEY *pkey,
                                                                uint8_t **material, size_t *material_bytes);

#endif
