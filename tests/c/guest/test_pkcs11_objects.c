/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of keys, session secrets and templates: what is found by what, and what stays when keys come and go. */
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "object_table.h"
#include "secret_list.h"
#include "template.h"

#define KEYS 10000

/* Key @number in the order of ids, in @versions versions of which the last but @behind is current. */
static void put_key(struct vks_key *keys, size_t *count, unsigned int number, uint32_t versions, uint32_t behind)
{
    for (uint32_t version = 1; version <= versions; version++) {
        struct vks_key *key = &keys[(*count)++];

        *key = (struct vks_key){.version = version, .type = VKS_KEY_TYPE_EC_P256};
        key->id[0] = (uint8_t)(number >> 16);
        key->id[1] = (uint8_t)(number >> 8);
        key->id[2] = (uint8_t)number;
        key->is_current = version == versions - behind;
        snprintf(key->label, sizeof(key->label), "key-%u", number / 2);
    }
}

static struct vks_key *make_keys(size_t room)
{
    struct vks_key *keys = calloc(room, sizeof(*keys));

    CHECK("memory", keys);
    return keys;
}

static void test_find(void)
{
    struct vks_key *keys = make_keys(KEYS);
    struct object_table *table;
    uint64_t next = 7;
    size_t count = 0;

    for (unsigned int i = 0; i < KEYS; i++)
        put_key(keys, &count, i, 1, 0);
    table = object_table_make(keys, count, NULL, &next);
    CHECK("table", table && table->count == KEYS && next == 7 + KEYS);
    for (unsigned int i = 0; i < KEYS; i++) {
        char label[32];
        struct object_entry *entry = object_table_by_id(table, table->entries[i].current->id);
        unsigned int found = 0, looked = 0;
        int size = snprintf(label, sizeof(label), "key-%u", i / 2);

        CHECK("by id", entry == &table->entries[i]);
        CHECK("by number", object_table_by_number(table, entry->number) == entry);
        for (uint32_t at = object_table_by_label(table, label, (size_t)size); at;
             at = table->entries[at - 1].next_same_label) {
            found += strcmp(table->entries[at - 1].current->label, label) == 0;
            looked++;
        }
        CHECK_EQUAL("both of the label", found, 2);
        CHECK("not all of them are looked at", looked < 100);
    }
    CHECK("no number", !object_table_by_number(table, 6) && !object_table_by_number(table, 7 + KEYS));
    CHECK("no id", !object_table_by_id(table, (const uint8_t *)"\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"));
    object_table_free(table);
}

/* A key keeps its number when others come and go, and no number comes twice. */
static void test_numbers(void)
{
    struct vks_key *first = make_keys(4), *second = make_keys(4), *third = make_keys(4);
    struct object_table *before, *after, *again;
    uint64_t next = 1;
    size_t count = 0;

    put_key(first, &count, 10, 1, 0);
    put_key(first, &count, 20, 1, 0);
    put_key(first, &count, 30, 1, 0);
    before = object_table_make(first, count, NULL, &next);
    count = 0;
    put_key(second, &count, 5, 1, 0);
    put_key(second, &count, 20, 1, 0);
    put_key(second, &count, 40, 1, 0);
    after = object_table_make(second, count, before, &next);
    CHECK("tables", before && after);
    CHECK_EQUAL("stays", after->entries[1].number, before->entries[1].number);
    CHECK_EQUAL("new", after->entries[0].number, 4);
    CHECK_EQUAL("new", after->entries[2].number, 5);
    CHECK("gone", !object_table_by_number(after, before->entries[0].number));
    count = 0;
    put_key(third, &count, 10, 1, 0);
    again = object_table_make(third, count, after, &next);
    CHECK("table", again);
    CHECK_EQUAL("who comes back is another", again->entries[0].number, 6);
    object_table_free(before);
    object_table_free(after);
    object_table_free(again);
}

