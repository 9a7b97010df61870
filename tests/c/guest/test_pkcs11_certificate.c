/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates out of DER and out of a text: a good one, then every way in which it can be wrong. */
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "certificate.h"
#include "pem.h"
#include "small_certificate.h"

static void check_part(const char *name, struct vks_bytes part, size_t at, size_t size)
{
    CHECK_EQUAL(name, part.size, size);
    CHECK(name, memcmp(part.data, small_certificate + at, size) == 0);
}

static void test_parts(void)
{
    struct certificate certificate;

    CHECK("small", certificate_read((struct vks_bytes){small_certificate, sizeof(small_certificate)}, &certificate));
    check_part("serial number", certificate.serial_number, SMALL_SERIAL_AT, 3);
    check_part("issuer", certificate.issuer, SMALL_ISSUER_AT, 15);
    check_part("subject", certificate.subject, SMALL_SUBJECT_AT, 15);
    check_part("public key", certificate.public_key, SMALL_PUBLIC_KEY_AT, 15);
    check_part("key identifier", certificate.key_id, SMALL_KEY_ID_AT + 2, 3);
    CHECK("authority", certificate.is_authority);
    CHECK("from", memcmp(certificate.start_date, "19500102", CERTIFICATE_DATE_BYTES) == 0);
    CHECK("until", memcmp(certificate.end_date, "20491231", CERTIFICATE_DATE_BYTES) == 0);
}

static bool is_inside(struct vks_bytes part, const uint8_t *whole, size_t size)
{
    const uint8_t *at = part.data;

    return part.size == 0 || (at >= whole && part.size <= size && (size_t)(at - whole) <= size - part.size);
}

/* In a place of its own, so that a look behind its end is seen: refused, or its parts are inside. */
static bool read_own(const uint8_t *der, size_t size)
{
    struct certificate certificate;
    uint8_t *own = malloc(size ? size : 1);
    bool is_good;

    CHECK("memory", own);
    memcpy(own, der, size);
    is_good = certificate_read((struct vks_bytes){own, size}, &certificate);
    if (is_good)
        CHECK("inside", is_inside(certificate.serial_number, own, size) && is_inside(certificate.issuer, own, size) &&
                            is_inside(certificate.subject, own, size) && is_inside(certificate.public_key, own, size) &&
                            is_inside(certificate.key_id, own, size));
    free(own);
    return is_good;
}

/* As it is, and with the outermost length made to fit what is left. */
static void test_cut(void)
{
    for (size_t size = 0; size < sizeof(small_certificate); size++)
        CHECK("cut", !read_own(small_certificate, size));
    for (size_t cut = 1; cut < sizeof(small_certificate) - 6; cut++) {
        uint8_t der[sizeof(small_certificate)];
        size_t size = sizeof(der) - cut;

        memcpy(der, small_certificate, size);
        if (size - 3 < 0x80)
            continue;
        der[2] = (uint8_t)(size - 3);
        CHECK("cut, and said so", !read_own(der, size));
    }
}

static void test_every_byte(void)
{
    size_t good = 0;

    for (size_t at = 0; at < sizeof(small_certificate); at++) {
        for (unsigned int value = 0; value < 256; value++) {
            uint8_t der[sizeof(small_certificate)];

            memcpy(der, small_certificate, sizeof(der));
            der[at] = (uint8_t)value;
            good += read_own(der, sizeof(der));
        }
    }
    CHECK("values change, the form does not", good > 1000);
}

static const struct {
    const char *name;
    size_t at;
    uint8_t value;
} changed[] = {
    {"another tag", 0, 0x31},
    {"longer than it is", 2, 0x93},
    {"shorter than it is", 2, 0x91},
    {"serial number that is none", SMALL_SERIAL_AT, 4},
    {"issuer that is none", SMALL_ISSUER_AT, 0x31},
    {"time that is none", SMALL_NOT_BEFORE_AT, 0x16},
    {"time with a letter", SMALL_NOT_BEFORE_AT + 4, 'x'},
    {"time without Z", SMALL_NOT_BEFORE_AT + 14, '0'},
    {"two times of one form", SMALL_NOT_AFTER_AT, 0x17},
    {"public key with unused bits", SMALL_PUBLIC_KEY_AT + 11, 1},
    {"something behind the signature", sizeof(small_certificate) - 3, 1},
    {"extensions of another tag", SMALL_EXTENSIONS_AT, 0xa4},
    {"critical that is longer", SMALL_CRITICAL_AT + 1, 2},
    {"authority over its end", SMALL_AUTHORITY_AT - 1, 7},
    {"authority of two bytes", SMALL_AUTHORITY_AT + 1, 2},
    {"key identifier over its end", SMALL_KEY_ID_AT + 1, 4},
};

