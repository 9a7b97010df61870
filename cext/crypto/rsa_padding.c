/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding of messages to sign. Knows libcrypto's padding functions; must not know keys. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the padding functions have no successors but EVP's whole signatures */
#include "rsa_padding.h"

#include <string.h>

#include "vmm_keystore.h"

enum {
    PREFIX_BYTES = 19,
};

/* RFC 8017, 9.2, note 1: DigestInfo up to the digest; its last byte is the digest's length. */
static const uint8_t prefix_sha256[PREFIX_BYTES] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                                    0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
static const uint8_t prefix_sha384[PREFIX_BYTES] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                                    0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
static const uint8_t prefix_sha512[PREFIX_BYTES] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                                    0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};

static const uint8_t *prefix_of(uint32_t mechanism)
{
    switch (mechanism) {
    case VKS_MECHANISM_RSA_PKCS1_SHA256:
        return prefix_sha256;
    case VKS_MECHANISM_RSA_PKCS1_SHA384:
        return prefix_sha384;
    case VKS_MECHANISM_RSA_PKCS1_SHA512:
        return prefix_sha512;
    default:
        return NULL;
    }
}

bool vks_rsa_padding_add(RSA *public, uint32_t mechanism, const uint8_t *digest, uint8_t *encoded)
{
    enum vks_hash hash = vks_mechanism_hash(mechanism);
    const uint8_t *prefix = prefix_of(mechanism);
    uint8_t info[PREFIX_BYTES + VKS_HASH_BYTES_MAX];

    if (prefix == NULL)
        return RSA_padding_add_PKCS1_PSS_mgf1(public, encoded, digest, vks_hash_md(hash), vks_hash_md(hash),
                                              RSA_PSS_SALTLEN_DIGEST) == 1;
    memcpy(info, prefix, PREFIX_BYTES);
    memcpy(info + PREFIX_BYTES, digest, vks_hash_bytes(hash));
    return RSA_padding_add_PKCS1_type_1(encoded, RSA_size(public), info, (int)(PREFIX_BYTES + vks_hash_bytes(hash))) ==
           1;
}
