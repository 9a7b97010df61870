/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include "secret_list.h"

#include <stdlib.h>
#include <string.h>

struct secret {
    CK_SESSION_HANDLE session;
    struct object object;
    uint8_t value[]; /* object.secret_size */
};

static void secret_free(struct secret *secret)
{
    explicit_bzero(secret, sizeof(*secret) + secret->object.secret_size);
    free(secret);
}

CK_RV secret_list_add(struct secret_list *list, CK_SESSION_HANDLE session, struct object *like, const void *value)
{
    struct secret *secret;

    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 8;
        struct secret **grown = realloc(list->secrets, room * sizeof(*grown));

        if (!grown)
            return CKR_HOST_MEMORY;
        list->secrets = grown;
        list->room = room;
    }
    secret = malloc(sizeof(*secret) + like->secret_size);
    if (!secret)
        return CKR_HOST_MEMORY;
    like->handle = OBJECT_HANDLE(++list->next_number, OBJECT_SECRET);
    like->kind = OBJECT_SECRET;
    secret->session = session;
    secret->object = *like;
    memcpy(secret->value, value, like->secret_size);
    list->secrets[list->count++] = secret;
    return CKR_OK;
}

/* The place of @handle, or count. */
static size_t place_of(const struct secret_list *list, CK_OBJECT_HANDLE handle)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->secrets[middle]->object.handle == handle)
            return middle;
        if (list->secrets[middle]->object.handle < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return list->count;
}

bool secret_list_at(const struct secret_list *list, size_t at, struct object *object)
{
    if (at >= list->count)
        return false;
    *object = list->secrets[at]->object;
    return true;
}

bool secret_list_find(const struct secret_list *list, CK_OBJECT_HANDLE handle, struct object *object)
{
    return secret_list_at(list, place_of(list, handle), object);
}

bool secret_list_value(const struct secret_list *list, CK_OBJECT_HANDLE handle, uint8_t *value)
{
    size_t at = place_of(list, handle);

    if (at == list->count)
        return false;
    memcpy(value, list->secrets[at]->value, list->secrets[at]->object.secret_size);
    return true;
}

bool secret_list_remove(struct secret_list *list, CK_OBJECT_HANDLE handle)
{
    size_t at = place_of(list, handle);

    if (at == list->count)
        return false;
    secret_free(list->secrets[at]);
    list->count--;
    memmove(&list->secrets[at], &list->secrets[at + 1], (list->count - at) * sizeof(*list->secrets));
    return true;
}

void secret_list_clear(struct secret_list *list, CK_SESSION_HANDLE session)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (session == CK_INVALID_HANDLE || list->secrets[i]->session == session)
            secret_free(list->secrets[i]);
        else
            list->secrets[kept++] = list->secrets[i];
    }
    list->count = kept;
    if (session == CK_INVALID_HANDLE) {
        free(list->secrets);
        list->secrets = NULL;
        list->room = 0;
    }
}
