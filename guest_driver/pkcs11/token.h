/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One device, which is one slot with its token. A token lives from the first look at the devices to C_Finalize; its
 * device is opened when somebody needs it, since over a guest's socket there can be only one user at a time.
 */
#ifndef PKCS11_TOKEN_H
#define PKCS11_TOKEN_H

#include <pthread.h>

#include "object_table.h"
#include "secret_list.h"

#define TOKEN_PATH_BYTES 256
#define TOKEN_SLOTS_MAX  64

/* What is shown of the keys is at most so old; operations are decided by the device itself. */
#define TOKEN_FRESH_MS 1000
#define TOKEN_ANY_AGE  UINT64_MAX

struct token {
    CK_SLOT_ID slot;
    char path[TOKEN_PATH_BYTES];
    pthread_mutex_t work; /* over opening and listing; never wanted with the module's lock held */
    uint64_t next_number; /* of objects; with work */
    /* With the module's lock. */
    struct vks_device *device;
    struct object_table *table;
    uint64_t change; /* counts what made the table stale */
    bool is_logged_in;
    unsigned long session_count;
    unsigned long rw_session_count;
    struct secret_list secrets;
    struct token *next;
};

/* Looks for devices where nobody has yet, or @is_anew. */
void tokens_look(bool is_anew);
/* The slots that were seen, in the order of their numbers; at most TOKEN_SLOTS_MAX. */
size_t tokens_list(CK_SLOT_ID slots[TOKEN_SLOTS_MAX]);
/* CKR_SLOT_ID_INVALID if no look has found it. */
CK_RV token_find(CK_SLOT_ID slot, struct token **token);
/* All of them; with the module's lock. */
void tokens_clear(void);

/* Opens the device where it is not open. CKR_TOKEN_NOT_PRESENT: there is nobody behind it. */
CK_RV token_open(struct token *token);
/* What the device says now. */
CK_RV token_info(struct token *token, struct vks_device_info *info);
/* Whether it says anything. */
bool token_is_present(struct token *token);

/* The keys, not older than @age_ms, for token_table_put(). */
CK_RV token_table_get(struct token *token, uint64_t age_ms, struct object_table **table);
void token_table_put(struct object_table *table);
/* So old the keys may be for whoever missed one: a small part of the time goes into listing, however many keys there
 * are. */
uint64_t token_look_again_ms(struct token *token);
/* What was listed may be no longer true. */
void token_changed(struct token *token);

/* CKR_OBJECT_HANDLE_INVALID if there is none. */
CK_RV token_object(struct token *token, CK_OBJECT_HANDLE handle, uint64_t age_ms, struct object *object);
CK_RV token_object_by_id(struct token *token, const uint8_t id[VKS_KEY_ID_BYTES], struct object *object);
/* SubjectPublicKeyInfo of the version that @object is. */
CK_RV token_public_key(struct token *token, const struct object *object, uint8_t *der, size_t *size);

#endif