static void test_changed(void)
{
    struct certificate certificate;
    uint8_t der[sizeof(small_certificate)];

    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
        memcpy(der, small_certificate, sizeof(der));
        der[changed[i].at] = changed[i].value;
        CHECK(changed[i].name, !read_own(der, sizeof(der)));
    }
    memcpy(der, small_certificate, sizeof(der));
    der[SMALL_AUTHORITY_AT + 2] = 0;
    CHECK("no authority", certificate_read((struct vks_bytes){der, sizeof(der)}, &certificate));
    CHECK("no authority", !certificate.is_authority);
}

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END   "-----END CERTIFICATE-----\n"

static const struct {
    const char *name, *text;
    const char *found[3]; /* what is in the blocks; NULL: the end */
} texts[] = {
    {"nothing", "", {0}},
    {"no block", "hello\n", {0}},
    {"empty", BEGIN END, {0}},
    {"one", BEGIN "aGVsbG8h\n" END, {"hello!"}},
    {"padding of one", BEGIN "aGVsbG8=\n" END, {"hello"}},
    {"padding of two", BEGIN "aGVsbA==\n" END, {"hell"}},
    {"padding of three", BEGIN "aGVsb===\n" END, {0}},
    {"padding missing", BEGIN "aGVsbG8\n" END, {0}},
    {"padding in between", BEGIN "aGVsbA==aGVs\n" END, {0}},
    {"lines of Windows", "-----BEGIN CERTIFICATE-----\r\naGVs\r\nbG8h\r\n" END, {"hello!"}},
    {"text around", "who: me\n" BEGIN "YQ==\n" END "and\n" BEGIN "Yg==\n" END "end\n", {"a", "b"}},
    {"no end", BEGIN "aGVsbG8h\n", {0}},
    {"no end, then another", BEGIN "aGVsbG8h\n" BEGIN "Yg==\n" END, {"b"}},
    {"end of another", BEGIN "aGVsbG8h\n-----END PRIVATE KEY-----\n" BEGIN "Yg==\n" END, {"b"}},
    {"another label", "-----BEGIN PUBLIC KEY-----\nYQ==\n-----END PUBLIC KEY-----\n" BEGIN "Yg==\n" END, {"b"}},
    {"not of base64", BEGIN "aGV*bG8h\n" END BEGIN "Yg==\n" END, {"b"}},
    {"larger than there is room", BEGIN "aGVsbG8haGVsbG8h\n" END BEGIN "Yg==\n" END, {"b"}},
};

/* @size bytes of @text, again in a place of its own; how many blocks were found. */
static size_t read_text(const char *name, const char *text, size_t size, const char *const *found)
{
    char *own = malloc(size ? size : 1);
    struct pem_text left = {own, size};
    uint8_t data[8];
    size_t got, count = 0;

    CHECK("memory", own);
    memcpy(own, text, size);
    for (; pem_next(&left, data, sizeof(data), &got); count++) {
        CHECK(name, left.at >= own && left.size <= size && left.at == own + (size - left.size));
        if (!found)
            continue;
        CHECK(name, found[count]);
        CHECK_EQUAL(name, got, strlen(found[count]));
        CHECK(name, memcmp(data, found[count], got) == 0);
    }
    free(own);
    return count;
}

static void test_texts(void)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t size = strlen(texts[i].text), count = 0, all;

        while (texts[i].found[count])
            count++;
        all = read_text(texts[i].name, texts[i].text, size, texts[i].found);
        CHECK_EQUAL(texts[i].name, all, count);
        for (size_t cut = 0; cut < size; cut++)
            CHECK(texts[i].name, read_text(texts[i].name, texts[i].text, cut, NULL) <= count);
    }
}

int main(void)
{
    test_parts();
    test_cut();
    test_every_byte();
    test_changed();
    test_texts();
    return 0;
}
