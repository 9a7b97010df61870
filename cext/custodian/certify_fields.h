/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for a certificate, as a message brings them (struct vks_custodian_certify_field): each of a known type, within
 * the bounds of RFC 5280, appendix A.1, and of characters that its type may have.
 */
#ifndef VKS_CERTIFY_FIELDS_H
#define VKS_CERTIFY_FIELDS_H

#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdint.h>

struct vks_certify_fields {
    X509_NAME *subject;
    GENERAL_NAMES *alternatives;
};

/*
 * 0, -EPROTO: lengths do not add up, -EINVAL: a value that its type does not have, or more than there may be, -ENOMEM.
 * What there is of *fields* then is for vks_certify_fields_free as well.
 */
__attribute__((warn_unused_result)) int vks_certify_fields_read(const uint8_t *bytes, size_t size_bytes,
                                                                struct vks_certify_fields *fields);
void vks_certify_fields_free(struct vks_certify_fields *fields);

#endif
