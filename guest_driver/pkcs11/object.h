/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects of a token, as copies that nobody else changes. A key of the vault is a private or secret key and, where it
 * is asymmetric, a public key too; a session secret is bytes that the host gave away or the caller brought.
 *
 * A handle is a number that is never given out twice, and in its lowest bits the kind. It means the same key until the
 * key is gone, whatever becomes of its versions.
 */
#ifndef PKCS11_OBJECT_H
#define PKCS11_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "cryptoki.h"
#include "vks.h"

enum object_kind {
    OBJECT_CERTIFICATE = 0, /* see certificate_object.h; its number is never 0, which would be no handle */
    OBJECT_KEY = 1,         /* private or secret */
    OBJECT_PUBLIC = 2,      /* of an asymmetric one */
    OBJECT_SECRET = 3,      /* of a session */
};

#define OBJECT_KIND_BITS            2
#define OBJECT_HANDLE(number, kind) (((CK_OBJECT_HANDLE)(number) << OBJECT_KIND_BITS) | (CK_OBJECT_HANDLE)(kind))
#define OBJECT_NUMBER(handle)       ((handle) >> OBJECT_KIND_BITS)
#define OBJECT_KIND(handle)         ((enum object_kind)((handle) & ((1u << OBJECT_KIND_BITS) - 1)))

#define OBJECT_OLDER_MAX     15 /* a key has at most 16 versions that are not destroyed (MUST-49) */
#define OBJECT_SECRET_ID_MAX 64

struct object {
    CK_OBJECT_HANDLE handle;
    enum object_kind kind;
    /* A key of the vault, its current version; of a secret only the label. */
    struct vks_key key;
    uint32_t older[OBJECT_OLDER_MAX]; /* other versions, the newest first */
    size_t older_count;
    /* A secret. */
    CK_KEY_TYPE secret_type;
    size_t secret_size;
    uint8_t secret_id[OBJECT_SECRET_ID_MAX];
    size_t secret_id_size;
    bool is_sensitive;
    bool is_extractable;
};

CK_OBJECT_CLASS object_class(const struct object *object);
CK_KEY_TYPE object_key_type(const struct object *object);
/* CKA_PRIVATE: there for who is logged in. A private or secret key is, where its grant says login (MUST-56). */
bool object_is_private(const struct object *object);
/* Operations, by the bit numbers of enum vks_op, and mechanisms of the grant. */
bool object_has_op(const struct object *object, uint32_t op);

#endif
