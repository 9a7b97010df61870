/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations that a session has begun: which key, how, and what was given so far (PKCS#11 v3.0, 5.8 to 5.15). */
#ifndef PKCS11_OPERATION_H
#define PKCS11_OPERATION_H

#include "parameter.h"
#include "token.h"

struct session;

/* A session has at most one of each. */
enum operation_kind {
    OPERATION_SIGN,
    OPERATION_VERIFY,
    OPERATION_ENCRYPT,
    OPERATION_DECRYPT,
    OPERATION_MESSAGE_ENCRYPT,
    OPERATION_MESSAGE_DECRYPT,
    OPERATION_KIND_COUNT,
};

struct operation {
    bool is_active;
    bool is_multipart; /* was given parts: only its Final ends it */
    const struct mechanism *mechanism;
    struct object key;
    struct parameter parameter;
    struct buffer input;
    struct buffer aad; /* of a message in parts */
};

/* The flag of mechanisms that stands for it. */
CK_FLAGS operation_flag(enum operation_kind kind);

/* @given NULL ends the one that there is (v3.0, 5.8.1). */
CK_RV operation_begin(struct session *session, enum operation_kind kind, const CK_MECHANISM *given,
                      CK_OBJECT_HANDLE key);
/* The key, and whether it does what @flag says by this mechanism, as far as is known here. */
CK_RV operation_key(struct token *token, const struct mechanism *mechanism, CK_FLAGS flag, CK_OBJECT_HANDLE handle,
                    struct object *key);
/* CKR_OPERATION_NOT_INITIALIZED; and for a call that has all its data at once CKR_OPERATION_ACTIVE behind parts. */
CK_RV operation_check(const struct operation *operation, bool is_single);
/* One part more; an error ends the operation. */
CK_RV operation_add(struct operation *operation, const void *data, CK_ULONG size);
/* The same of a call that could give something: it gives nothing, and asked for the size only takes nothing (5.2). */
CK_RV operation_update(struct operation *operation, const void *data, CK_ULONG size, const void *output,
                       CK_ULONG *output_size);
/* Forgets and wipes everything of it. */
void operation_end(struct operation *operation);
/*
 * Whether @rv, of a call that may be repeated with more room, leaves the operation as it is (5.2); else it is ended.
 * @is_query: it asked for the size only.
 */
CK_RV operation_result(struct operation *operation, CK_RV rv, bool is_query);

/*
 * Sends a request for the key's current version, and where it does not verify and an older version could have made what
 * it is about, for those. Notices when what is shown of the key is no longer true.
 */
int key_submit(struct token *token, const struct object *key, struct vks_request *request);

/* 5.2: the size into @size. CKR_OK: there is room for @needed; *is_query: no buffer, only the size was asked for. */
CK_RV output_check(const void *output, CK_ULONG *size, size_t needed, bool *is_query);

#endif
