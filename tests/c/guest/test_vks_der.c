/* SPDX-License-Identifier: BSD-3-Clause */
/* ECDSA signatures between r || s and DER: known encodings, then every way in which DER can be wrong. */
#include <errno.h>
#include <string.h>

#include "../check.h"
#include "vks.h"

#define BYTES(...)                                                                                                     \
    {                                                                                                                  \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                                         \
    }

static const struct {
    const char *name;
    struct vks_bytes raw, der;
} both_ways[] = {
    {"one and two", BYTES(0, 1, 0, 2), BYTES(0x30, 6, 2, 1, 1, 2, 1, 2)},
    {"zero", BYTES(0, 0, 0, 0), BYTES(0x30, 6, 2, 1, 0, 2, 1, 0)},
    {"top bit needs a sign byte", BYTES(0x80, 0, 0xff, 0xff), BYTES(0x30, 10, 2, 3, 0, 0x80, 0, 2, 3, 0, 0xff, 0xff)},
    {"sign byte among the number's zeros", BYTES(0, 0x80, 0, 0x7f), BYTES(0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f)},
    {"one byte each", BYTES(0x7f, 0x80), BYTES(0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80)},
};

static void test_both_ways(void)
{
    for (size_t i = 0; i < sizeof(both_ways) / sizeof(both_ways[0]); i++) {
        const char *name = both_ways[i].name;
        struct vks_bytes raw = both_ways[i].raw, der = both_ways[i].der;
        uint8_t got[32];
        size_t size = sizeof(got);

        CHECK_EQUAL(name, vks_ecdsa_to_der(raw, got, &size), 0);
        CHECK_EQUAL(name, size, der.size);
        CHECK_EQUAL(name, memcmp(got, der.data, size), 0);
        size = der.size - 1;
        CHECK_EQUAL(name, vks_ecdsa_to_der(raw, got, &size), -ENOSPC);
        CHECK_EQUAL(name, size, der.size);
        memset(got, 0xaa, sizeof(got));
        CHECK_EQUAL(name, vks_ecdsa_from_der(der, got, raw.size), 0);
        CHECK_EQUAL(name, memcmp(got, raw.data, raw.size), 0);
        CHECK_EQUAL(name, got[raw.size], 0xaa);
    }
}

/* Coordinates of every length up to P-521, all ones: the longest encodings, into a buffer of the stated maximum. */
static void test_longest(void)
{
    uint8_t raw[132], back[132], der[VKS_ECDSA_DER_BYTES_MAX(132)];

    memset(raw, 0xff, sizeof(raw));
    for (size_t size = 2; size <= sizeof(raw); size += 2) {
        size_t der_size = VKS_ECDSA_DER_BYTES_MAX(size);

        CHECK_EQUAL("longest", vks_ecdsa_to_der((struct vks_bytes){raw, size}, der, &der_size), 0);
        CHECK_EQUAL("longest", vks_ecdsa_from_der((struct vks_bytes){der, der_size}, back, size), 0);
        CHECK_EQUAL("longest", memcmp(raw, back, size), 0);
        /* Into fewer bytes than the number has. */
        if (size > 2)
            CHECK_EQUAL("too small", vks_ecdsa_from_der((struct vks_bytes){der, der_size}, back, size - 2), -EINVAL);
        /* Every cut. */
        for (size_t cut = 0; cut < der_size; cut++)
            CHECK_EQUAL("cut", vks_ecdsa_from_der((struct vks_bytes){der, cut}, back, size), -EINVAL);
    }
}

