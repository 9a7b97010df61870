/* SPDX-License-Identifier: BSD-3-Clause */
/* Which folder has the guest's certificates, and its files. Links, pipes and endless files in it are taken for hostile.
 */
#ifndef PKCS11_CERTIFICATE_FILES_H
#define PKCS11_CERTIFICATE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#define CERTIFICATE_FOLDER_DEFAULT "/etc/vmm-keystore/certificates"
#define CERTIFICATE_FILES_MAX      256
#define CERTIFICATE_FILE_BYTES_MAX (1u << 20)
#define CERTIFICATE_NAME_BYTES     256 /* of a file, with its NUL */

/* What $VKS_CERTIFICATES names, or the default; of no length: there is none, or its name does not fit. */
void certificate_folder(char *path, size_t room);

struct certificate_files {
    int folder;
    size_t count;
    char (*names)[CERTIFICATE_NAME_BYTES]; /* *.pem and *.crt, in order; the first ones where there are more */
};

/* A folder that is not there has no files. False: no memory. */
bool certificate_files_open(const char *path, struct certificate_files *files);
/* All of the @at-th file, for free(); NULL: it is no regular file, is empty or too large, or cannot be read. */
char *certificate_files_read(const struct certificate_files *files, size_t at, size_t *size);
void certificate_files_close(struct certificate_files *files);

#endif
