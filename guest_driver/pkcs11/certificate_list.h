/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The certificates of a folder as they were at one moment. Nothing of a list changes but the count of references, which
 * wants the module's lock.
 */
#ifndef PKCS11_CERTIFICATE_LIST_H
#define PKCS11_CERTIFICATE_LIST_H

#include "certificate.h"
#include "certificate_files.h"

#define CERTIFICATES_MAX       256
#define CERTIFICATES_BYTES_MAX (4u << 20) /* of all in DER */

struct certificate_entry {
    uint64_t number;
    /* The file's name without its ending; behind it "-2" and so on for others of the same file. */
    char label[CERTIFICATE_NAME_BYTES + 24];
    uint8_t *der;
    struct certificate certificate; /* its parts are in @der */
};

struct certificate_list {
    unsigned long references;
    uint64_t loaded_ms;
    size_t count;
    size_t bytes; /* in DER */
    struct certificate_entry entries[CERTIFICATES_MAX];
};

/*
 * What is in the folder @path, each certificate once, in the order of the files' names; whatever else is there is
 * passed over, and what is over a limit. Certificates that @old has keep their numbers, others get the next ones after
 * *@last_number. NULL: no memory.
 */
struct certificate_list *certificate_list_make(const char *path, const struct certificate_list *old,
                                               uint64_t *last_number);
void certificate_list_free(struct certificate_list *list);
/* NULL: there is none. */
const struct certificate_entry *certificate_list_by_number(const struct certificate_list *list, uint64_t number);

#endif
