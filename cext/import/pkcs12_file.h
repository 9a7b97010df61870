/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#12 files (RFC 7292): one private key, and the certificates that lead from it to an issuer. */
#ifndef VKS_PKCS12_FILE_H
#define VKS_PKCS12_FILE_H

#include <openssl/bio.h>

#include "key_file.h"

/*
 * 0, or an exit code after saying what is wrong. *certificates* takes PEM: that of the key, then its issuer's, and so
 * on; nothing where the file has none for the key.
 */
__attribute__((warn_unused_result)) int vks_pkcs12_parse(const struct vks_import_arguments *arguments,
                                                         const struct vks_secret_input *file, struct vks_key_file *key,
                                                         BIO *certificates);

#endif