static const struct {
    const char *name;
    struct vks_bytes der;
} hostile[] = {
    {"another tag", BYTES(0x31, 6, 2, 1, 1, 2, 1, 2)},
    {"trailing byte", BYTES(0x30, 6, 2, 1, 1, 2, 1, 2, 0)},
    {"trailing byte inside", BYTES(0x30, 7, 2, 1, 1, 2, 1, 2, 0)},
    {"third number", BYTES(0x30, 9, 2, 1, 1, 2, 1, 2, 2, 1, 3)},
    {"one number", BYTES(0x30, 3, 2, 1, 1)},
    {"length beyond the end", BYTES(0x30, 7, 2, 1, 1, 2, 1, 2)},
    {"inner length beyond the end", BYTES(0x30, 6, 2, 1, 1, 2, 2, 2)},
    {"inner length over the sibling", BYTES(0x30, 6, 2, 5, 1, 2, 1, 2)},
    {"indefinite length", BYTES(0x30, 0x80, 2, 1, 1, 2, 1, 2, 0, 0)},
    {"long form where short fits", BYTES(0x30, 0x81, 6, 2, 1, 1, 2, 1, 2)},
    {"two length bytes", BYTES(0x30, 0x82, 0, 6, 2, 1, 1, 2, 1, 2)},
    {"length of 2^64 - 1", BYTES(0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1, 2, 1, 2)},
    {"long form without its byte", BYTES(0x30, 0x81)},
    {"empty integer", BYTES(0x30, 5, 2, 0, 2, 1, 2)},
    {"negative", BYTES(0x30, 6, 2, 1, 0x80, 2, 1, 2)},
    {"needless zero", BYTES(0x30, 7, 2, 2, 0, 1, 2, 1, 2)},
    {"needless zero before zero", BYTES(0x30, 7, 2, 2, 0, 0, 2, 1, 2)},
    {"number too long", BYTES(0x30, 8, 2, 3, 1, 0, 0, 2, 1, 2)},
    {"not an integer", BYTES(0x30, 6, 3, 1, 1, 2, 1, 2)},
    {"second not an integer", BYTES(0x30, 6, 2, 1, 1, 4, 1, 2)},
};

static void test_hostile(void)
{
    static const uint8_t raw[6] = {0};
    uint8_t got[136];
    size_t size = sizeof(got);

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
        CHECK_EQUAL(hostile[i].name, vks_ecdsa_from_der(hostile[i].der, got, 4), -EINVAL);
    CHECK_EQUAL("nothing", vks_ecdsa_from_der((struct vks_bytes){NULL, 0}, got, 4), -EINVAL);
    CHECK_EQUAL("odd raw", vks_ecdsa_from_der(both_ways[0].der, got, 3), -EINVAL);
    CHECK_EQUAL("no raw", vks_ecdsa_from_der(both_ways[0].der, got, 0), -EINVAL);
    CHECK_EQUAL("raw too long", vks_ecdsa_from_der(both_ways[0].der, got, 134), -EINVAL);
    CHECK_EQUAL("odd", vks_ecdsa_to_der((struct vks_bytes){raw, 3}, got, &size), -EINVAL);
    CHECK_EQUAL("empty", vks_ecdsa_to_der((struct vks_bytes){raw, 0}, got, &size), -EINVAL);
    CHECK_EQUAL("too long", vks_ecdsa_to_der((struct vks_bytes){raw, 134}, got, &size), -EINVAL);
}

/* Every value of every byte of a good encoding: decoded or refused, and what is decoded encodes to the same. */
static void test_every_byte(void)
{
    for (size_t at = 0; at < both_ways[2].der.size; at++) {
        for (unsigned int value = 0; value < 256; value++) {
            uint8_t der[10 + 2], raw[4], again[16];
            size_t size = sizeof(again);

            memcpy(der, both_ways[2].der.data, both_ways[2].der.size);
            der[at] = (uint8_t)value;
            if (vks_ecdsa_from_der((struct vks_bytes){der, both_ways[2].der.size}, raw, sizeof(raw)))
                continue;
            CHECK_EQUAL("again", vks_ecdsa_to_der((struct vks_bytes){raw, sizeof(raw)}, again, &size), 0);
            CHECK_EQUAL("again", size, both_ways[2].der.size);
            CHECK_EQUAL("again", memcmp(again, der, size), 0);
        }
    }
}

int main(void)
{
    test_both_ways();
    test_longest();
    test_hostile();
    test_every_byte();
    return 0;
}
