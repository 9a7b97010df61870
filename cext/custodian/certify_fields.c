/* SPDX-License-Identifier: Apache-2.0 */
/* From a message to libcrypto's names. Knows bounds and characters; must not know keys. */
#include "certify_fields.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <string.h>

#include "ipc.h"

enum {
    UTF8_BYTES_MAX = 4,
    ADDRESS_BYTES_V4 = 4,
    ADDRESS_BYTES_V6 = 16,
};

/* Characters: upper bounds of RFC 5280, A.1; where it has none (street, user id), those of X.520 and RFC 1274. */
static const struct attribute {
    uint32_t type;
    int nid;
    unsigned long form; /* of the string, as B_ASN1_* says */
    long characters_min;
    long characters_max;
} attributes[] = {
    {VKS_CERTIFY_COMMON_NAME, NID_commonName, B_ASN1_UTF8STRING, 1, 64},
    {VKS_CERTIFY_COUNTRY, NID_countryName, B_ASN1_PRINTABLESTRING, 2, 2},
    {VKS_CERTIFY_STATE, NID_stateOrProvinceName, B_ASN1_UTF8STRING, 1, 128},
    {VKS_CERTIFY_LOCALITY, NID_localityName, B_ASN1_UTF8STRING, 1, 128},
    {VKS_CERTIFY_STREET, NID_streetAddress, B_ASN1_UTF8STRING, 1, 128},
    {VKS_CERTIFY_ORGANIZATION, NID_organizationName, B_ASN1_UTF8STRING, 1, 64},
    {VKS_CERTIFY_UNIT, NID_organizationalUnitName, B_ASN1_UTF8STRING, 1, 64},
    {VKS_CERTIFY_SERIAL_NUMBER, NID_serialNumber, B_ASN1_PRINTABLESTRING, 1, 64},
    {VKS_CERTIFY_DOMAIN_COMPONENT, NID_domainComponent, B_ASN1_IA5STRING, 1, 63},
    {VKS_CERTIFY_USER_ID, NID_userId, B_ASN1_UTF8STRING, 1, 256},
};

static const struct alternative {
    uint32_t type;
    int name;
    uint32_t bytes_max;
} alternatives[] = {
    {VKS_CERTIFY_DNS, GEN_DNS, 253},
    {VKS_CERTIFY_IP, GEN_IPADD, ADDRESS_BYTES_V6},
    {VKS_CERTIFY_EMAIL, GEN_EMAIL, 254},
    {VKS_CERTIFY_URI, GEN_URI, 1024},
};

static const struct attribute *find_attribute(uint32_t type)
{
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
        if (attributes[i].type == type)
            return &attributes[i];
    return NULL;
}

static const struct alternative *find_alternative(uint32_t type)
{
    for (size_t i = 0; i < sizeof(alternatives) / sizeof(alternatives[0]); i++)
        if (alternatives[i].type == type)
            return &alternatives[i];
    return NULL;
}

/* Neither C0 and C1 (in UTF-8: 0xc2 and 0x80 to 0x9f) nor DEL: whoever prints a name must not be fooled. */
static bool has_control(const uint8_t *value, uint32_t value_bytes)
{
    for (uint32_t i = 0; i < value_bytes; i++)
        if (value[i] < 0x20 || value[i] == 0x7f ||
            (value[i] == 0xc2 && i + 1 < value_bytes && value[i + 1] >= 0x80 && value[i + 1] < 0xa0))
            return true;
    return false;
}

static bool is_graphic_ascii(const uint8_t *value, uint32_t value_bytes)
{
    for (uint32_t i = 0; i < value_bytes; i++)
        if (value[i] <= 0x20 || value[i] >= 0x7f)
            return false;
    return true;
}

static int add_attribute(const struct attribute *attribute, const uint8_t *value, uint32_t value_bytes, X509_NAME *name)
{
    ASN1_STRING *text = NULL;
    int form, error = -ENOMEM;

    if (value_bytes == 0 || value_bytes > UTF8_BYTES_MAX * (uint32_t)attribute->characters_max ||
        has_control(value, value_bytes) || X509_NAME_entry_count(name) >= VKS_CERTIFY_ATTRIBUTES_MAX)
        return -EINVAL;
    /* Counts characters, and refuses what is no UTF-8 or has no place in the form. */
    form = ASN1_mbstring_ncopy(&text, value, (int)value_bytes, MBSTRING_UTF8, attribute->form,
                               attribute->characters_min, attribute->characters_max);
    if (form <= 0)
        return -EINVAL;
    if (X509_NAME_add_entry_by_NID(name, attribute->nid, form, ASN1_STRING_get0_data(text), ASN1_STRING_length(text),
                                   -1, 0) == 1)
        error = 0;
    ASN1_STRING_free(text);
    return error;
}

static int add_alternative(const struct alternative *kind, const uint8_t *value, uint32_t value_bytes,
                           GENERAL_NAMES *names)
{
    bool address = kind->name == GEN_IPADD;
    GENERAL_NAME *name;
    ASN1_STRING *text;

    if (value_bytes == 0 || value_bytes > kind->bytes_max || sk_GENERAL_NAME_num(names) >= VKS_CERTIFY_ALTERNATIVES_MAX)
        return -EINVAL;
    if (address ? value_bytes != ADDRESS_BYTES_V4 && value_bytes != ADDRESS_BYTES_V6
                : !is_graphic_ascii(value, value_bytes))
        return -EINVAL;
    name = GENERAL_NAME_new();
    text = ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (name == NULL || text == NULL || ASN1_STRING_set(text, value, (int)value_bytes) != 1) {
        ASN1_STRING_free(text);
        GENERAL_NAME_free(name);
        return -ENOMEM;
    }
    GENERAL_NAME_set0_value(name, kind->name, text);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return 0;
    GENERAL_NAME_free(name);
    return -ENOMEM;
}

static int add(const struct vks_custodian_certify_field *field, const uint8_t *value, struct vks_certify_fields *fields)
{
    const struct attribute *attribute = find_attribute(field->type);
    const struct alternative *alternative = find_alternative(field->type);

    if (attribute)
        return add_attribute(attribute, value, field->value_bytes, fields->subject);
    if (alternative)
        return add_alternative(alternative, value, field->value_bytes, fields->alternatives);
    return -EINVAL;
}

int vks_certify_fields_read(const uint8_t *bytes, size_t size_bytes, struct vks_certify_fields *fields)
{
    int error = 0;

    fields->subject = X509_NAME_new();
    fields->alternatives = sk_GENERAL_NAME_new_null();
    if (fields->subject == NULL || fields->alternatives == NULL)
        error = -ENOMEM;
    while (!error && size_bytes) {
        struct vks_custodian_certify_field field;
        size_t padded;

        if (size_bytes < sizeof(field))
            return -EPROTO;
        memcpy(&field, bytes, sizeof(field));
        bytes += sizeof(field);
        size_bytes -= sizeof(field);
        if (field.value_bytes > size_bytes)
            return -EPROTO;
        padded = ((size_t)field.value_bytes + 7) & ~(size_t)7;
        if (padded > size_bytes)
            return -EPROTO;
        error = add(&field, bytes, fields);
        bytes += padded;
        size_bytes -= padded;
    }
    ERR_clear_error();
    return error;
}

void vks_certify_fields_free(struct vks_certify_fields *fields)
{
    X509_NAME_free(fields->subject);
    GENERAL_NAMES_free(fields->alternatives);
    *fields = (struct vks_certify_fields){NULL, NULL};
}
