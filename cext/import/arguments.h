/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of vks-import. No secret ever stands in it. */
#ifndef VKS_ARGUMENTS_H
#define VKS_ARGUMENTS_H

#include "ipc.h"
#include "key_kind.h"

enum vks_import_format {
    VKS_IMPORT_FORMAT_AUTO = 0,
    VKS_IMPORT_FORMAT_PEM = 1,
    VKS_IMPORT_FORMAT_DER = 2,   /* PKCS#8 or the traditional form of the algorithm */
    VKS_IMPORT_FORMAT_PKCS8 = 3, /* PKCS#8 only, PEM or DER */
    VKS_IMPORT_FORMAT_RAW = 4,
    VKS_IMPORT_FORMAT_PKCS12 = 5, /* a key with its certificates */
};

/* What is read and wrapped. */
enum vks_import_what {
    VKS_IMPORT_KEY = 0,
    VKS_IMPORT_ROOT_PASSPHRASE = 1,     /* of the vault's root of trust */
    VKS_IMPORT_NEW_ROOT_PASSPHRASE = 2, /* asked for twice */
};

struct vks_import_arguments {
    struct vks_custodian_offer offer;
    enum vks_import_what what;
    const struct vks_key_kind *kind; /* NULL: whatever the file holds */
    enum vks_import_format format;
    int passphrase_fd;           /* -1: none given */
    const char *passphrase_path; /* NULL: none given */
    int certificates_fd;         /* takes the certificates of a PKCS#12 file; -1: nobody wants them */
    const char *path;            /* of the key file, "-": standard input; NULL for a passphrase */
};

/* 0, or an exit code after saying what is wrong; -1 when help was asked for and printed. */
__attribute__((warn_unused_result)) int vks_import_arguments_parse(int count, char **words,
                                                                   struct vks_import_arguments *arguments);

#endif
