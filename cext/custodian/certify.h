/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certification requests (RFC 2986) and self-signed certificates (RFC 5280) for the custodian's keys. What is signed is
 * built here, from names that were checked and the key's own public half, so that nobody gets a signature over bytes of
 * his own choice.
 */
#ifndef VKS_CERTIFY_H
#define VKS_CERTIFY_H

#include <stdint.h>

#include "ipc.h"

/*
 * *sealed* and *fields* are as long as *wanted* says. *der* is for OPENSSL_free. 0, -EPROTO: lengths do not add up,
 * -EINVAL: a key that does not sign, or names or times that no certificate has, -ENOKEY without a KEK, -EBADMSG: not
 * sealed under this name, -ENOMEM, -EIO.
 */
__attribute__((warn_unused_result)) int vks_certify(const struct vks_custodian_certify *wanted, const uint8_t *sealed,
                                                    const uint8_t *fields, uint8_t **der, uint32_t *der_bytes);

#endif
