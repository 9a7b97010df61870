/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to sign as RSA takes them (RFC 8017, 9). */
#ifndef VKS_RSA_PADDING_H
#define VKS_RSA_PADDING_H

#include <openssl/rsa.h>
#include <stdbool.h>

#include "algorithm.h"

/*
 * EMSA-PSS with a salt as long as the hash, or EMSA-PKCS1-v1_5, as the mechanism says, of *digest* into as many bytes
 * as the modulus of *public* has. Needs nothing of *public* but its modulus.
 */
__attribute__((warn_unused_result)) bool vks_rsa_padding_add(RSA *public, uint32_t mechanism, const uint8_t *digest,
                                                             uint8_t *encoded);

#endif
