/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operation.c asks of each family of operations. *sizes* looks at lengths only and may not touch a byte; *run*
 * finds everything checked (operation, mechanism, lengths, room for the output) and sets output_bytes. Both answer
 * enum vks_status. The caller wipes the output area where run fails.
 */
#ifndef VKS_OP_FAMILY_H
#define VKS_OP_FAMILY_H

#include "key_private.h"
#include "operation.h"

struct vks_op_family {
    uint32_t (*sizes)(const struct vks_key_kind *kind, const struct vks_operation *operation);
    uint32_t (*output_bytes)(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes);
    uint32_t (*run)(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane);
};

extern const struct vks_op_family vks_op_ecdsa;
extern const struct vks_op_family vks_op_pure_signature;
extern const struct vks_op_family vks_op_rsa;
extern const struct vks_op_family vks_op_cipher;
extern const struct vks_op_family vks_op_key_wrap;
extern const struct vks_op_family vks_op_mac;
extern const struct vks_op_family vks_op_derive;
extern const struct vks_op_family vks_op_decapsulate;

/* The lane's context for mode and direction, keyed once, then started with an IV only (NULL: the mode takes none). */
EVP_CIPHER_CTX *vks_op_cipher_context(struct vks_key *key, enum vks_cipher_mode mode, int encrypt, const uint8_t *iv,
                                      enum vks_lane lane);
/* The digest to sign or verify: the input itself, or its hash in *buffer*. NULL where hashing failed. */
const uint8_t *vks_op_digest(const struct vks_operation *operation, enum vks_lane lane,
                             uint8_t buffer[VKS_HASH_BYTES_MAX]);
/* INPUT_SIZE for a digest whose length is not the hash's, else OK. */
uint32_t vks_op_digest_sizes(const struct vks_operation *operation);
uint32_t vks_op_random(struct vks_operation *operation);

#endif
