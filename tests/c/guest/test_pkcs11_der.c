/* SPDX-License-Identifier: BSD-3-Clause */
/* Public keys out of SubjectPublicKeyInfo: good ones, then every way in which they can be wrong. */
#include <string.h>

#include "../check.h"
#include "der.h"

#define BYTES(...)                                                                                                     \
    {                                                                                                                  \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                                         \
    }

/* An algorithm of two bytes, a key of three. */
static const struct vks_bytes small = BYTES(0x30, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3);

static void test_public_key(void)
{
    struct der_public_key key;

    CHECK("small", der_public_key_read(small, &key));
    CHECK_EQUAL("algorithm", key.algorithm.size, 2);
    CHECK_EQUAL("algorithm", memcmp(key.algorithm.data, "\x2b\x65", 2), 0);
    CHECK_EQUAL("key", key.key.size, 3);
    CHECK_EQUAL("key", memcmp(key.key.data, "\x01\x02\x03", 3), 0);
    for (size_t cut = 0; cut < small.size; cut++)
        CHECK("cut", !der_public_key_read((struct vks_bytes){small.data, cut}, &key));
}

static const struct {
    const char *name;
    struct vks_bytes der;
} hostile[] = {
    {"nothing", {NULL, 0}},
    {"another tag", BYTES(0x31, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
    {"trailing byte", BYTES(0x30, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3, 0)},
    {"trailing byte inside", BYTES(0x30, 13, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3, 0)},
    {"unused bits", BYTES(0x30, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 1, 1, 2, 3)},
    {"no key", BYTES(0x30, 9, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 1, 0)},
    {"empty bit string", BYTES(0x30, 8, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 0)},
    {"no object identifier", BYTES(0x30, 12, 0x30, 4, 5, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
    {"algorithm over the key", BYTES(0x30, 12, 0x30, 11, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
    {"length of one byte that fits in none", BYTES(0x30, 0x81, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
    {"length of two bytes that fits in one", BYTES(0x30, 0x82, 0, 12, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
    {"indefinite length", BYTES(0x30, 0x80, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3, 0, 0)},
    {"length of 2^64 - 1", BYTES(0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x30)},
    {"length without its bytes", BYTES(0x30, 0x82, 1)},
    {"length beyond the end", BYTES(0x30, 0x82, 0xff, 0xff, 0x30, 4, 6, 2, 0x2b, 0x65, 3, 4, 0, 1, 2, 3)},
};

static void test_hostile(void)
{
    struct der_public_key key;

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
        CHECK(hostile[i].name, !der_public_key_read(hostile[i].der, &key));
}

static bool is_inside(struct vks_bytes part, const uint8_t *whole, size_t size)
{
    const uint8_t *at = part.data;

    return at >= whole && part.size <= size && (size_t)(at - whole) <= size - part.size;
}

/* Every value of every byte: refused, or its parts are inside. */
static void test_every_byte(void)
{
    for (size_t at = 0; at < small.size; at++) {
        for (unsigned int value = 0; value < 256; value++) {
            struct der_public_key key;
            uint8_t der[14];

            memcpy(der, small.data, sizeof(der));
            der[at] = (uint8_t)value;
            if (!der_public_key_read((struct vks_bytes){der, sizeof(der)}, &key))
                continue;
            CHECK("algorithm inside", is_inside(key.algorithm, der, sizeof(der)));
            CHECK("key inside", is_inside(key.key, der, sizeof(der)));
        }
    }
}

static const struct {
    const char *name;
    struct vks_bytes der;
    size_t modulus_size, exponent_size; /* 0: refused */
} rsa_keys[] = {
    {"plain", BYTES(0x30, 8, 2, 1, 0x7f, 2, 3, 1, 0, 1), 1, 3},
    {"sign byte", BYTES(0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 3), 2, 1},
    {"negative", BYTES(0x30, 8, 2, 3, 0x80, 0, 1, 2, 1, 3), 0, 0},
    {"needless zero", BYTES(0x30, 8, 2, 3, 0, 1, 1, 2, 1, 3), 0, 0},
    {"zero", BYTES(0x30, 6, 2, 1, 0, 2, 1, 3), 0, 0},
    {"empty number", BYTES(0x30, 5, 2, 0, 2, 1, 3), 0, 0},
    {"one number", BYTES(0x30, 3, 2, 1, 3), 0, 0},
    {"three numbers", BYTES(0x30, 9, 2, 1, 3, 2, 1, 3, 2, 1, 3), 0, 0},
    {"something behind", BYTES(0x30, 6, 2, 1, 5, 2, 1, 3, 0), 0, 0},
};

static void test_rsa_key(void)
{
    for (size_t i = 0; i < sizeof(rsa_keys) / sizeof(rsa_keys[0]); i++) {
        struct der_rsa_key rsa;
        bool is_good = der_rsa_key_read(rsa_keys[i].der, &rsa);

        CHECK_EQUAL(rsa_keys[i].name, is_good, rsa_keys[i].modulus_size != 0);
        if (!is_good)
            continue;
        CHECK_EQUAL(rsa_keys[i].name, rsa.modulus.size, rsa_keys[i].modulus_size);
        CHECK_EQUAL(rsa_keys[i].name, rsa.exponent.size, rsa_keys[i].exponent_size);
    }
}

/* What is put is taken, at every border of the length's form; and nothing is put where there is no room. */
static void test_octet_string(void)
{
    static const size_t sizes[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff};
    static uint8_t content[0x10000], out[0x10004];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vks_bytes from, taken;
        size_t size = der_put_octet_string((struct vks_bytes){content, sizes[i]}, out, sizeof(out));

        CHECK("put", size > sizes[i]);
        CHECK_EQUAL("no room", der_put_octet_string((struct vks_bytes){content, sizes[i]}, out, size - 1), 0);
        from = (struct vks_bytes){out, size};
        CHECK("taken", der_take(&from, DER_OCTET_STRING, &taken));
        CHECK_EQUAL("taken", taken.size, sizes[i]);
        CHECK_EQUAL("rest", from.size, 0);
    }
    CHECK_EQUAL("too long", der_put_octet_string((struct vks_bytes){content, 0x10000}, out, sizeof(out)), 0);
}

/* A point as such, or in an OCTET STRING; one that only looks like it is left as it is. */
static void test_peer(void)
{
    uint8_t point[65] = {4, 63}, wrapped[67];
    struct vks_bytes got;

    CHECK_EQUAL("wrap", der_put_octet_string((struct vks_bytes){point, 65}, wrapped, 67), 67);
    got = der_octet_string_or_raw((struct vks_bytes){wrapped, 67}, 65);
    CHECK("in an octet string", got.data == wrapped + 2 && got.size == 65);
    got = der_octet_string_or_raw((struct vks_bytes){point, 65}, 65);
    CHECK("raw, though it reads as an octet string of 63", got.data == point && got.size == 65);
    got = der_octet_string_or_raw((struct vks_bytes){point, 64}, 65);
    CHECK("neither", got.data == point && got.size == 64);
}

int main(void)
{
    test_public_key();
    test_hostile();
    test_every_byte();
    test_rsa_key();
    test_octet_string();
    test_peer();
    return 0;
}
