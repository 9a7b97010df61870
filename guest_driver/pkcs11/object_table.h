/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keys of a guest as the device listed them at one moment, found by number, id and label without looking at all of
 * them. Nothing of a table changes but its public keys, which are fetched when somebody asks: those, what is known of
 * them, and the count of references want the module's lock.
 */
#ifndef PKCS11_OBJECT_TABLE_H
#define PKCS11_OBJECT_TABLE_H

#include "object.h"

struct object_entry {
    const struct vks_key *current;
    const struct vks_key *first; /* all versions, one after the other */
    uint32_t version_count;
    uint32_t next_same_label; /* index + 1 */
    uint64_t number;
    uint8_t *public_der; /* of the current version; NULL until asked for */
    size_t public_size;
};

struct object_table {
    unsigned long references;
    uint64_t loaded_ms; /* when the device was asked */
    uint64_t took_ms;   /* to load it */
    uint64_t change;    /* of the token, then */
    struct vks_key *keys;
    struct object_entry *entries; /* in the order of their ids */
    size_t count;
    uint32_t *by_label;  /* index + 1 of the first */
    uint32_t *by_number; /* index + 1, open addressing */
    uint32_t *by_public; /* the same, of those whose public keys are here */
    size_t bucket_mask;
    bool has_private; /* some are there for who is logged in */
    struct {
        size_t count;
        size_t asked; /* of those of the first so many entries, the public key was asked for */
    } types[VKS_KEY_TYPE_COUNT];
};

/*
 * Takes @keys, which is in the order of the list. Keys that @old has keep their numbers, others get the next ones.
 * NULL, with @keys freed, if there is no memory.
 */
struct object_table *object_table_make(struct vks_key *keys, size_t count, const struct object_table *old,
                                       uint64_t *next_number);
/* Brings over the public keys of versions that both have; with the module's lock. */
void object_table_inherit(struct object_table *table, struct object_table *old);
void object_table_free(struct object_table *table);
/* Takes @der, which is from malloc(); with the module's lock, as the three below. */
void object_table_keep_public(struct object_table *table, struct object_entry *entry, uint8_t *der, size_t size);
struct object_entry *object_table_by_public(const struct object_table *table, struct vks_bytes der);
/* The next one of a type of pairs whose public key was not asked for. */
struct object_entry *object_table_unasked(struct object_table *table, uint32_t type);
/* It was, whatever came of it. */
void object_table_asked(struct object_table *table, uint32_t type, uint64_t number);

struct object_entry *object_table_by_number(const struct object_table *table, uint64_t number);
struct object_entry *object_table_by_id(const struct object_table *table, const uint8_t id[VKS_KEY_ID_BYTES]);
/* The first of the keys whose labels hash alike; then its next_same_label, of which any may be another one. */
uint32_t object_table_by_label(const struct object_table *table, const char *label, size_t size);

void object_fill(const struct object_entry *entry, enum object_kind kind, struct object *object);
/* Whether it has a public key. */
bool object_entry_is_pair(const struct object_entry *entry);

#endif
