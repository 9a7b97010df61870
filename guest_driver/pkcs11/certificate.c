/* SPDX-License-Identifier: BSD-3-Clause */
#include "certificate.h"

#include <string.h>

#include "der.h"

/* Context-specific tags of TBSCertificate. */
enum {
    TAG_VERSION = 0xa0,
    TAG_ISSUER_UNIQUE_ID = 0x81,
    TAG_SUBJECT_UNIQUE_ID = 0x82,
    TAG_EXTENSIONS = 0xa3,
};

static const uint8_t subject_key_identifier[] = {0x55, 0x1d, 0x0e}; /* 2.5.29.14 */
static const uint8_t basic_constraints[] = {0x55, 0x1d, 0x13};      /* 2.5.29.19 */

static bool is_oid(struct vks_bytes oid, const uint8_t wanted[3])
{
    return oid.size == 3 && memcmp(oid.data, wanted, 3) == 0;
}

static bool is_all_digits(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

/* Both forms end with seconds and Z (4.1.2.5); of UTCTime, years from 50 are in the last century. */
static bool take_date(struct vks_bytes *from, char date[CERTIFICATE_DATE_BYTES])
{
    struct vks_bytes time;
    size_t digits;
    const char *text;

    if (der_take(from, DER_UTC_TIME, &time))
        digits = 12;
    else if (der_take(from, DER_GENERALIZED_TIME, &time))
        digits = 14;
    else
        return false;
    text = time.data;
    if (time.size != digits + 1 || !is_all_digits(text, digits) || text[digits] != 'Z')
        return false;
    if (digits == 12)
        memcpy(date, text[0] >= '5' ? "19" : "20", 2);
    memcpy(date + (digits == 12 ? 2 : 0), text, digits - 6);
    return true;
}

static bool take_validity(struct vks_bytes *from, struct certificate *certificate)
{
    struct vks_bytes validity;

    return der_take(from, DER_SEQUENCE, &validity) && take_date(&validity, certificate->start_date) &&
           take_date(&validity, certificate->end_date) && validity.size == 0;
}

/* cA is written only where it is true; a number may be behind it. */
static bool read_constraints(struct vks_bytes value, struct certificate *certificate)
{
    struct vks_bytes content, truth = {0};

    if (!der_take(&value, DER_SEQUENCE, &content) || value.size)
        return false;
    if (der_is_next(content, DER_BOOLEAN) && (!der_take(&content, DER_BOOLEAN, &truth) || truth.size != 1))
        return false;
    certificate->is_authority = truth.size && *(const uint8_t *)truth.data;
    return true;
}

static bool take_extension(struct vks_bytes *from, struct certificate *certificate)
{
    struct vks_bytes extension, oid, critical, value;

    if (!der_take(from, DER_SEQUENCE, &extension) || !der_take(&extension, DER_OID, &oid))
        return false;
    if (der_is_next(extension, DER_BOOLEAN) && !der_take(&extension, DER_BOOLEAN, &critical))
        return false;
    if (!der_take(&extension, DER_OCTET_STRING, &value) || extension.size)
        return false;
    if (is_oid(oid, subject_key_identifier))
        return der_take(&value, DER_OCTET_STRING, &certificate->key_id) && value.size == 0;
    return !is_oid(oid, basic_constraints) || read_constraints(value, certificate);
}

/* What may come behind the public key. */
static bool read_rest(struct vks_bytes rest, struct certificate *certificate)
{
    struct vks_bytes content, extensions;

    if (der_is_next(rest, TAG_ISSUER_UNIQUE_ID) && !der_take(&rest, TAG_ISSUER_UNIQUE_ID, &content))
        return false;
    if (der_is_next(rest, TAG_SUBJECT_UNIQUE_ID) && !der_take(&rest, TAG_SUBJECT_UNIQUE_ID, &content))
        return false;
    if (rest.size == 0)
        return true;
    if (!der_take(&rest, TAG_EXTENSIONS, &content) || rest.size)
        return false;
    if (!der_take(&content, DER_SEQUENCE, &extensions) || content.size)
        return false;
    while (extensions.size)
        if (!take_extension(&extensions, certificate))
            return false;
    return true;
}

bool certificate_read(struct vks_bytes der, struct certificate *certificate)
{
    struct vks_bytes outer, inner, part;
    struct der_public_key public_key;

    *certificate = (struct certificate){.der = der};
    if (!der_take(&der, DER_SEQUENCE, &outer) || der.size)
        return false;
    if (!der_take(&outer, DER_SEQUENCE, &inner) || !der_take(&outer, DER_SEQUENCE, &part) ||
        !der_take(&outer, DER_BIT_STRING, &part) || outer.size)
        return false;
    if (der_is_next(inner, TAG_VERSION) && !der_take(&inner, TAG_VERSION, &part))
        return false;
    if (!der_take_element(&inner, DER_INTEGER, &certificate->serial_number) || !der_take(&inner, DER_SEQUENCE, &part) ||
        !der_take_element(&inner, DER_SEQUENCE, &certificate->issuer) || !take_validity(&inner, certificate) ||
        !der_take_element(&inner, DER_SEQUENCE, &certificate->subject) ||
        !der_take_element(&inner, DER_SEQUENCE, &certificate->public_key))
        return false;
    return der_public_key_read(certificate->public_key, &public_key) && read_rest(inner, certificate);
}
