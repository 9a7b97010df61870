/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Session secrets of a token: what a derivation, a decapsulation, unwrapping or the caller gave. They are read and
 * wrapped; nothing computes with them here. All functions want the module's lock.
 */
#ifndef PKCS11_SECRET_LIST_H
#define PKCS11_SECRET_LIST_H

#include "object.h"

struct secret;

/* In the order of their numbers. */
struct secret_list {
    struct secret **secrets;
    size_t count, room;
    uint64_t next_number;
};

/* @like: everything but handle and kind, which are set. CKR_HOST_MEMORY. */
CK_RV secret_list_add(struct secret_list *list, CK_SESSION_HANDLE session, struct object *like, const void *value);
bool secret_list_find(const struct secret_list *list, CK_OBJECT_HANDLE handle, struct object *object);
/* Into @value, which has room for VKS_SECRET_BYTES_MAX. */
bool secret_list_value(const struct secret_list *list, CK_OBJECT_HANDLE handle, uint8_t *value);
/* The @at-th of them. */
bool secret_list_at(const struct secret_list *list, size_t at, struct object *object);
bool secret_list_remove(struct secret_list *list, CK_OBJECT_HANDLE handle);
/* Those of @session, or all where it is CK_INVALID_HANDLE. */
void secret_list_clear(struct secret_list *list, CK_SESSION_HANDLE session);

#endif