static void test_versions(void)
{
    struct vks_key *keys = make_keys(64), *rotated = make_keys(64);
    struct object_table *table, *after;
    struct object object;
    uint64_t next = 1;
    size_t count = 0;

    put_key(keys, &count, 1, 3, 1);
    put_key(keys, &count, 2, 20, 0);
    put_key(keys, &count, 3, 2, 5); /* none is current */
    keys[count] = keys[count - 1];
    keys[count].id[0] = 9;
    keys[count++].type = VKS_KEY_TYPE_COUNT;
    table = object_table_make(keys, count, NULL, &next);
    CHECK("a type that is not known is no object", table && table->count == 3);
    object_fill(&table->entries[0], OBJECT_KEY, &object);
    CHECK_EQUAL("current", object.key.version, 2);
    CHECK_EQUAL("older", object.older_count, 2);
    CHECK("newest first", object.older[0] == 3 && object.older[1] == 1);
    object_fill(&table->entries[1], OBJECT_PUBLIC, &object);
    CHECK_EQUAL("as many as there is room", object.older_count, OBJECT_OLDER_MAX);
    CHECK_EQUAL("handle", object.handle, OBJECT_HANDLE(2, OBJECT_PUBLIC));
    object_fill(&table->entries[2], OBJECT_KEY, &object);
    CHECK_EQUAL("the newest where none is current", object.key.version, 2);

    /* A public key goes on with its version, and does not outlive it. */
    table->entries[0].public_der = malloc(1);
    table->entries[1].public_der = malloc(1);
    count = 0;
    put_key(rotated, &count, 1, 3, 1);
    put_key(rotated, &count, 2, 21, 0);
    after = object_table_make(rotated, count, table, &next);
    CHECK("table", after);
    object_table_inherit(after, table);
    CHECK("the same version", after->entries[0].public_der && !table->entries[0].public_der);
    CHECK("another version", !after->entries[1].public_der && table->entries[1].public_der);
    object_table_free(table);
    object_table_free(after);
}

/* What the public key of key @number is, here. */
static struct vks_bytes public_of(size_t number, uint8_t bytes[4])
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    return (struct vks_bytes){bytes, 4};
}

static void keep_public(struct object_table *table, struct object_entry *entry, size_t number)
{
    uint8_t bytes[4], *der = malloc(4);

    CHECK("memory", der);
    memcpy(der, public_of(number, bytes).data, 4);
    object_table_keep_public(table, entry, der, 4);
}

/* A key is found by its public key when that is here, also in the next table; nobody is asked twice. */
static void test_public(void)
{
    struct vks_key *keys = make_keys(KEYS), *again = make_keys(KEYS);
    struct object_table *table, *after;
    struct object_entry *entry;
    uint64_t next = 1;
    size_t count = 0, asked = 0;
    uint8_t bytes[4];

    for (unsigned int i = 0; i < KEYS; i++) {
        put_key(keys, &count, i, 1, 0);
        keys[i].type = i % 4 ? VKS_KEY_TYPE_EC_P256 : VKS_KEY_TYPE_AES_256;
    }
    memcpy(again, keys, KEYS * sizeof(*keys));
    table = object_table_make(keys, count, NULL, &next);
    CHECK("table", table);
    CHECK_EQUAL("pairs", table->types[VKS_KEY_TYPE_EC_P256].count, KEYS - KEYS / 4);
    for (; (entry = object_table_unasked(table, VKS_KEY_TYPE_EC_P256)); asked++) {
        CHECK("none yet", !object_table_by_public(table, public_of(entry->number, bytes)));
        if (entry->number % 3)
            keep_public(table, entry, entry->number);
        object_table_asked(table, VKS_KEY_TYPE_EC_P256, entry->number);
        object_table_asked(table, VKS_KEY_TYPE_EC_P256, entry->number); /* by another thread, too */
    }
    CHECK_EQUAL("all pairs", asked, KEYS - KEYS / 4);
    for (size_t i = 0; i < KEYS; i++) {
        entry = &table->entries[i];
        CHECK("found", object_table_by_public(table, public_of(entry->number, bytes)) ==
                           (i % 4 && entry->number % 3 ? entry : NULL));
    }
    CHECK("none", !object_table_by_public(table, (struct vks_bytes){bytes, 3}));
    after = object_table_make(again, count, table, &next);
    CHECK("table", after);
    object_table_inherit(after, table);
    CHECK("not in the old one", !object_table_by_public(table, public_of(2, bytes)));
    CHECK("in the new one", object_table_by_public(after, public_of(2, bytes)) == &after->entries[1]);
    for (asked = 0; (entry = object_table_unasked(after, VKS_KEY_TYPE_EC_P256)); asked++)
        object_table_asked(after, VKS_KEY_TYPE_EC_P256, entry->number);
    CHECK_EQUAL("those that were not given", asked, KEYS / 4);
    object_table_free(table);
    object_table_free(after);
}

