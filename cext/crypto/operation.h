/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation with one key, on private memory only.
 *
 * No input may be guest memory: signing bytes that change meanwhile gives keys away (DESIGN 4). Nothing here decides
 * who may do what.
 *
 * Statuses, beyond OK:
 *
 * UNSUPPORTED: operation or mechanism unknown or not of this key type; DIGEST where no digest can be taken (Ed25519,
 * ML-DSA, anything but sign and verify).
 *
 * MALFORMED: a parameter, associated data or input that the operation as such does not take (the table of
 * SPECIFICATION.md, 5); an output area that says more than there is: more than VKS_RANDOM_BYTES_MAX random bytes, no
 * secret or one of more than VKS_SECRET_BYTES_MAX bytes, a size that no data key has.
 *
 * INPUT_SIZE: one of a length that the mechanism does not take: a digest that is not the hash's length, CBC input that
 * is not whole blocks, a text that key wrap or XTS does not take, a tweak that is not 16 bytes, a ciphertext shorter
 * than nonce and tag, an own nonce that is not 12 bytes, a nonce where the device makes it, OAEP plaintext that is too
 * long, associated data where neither AEAD nor HKDF takes it, a peer's key that is not as long as a point, a ciphertext
 * of ML-KEM that is not as long as its parameter set says.
 *
 * OUTPUT_SIZE: output_bytes_max is below what is needed; output_bytes says that.
 *
 * AUTH_FAILED: the signature, tag or padding did not verify, whatever the reason: a signature or MAC tag of the wrong
 * length, an OAEP ciphertext of the wrong length or value; or a peer's key that is no point of the curve.
 *
 * LIMIT: the nonce counter of this load is used up. INTERNAL: libcrypto failed, usually for want of secret memory.
 *
 * On every status but OK the output area has no byte of the result (decrypted text is wiped) and output_bytes is 0,
 * except with OUTPUT_SIZE.
 */
#ifndef VKS_OPERATION_H
#define VKS_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "key.h"

/*
 * Not a status: the key lies in a token. To sign, the output area has the digest for it, already as short as the
 * curve's order (FIPS 186-5, 6.4.1); to decrypt, it has nothing, and label and ciphertext go there as they are.
 */
enum vks_operation_elsewhere {
    VKS_OPERATION_IN_TOKEN = 0x100,
};

struct vks_operation {
    uint32_t op;        /* enum vks_op: public to random */
    uint32_t mechanism; /* enum vks_mechanism; VKS_MECHANISM_DEFAULT is resolved by the key type; random: 0 */
    uint32_t flags;     /* VKS_REQUEST_F_DIGEST; others are not looked at */
    uint32_t parameter_bytes;
    uint32_t aad_bytes;
    uint32_t input_bytes;
    uint32_t output_bytes_max; /* random, derive, data key: how much to make */
    uint32_t output_bytes;     /* out */
    const uint8_t *parameter;  /* each may be NULL where its length is 0 */
    const uint8_t *aad;
    const uint8_t *input;
    uint8_t *output; /* overlaps none of the above */
};

/* enum vks_status, or VKS_OPERATION_IN_TOKEN. *key* is NULL for random only. Each lane belongs to one thread. */
uint32_t vks_operation_run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane);
/* Whether a token has to sign for it. */
bool vks_operation_needs_token(const struct vks_key *key, uint32_t op);
/*
 * Output bytes needed at most, to be checked before anything runs; 0 for verify, for what is unsupported, and where the
 * output area says how much.
 */
uint32_t vks_operation_output_bytes(uint32_t key_type, uint32_t op, uint32_t mechanism, uint32_t input_bytes);
/*
 * True for what may hold up others when it is done here: RSA private operations, P-384, ML-DSA, key wrap of more than
 * 256 bytes, more than 16 KiB of input or random bytes. *mechanism* is never VKS_MECHANISM_DEFAULT where the operation
 * has one.
 */
bool vks_operation_is_slow(uint32_t key_type, uint32_t op, uint32_t mechanism, uint32_t input_bytes);

#endif
