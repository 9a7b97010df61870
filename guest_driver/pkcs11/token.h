/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One device, which is one slot with its token. A token lives from the first look at the devices to C_Finalize; its
 * device is opened when somebody needs it, since over a guest's socket there can be only one user at a time.
 */
#ifndef PKCS11_TOKEN_H
#define PKCS11_TOKEN_H

#include <pthread.h>

#include "certificate_list.h"
#include "object_table.h"
#include "secret_list.h"

#define TOKEN_PATH_BYTES 256
#define TOKEN_SLOTS_MAX  64

/* So many public keys one call may ask for: each is some time of the host's. */
#define TOKEN_ASKED_MAX 1000

#define TOKEN_PUBLIC_KEY_BYTES_MAX 3072 /* one of ML-DSA-87 has 2592, and what is around it */

/* What is shown of the keys is at most so old; operations are decided by the device itself. */
#define TOKEN_FRESH_MS 1000
#define TOKEN_ANY_AGE  UINT64_MAX

struct token {
    CK_SLOT_ID slot;
    char path[TOKEN_PATH_BYTES];
    char certificate_folder[TOKEN_PATH_BYTES]; /* of no length: none */
    pthread_mutex_t work;                      /* over opening and listing; never wanted with the module's lock held */
    uint64_t next_number;                      /* of objects; with work */
    uint64_t last_certificate;                 /* number; with work */
    /* With the module's lock. */
    struct vks_device *device;
    struct object_table *table;
    struct certificate_list *certificates;
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

/* Whether it is seen now: what is private only with a login. Takes the module's lock. */
bool token_shows(struct token *token, const struct object *object);
/* CKR_OBJECT_HANDLE_INVALID if there is none; what is private is given in any case. */
CK_RV token_object(struct token *token, CK_OBJECT_HANDLE handle, uint64_t age_ms, struct object *object);
CK_RV token_object_by_id(struct token *token, const uint8_t id[VKS_KEY_ID_BYTES], struct object *object);
/* SubjectPublicKeyInfo of the version that @object is. */
CK_RV token_public_key(struct token *token, const struct object *object, uint8_t *der, size_t *size);
/* Asks for it where nobody has, for token_object_known_by_public(). One that is not given is passed over. */
CK_RV token_public_key_learn(struct token *token, const struct object *object);
/*
 * The key whose current version has the public key @der; if several have, one of them. CKR_OBJECT_HANDLE_INVALID: none,
 * or none of those whose public keys were asked for.
 */
CK_RV token_object_known_by_public(struct token *token, struct vks_bytes der, struct object *object);
/*
 * The same of all keys with this @label, and of all others of its type where there are not more than TOKEN_ASKED_MAX:
 * the device is asked for the public key of each.
 */
CK_RV token_object_by_public(struct token *token, struct vks_bytes der, const char *label, struct object *object);

/* What is in the certificate folder, at most TOKEN_FRESH_MS old, for token_certificates_put(). */
CK_RV token_certificates_get(struct token *token, struct certificate_list **list);
void token_certificates_put(struct certificate_list *list);

#endif