static void test_secrets(void)
{
    struct secret_list list = {0};
    CK_OBJECT_HANDLE handles[100];
    uint8_t value[VKS_SECRET_BYTES_MAX];
    struct object object;

    for (unsigned int i = 0; i < 100; i++) {
        struct object like = {.secret_size = 1 + i};

        memset(value, (int)i, sizeof(value));
        CHECK_EQUAL("add", secret_list_add(&list, i % 3 + 1, &like, value), CKR_OK);
        handles[i] = like.handle;
    }
    CHECK("remove", secret_list_remove(&list, handles[50]) && !secret_list_remove(&list, handles[50]));
    for (unsigned int i = 0; i < 100; i++) {
        CHECK_EQUAL("there", secret_list_find(&list, handles[i], &object), i != 50);
        if (i == 50)
            continue;
        CHECK_EQUAL("size", object.secret_size, 1 + i);
        CHECK("value", secret_list_value(&list, handles[i], value) && value[0] == i && value[i] == i);
    }
    secret_list_clear(&list, 2);
    for (unsigned int i = 0; i < 100; i++)
        CHECK_EQUAL("of other sessions", secret_list_find(&list, handles[i], &object), i != 50 && i % 3 != 1);
    secret_list_clear(&list, CK_INVALID_HANDLE);
    CHECK_EQUAL("all", list.count, 0);
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_ULONG secret_class = CKO_SECRET_KEY, generic = CKK_GENERIC_SECRET, aes = CKK_AES, ec = CKK_EC;
static CK_BYTE long_label[64];
static CK_BYTE letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk";

static const struct {
    const char *name;
    CK_ATTRIBUTE attributes[3];
    CK_RV read, secret, vault; /* as a session secret, and as a key of the vault */
} templates[] = {
    {"nothing", {{0}}, CKR_OK, CKR_OK, CKR_OK},
    {"secret", {{CKA_CLASS, &secret_class, sizeof(secret_class)}, {CKA_KEY_TYPE, &generic, sizeof(generic)}}, 0, 0, 0},
    {"on the token", {{CKA_TOKEN, &yes, 1}}, 0, CKR_TEMPLATE_INCONSISTENT, 0},
    {"extractable", {{CKA_EXTRACTABLE, &yes, 1}}, 0, 0, CKR_TEMPLATE_INCONSISTENT},
    {"not sensitive", {{CKA_SENSITIVE, &no, 1}}, 0, 0, CKR_TEMPLATE_INCONSISTENT},
    {"sensitive", {{CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}}, 0, 0, 0},
    {"of another type", {{CKA_KEY_TYPE, &ec, sizeof(ec)}}, 0, CKR_TEMPLATE_INCONSISTENT, 0},
    {"of no size of AES", {{CKA_KEY_TYPE, &aes, sizeof(aes)}}, 0, CKR_KEY_SIZE_RANGE, 0},
    {"bool of no byte", {{CKA_TOKEN, &yes, 0}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"bool of two bytes", {{CKA_TOKEN, &generic, 2}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"bool nowhere", {{CKA_SIGN, NULL, 1}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"number of 4 bytes", {{CKA_VALUE_LEN, &generic, 4}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"label", {{CKA_LABEL, letters, 63}}, 0, 0, 0},
    {"label of 64 bytes", {{CKA_LABEL, long_label, 64}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"label with a NUL", {{CKA_LABEL, long_label, 3}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"huge id", {{CKA_ID, long_label, ~0UL}}, CKR_ATTRIBUTE_VALUE_INVALID, 0, 0},
    {"what only the token says", {{CKA_LOCAL, &yes, 1}}, CKR_ATTRIBUTE_READ_ONLY, 0, 0},
    {"unknown", {{0x80000001, &yes, 1}}, CKR_ATTRIBUTE_TYPE_INVALID, 0, 0},
};

static void test_templates(void)
{
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        struct template template = {0};
        CK_ULONG count = 0;

        while (count < 3 && (templates[i].attributes[count].pValue || templates[i].attributes[count].type))
            count++;
        CHECK_EQUAL(templates[i].name, template_read(templates[i].attributes, count, &template), templates[i].read);
        if (templates[i].read != CKR_OK)
            continue;
        CHECK_EQUAL(templates[i].name, secret_check(&template, 15), templates[i].secret);
        CHECK_EQUAL(templates[i].name, template_check_vault(&template, CKO_SECRET_KEY), templates[i].vault);
    }
    CHECK_EQUAL("attributes nowhere", template_read(NULL, 1, &(struct template){0}), CKR_ARGUMENTS_BAD);
}

int main(void)
{
    test_find();
    test_numbers();
    test_versions();
    test_public();
    test_secrets();
    test_templates();
    return 0;
}
