/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callers wish of a new object. Wishes that no object here could have are refused (TEMPLATE_INCONSISTENT: a vault
 * key that can be extracted) or, where callers put them by habit, passed over: CKA_ID of a vault key, which is its own;
 * CKA_PRIVATE; what a session secret is to be used for.
 */
#ifndef PKCS11_TEMPLATE_H
#define PKCS11_TEMPLATE_H

#include "object.h"
#include "session.h"

struct template
{
    bool has_class, has_key_type, has_sensitive, has_extractable;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE key_type;
    bool is_token, is_sensitive, is_extractable;
    CK_ULONG value_bytes;   /* 0: not said */
    CK_ULONG parameter_set; /* 0: not said */
    char label[VKS_LABEL_BYTES];
    uint8_t id[OBJECT_SECRET_ID_MAX];
    size_t id_size;
    struct vks_bytes value, curve; /* the caller's */
};

/* Adds what @attributes say to @template, which begins as zero. */
CK_RV template_read(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct template *template);
/* That a vault key can be as it says: never extracted. */
CK_RV template_check_vault(const struct template *template, CK_OBJECT_CLASS class);

/* A session secret of @value, 1 to VKS_SECRET_BYTES_MAX bytes. */
CK_RV secret_make(struct session *session, const struct template *template, struct vks_bytes value,
                  CK_OBJECT_HANDLE *handle);
/* Whether @template may be one of a session secret with so many bytes, 0: not known yet. */
CK_RV secret_check(const struct template *template, size_t size);

#endif
