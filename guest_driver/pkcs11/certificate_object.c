/* SPDX-License-Identifier: BSD-3-Clause */
#include "certificate_object.h"

#include <stdio.h>
#include <string.h>

#define KEY_IDENTIFIER_BYTES_MAX 64 /* a digest has not more */

static struct vks_bytes key_name(const struct object *key, CK_ATTRIBUTE_TYPE type)
{
    return type == CKA_ID ? (struct vks_bytes){key->key.id, sizeof(key->key.id)}
                          : (struct vks_bytes){key->key.label, strlen(key->key.label)};
}

/* Of one without a key. */
static struct vks_bytes own_name(const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type)
{
    if (type == CKA_LABEL)
        return (struct vks_bytes){entry->label, strlen(entry->label)};
    /* Whoever writes an identifier chooses it: none is to be taken for that of a key. */
    if (entry->certificate.key_id.size == VKS_KEY_ID_BYTES || entry->certificate.key_id.size > KEY_IDENTIFIER_BYTES_MAX)
        return (struct vks_bytes){0};
    return entry->certificate.key_id;
}

static CK_RV get_name(struct token *token, const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type,
                      struct attribute_value *room, struct vks_bytes *value)
{
    struct object key;
    CK_RV rv = token_object_by_public(token, entry->certificate.public_key, entry->label, &key);

    if (rv == CKR_OBJECT_HANDLE_INVALID) {
        *value = own_name(entry, type);
        return CKR_OK;
    }
    if (rv != CKR_OK)
        return rv;
    *value = key_name(&key, type);
    attribute_set(room, value->data, value->size);
    *value = (struct vks_bytes){room->data, room->size};
    return CKR_OK;
}

/* Parts of the certificate. */
static bool get_part(const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type, struct vks_bytes *value)
{
    const struct certificate *certificate = &entry->certificate;

    switch (type) {
    case CKA_SUBJECT:
        *value = certificate->subject;
        return true;
    case CKA_ISSUER:
        *value = certificate->issuer;
        return true;
    case CKA_SERIAL_NUMBER:
        *value = certificate->serial_number;
        return true;
    case CKA_VALUE:
        *value = certificate->der;
        return true;
    case CKA_PUBLIC_KEY_INFO:
        *value = certificate->public_key;
        return true;
    case CKA_START_DATE:
        *value = (struct vks_bytes){certificate->start_date, CERTIFICATE_DATE_BYTES};
        return true;
    case CKA_END_DATE:
        *value = (struct vks_bytes){certificate->end_date, CERTIFICATE_DATE_BYTES};
        return true;
    default:
        return false;
    }
}

/* What is the same of all of them, or nearly. */
static CK_RV get_storage(const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    char text[32];

    switch (type) {
    case CKA_CLASS:
        return attribute_set_number(value, CKO_CERTIFICATE);
    case CKA_CERTIFICATE_TYPE:
        return attribute_set_number(value, CKC_X_509);
    case CKA_CERTIFICATE_CATEGORY:
        return attribute_set_number(value, entry->certificate.is_authority ? CK_CERTIFICATE_CATEGORY_AUTHORITY
                                                                           : CK_CERTIFICATE_CATEGORY_UNSPECIFIED);
    case CKA_JAVA_MIDP_SECURITY_DOMAIN:
        return attribute_set_number(value, CK_SECURITY_DOMAIN_UNSPECIFIED);
    case CKA_TOKEN:
        return attribute_set_bool(value, true);
    case CKA_PRIVATE:
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
    case CKA_DESTROYABLE:
    case CKA_TRUSTED:
        return attribute_set_bool(value, false);
    case CKA_UNIQUE_ID:
        attribute_set(value, text,
                      (size_t)snprintf(text, sizeof(text), "certificate-%llu", (unsigned long long)entry->number));
        return CKR_OK;
    case CKA_URL: /* the certificate itself is here */
    case CKA_HASH_OF_SUBJECT_PUBLIC_KEY:
    case CKA_HASH_OF_ISSUER_PUBLIC_KEY:
        value->size = 0;
        return CKR_OK;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

CK_RV certificate_attribute(struct token *token, const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type,
                            struct attribute_value *room, struct vks_bytes *value)
{
    CK_RV rv;

    if (type == CKA_ID || type == CKA_LABEL)
        return get_name(token, entry, type, room, value);
    if (get_part(entry, type, value))
        return CKR_OK;
    rv = get_storage(entry, type, room);
    if (rv == CKR_OK)
        *value = (struct vks_bytes){room->data, room->size};
    return rv;
}

static bool is_equal(struct vks_bytes value, const CK_ATTRIBUTE *wanted)
{
    return value.size == wanted->ulValueLen && (!value.size || memcmp(value.data, wanted->pValue, value.size) == 0);
}

/* By CKA_ID or CKA_LABEL. Its own name counts where no key has its public key, which only all of them can say. */
static CK_RV match_name(struct token *token, const struct certificate_entry *entry, const CK_ATTRIBUTE *wanted)
{
    bool is_own = is_equal(own_name(entry, wanted->type), wanted);
    struct vks_bytes public_key = entry->certificate.public_key;
    struct object key;
    CK_RV rv = token_object_known_by_public(token, public_key, &key);

    if (rv == CKR_OBJECT_HANDLE_INVALID && is_own)
        rv = token_object_by_public(token, public_key, entry->label, &key);
    if (rv == CKR_OBJECT_HANDLE_INVALID)
        return is_own ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
    if (rv != CKR_OK)
        return rv;
    return is_equal(key_name(&key, wanted->type), wanted) ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

static CK_RV match_one(struct token *token, const struct certificate_entry *entry, const CK_ATTRIBUTE *wanted)
{
    struct attribute_value room;
    struct vks_bytes value;
    CK_RV rv = certificate_attribute(token, entry, wanted->type, &room, &value);

    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || (rv == CKR_OK && !is_equal(value, wanted)))
        return CKR_OBJECT_HANDLE_INVALID;
    return rv;
}

CK_RV certificate_match(struct token *token, const struct certificate_entry *entry, const CK_ATTRIBUTE *attributes,
                        CK_ULONG count)
{
    CK_RV rv = CKR_OK;

    /* What a key may have to be asked for comes last. */
    for (int is_name = 0; is_name < 2; is_name++)
        for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
            if ((attributes[i].type == CKA_ID || attributes[i].type == CKA_LABEL) == is_name)
                rv = is_name ? match_name(token, entry, &attributes[i]) : match_one(token, entry, &attributes[i]);
    return rv;
}
