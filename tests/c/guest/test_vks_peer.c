/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer's public key, out of what openssl writes and as a point: the three types, then everything that is none. */
#include <errno.h>
#include <string.h>

#include "../check.h"
#include "peer.h"

#define BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define END   "-----END PUBLIC KEY-----\n"

#define P256_BODY                                                                                                      \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkjHANcM+mWbHVPD2Tf+6Knm9kF82\n"                                               \
    "NS4MaCwMcYtif4bLejkbRiqP+sh1012OImbeYT/0829ABFs3o1/cWOH9tw==\n"
#define P384_BODY                                                                                                      \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE28aok84B/oIdQdrDWp1bjqT0Z1gsL+f9\n"                                               \
    "j0orxL7yL8dIAD0tiQ60OQDfUHktdPMFDU/FQsRduMwAUtnW3Ebfgz1t0U6JQXNH\n"                                               \
    "TFFpJ/t+zA7k+wNOEUDppDUUrR7MjxXC\n"
#define X25519_BODY "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo=\n"

/* What openssl 3.0 wrote (genpkey, pkey -pubout); first and last byte of each point as pkey -text shows them. */
static const struct {
    const char *name;
    const char *pem;
    uint32_t type;
    size_t size;
    uint8_t first, last;
} keys[] = {
    {"ec-p256", BEGIN P256_BODY END, VKS_KEY_TYPE_EC_P256, 65, 0x04, 0xb7},
    {"ec-p384", BEGIN P384_BODY END, VKS_KEY_TYPE_EC_P384, 97, 0x04, 0xc2},
    {"x25519", BEGIN X25519_BODY END, VKS_KEY_TYPE_X25519, 32, 0xcf, 0x4a},
};

static struct vks_bytes text(const char *from)
{
    return (struct vks_bytes){from, strlen(from)};
}

/* The fronts of SubjectPublicKeyInfo have three lengths; put before a point they make DER of it again. */
static size_t der_make(const struct peer *peer, uint8_t der[128])
{
    static const uint8_t p256[] = {0x30, 0x59, 0x30, 0x13, 6,    7,    0x2a, 0x86, 0x48, 0xce, 0x3d, 2,  1,
                                   6,    8,    0x2a, 0x86, 0x48, 0xce, 0x3d, 3,    1,    7,    3,    66, 0};
    static const uint8_t p384[] = {0x30, 0x76, 0x30, 0x10, 6,    7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2,
                                   1,    6,    5,    0x2b, 0x81, 4, 0,    34,   3,    98,   0};
    static const uint8_t x25519[] = {0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 33, 0};
    const uint8_t *front = peer->type == VKS_KEY_TYPE_EC_P256   ? p256
                           : peer->type == VKS_KEY_TYPE_EC_P384 ? p384
                                                                : x25519;
    size_t size = peer->type == VKS_KEY_TYPE_EC_P256   ? sizeof(p256)
                  : peer->type == VKS_KEY_TYPE_EC_P384 ? sizeof(p384)
                                                       : sizeof(x25519);

    memcpy(der, front, size);
    memcpy(der + size, peer->point, peer->size);
    return size + peer->size;
}

static void test_forms(void)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct peer peer, again;
        uint8_t der[128];
        size_t der_size;

        CHECK(keys[i].name, peer_parse(text(keys[i].pem), &peer));
        CHECK_EQUAL(keys[i].name, peer.type, keys[i].type);
        CHECK_EQUAL(keys[i].name, peer.size, keys[i].size);
        CHECK_EQUAL(keys[i].name, peer.point[0], keys[i].first);
        CHECK_EQUAL(keys[i].name, peer.point[peer.size - 1], keys[i].last);
        der_size = der_make(&peer, der);
        CHECK("der", peer_parse((struct vks_bytes){der, der_size}, &again));
        CHECK_EQUAL("der", again.type, peer.type);
        CHECK_EQUAL("der", memcmp(again.point, peer.point, peer.size), 0);
        CHECK("point", peer_parse((struct vks_bytes){peer.point, peer.size}, &again));
        CHECK_EQUAL("point", again.type, peer.type);
        CHECK_EQUAL("point", memcmp(again.point, peer.point, peer.size), 0);
    }
}

static const struct {
    const char *name;
    const char *file;
    bool is_one;
} files[] = {
    {"lines of Windows", "-----BEGIN PUBLIC KEY-----\r\n" X25519_BODY "-----END PUBLIC KEY-----\r\n", true},
    {"no newline at the end", BEGIN X25519_BODY "-----END PUBLIC KEY-----", true},
    {"empty lines behind", BEGIN X25519_BODY END "\n\n", true},
    {"nothing", "", false},
    {"only a mark", "-----", false},
    {"only a begin", BEGIN, false},
    {"nothing between", BEGIN END, false},
    {"no end", BEGIN X25519_BODY, false},
    {"text before", "key:\n" BEGIN X25519_BODY END, false},
    {"text behind", BEGIN X25519_BODY END "key", false},
    {"two keys", BEGIN X25519_BODY END BEGIN X25519_BODY END, false},
    {"two bodies", BEGIN X25519_BODY X25519_BODY END, false},
    {"private key", "-----BEGIN PRIVATE KEY-----\n" X25519_BODY "-----END PRIVATE KEY-----\n", false},
    {"another end", BEGIN X25519_BODY "-----END PRIVATE KEY-----\n", false},
    {"end on the same line", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo=" END, false},
    {"header", BEGIN "Proc-Type: 4\n" X25519_BODY END, false},
    {"blank inside", BEGIN "MCow BQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo=\n" END, false},
    {"no padding", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo\n" END, false},
    {"too much padding", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iE==\n" END, false},
    {"bits behind the last byte", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEp=\n" END, false},
    {"one digit more", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo=A\n" END, false},
    {"a group more", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1+49I2Ei8MHcLHSDALxY+iEo=AAAA\n" END, false},
    {"padding inside", BEGIN "MA==KjAFBgMrZW4DIQDPNoe91VizbMMAFsTbNjX7j0jYSLwwdwsdIMAvFj6ISg==\n" END, false},
    {"as long as a point", "-----BEGIN PRIVATE KEY-----\nMCow", false},
    {"base64 of the web", BEGIN "MCowBQYDK2VuAyEAzzaHvdVYs2zDABbE2zY1-49I2Ei8MHcLHSDALxY-iEo=\n" END, false},
    {"more than any key", BEGIN P384_BODY P384_BODY END, false},
    {"ed25519", BEGIN "MCowBQYDK2VwAyEAwLrAaw0ZV2RJOZOynSXIxlHzTPZaAaUbZWVHIL60QpI=\n" END, false},
    {"secp256k1",
     BEGIN "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE681sbSQnuw+XGtkNfHMHeCxIhGKvrft+\n"
           "UGw7djwaHdrZ7n0+iBW6QQxluoeUu7ebh/gMqteVEzFoyKO4dTqWUg==\n" END,
     false},
    {"compressed point",
     BEGIN "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADkjHANcM+mWbHVPD2Tf+6Knm9kF82\n"
           "NS4MaCwMcYtif4Y=\n" END,
     false},
    {"hybrid point",
     BEGIN "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAHkjHANcM+mWbHVPD2Tf+6Knm9kF82\n"
           "NS4MaCwMcYtif4bLejkbRiqP+sh1012OImbeYT/0829ABFs3o1/cWOH9tw==\n" END,
     false},
};

static void test_files(void)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct peer peer;
        /* Its own block, without a NUL: the sanitizer sees a read behind the end. */
        size_t size = strlen(files[i].file);
        char *file = malloc(size + !size);

        memcpy(file, files[i].file, size);
        CHECK_EQUAL(files[i].name, peer_parse((struct vks_bytes){file, size}, &peer), files[i].is_one);
        free(file);
    }
}

/* Every cut of each form, and one byte more: refused. */
static void test_lengths(void)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct peer peer, cut;
        uint8_t der[129] = {0};
        size_t der_size;

        CHECK(keys[i].name, peer_parse(text(keys[i].pem), &peer));
        der_size = der_make(&peer, der);
        for (size_t size = 0; size <= der_size + 1; size++) {
            /* 32, 65 and 97 bytes that do not begin as a point does. */
            bool is_point = size == 32;

            CHECK_EQUAL("der", peer_parse((struct vks_bytes){der, size}, &cut), size == der_size || is_point);
        }
        for (size_t size = 0; size < peer.size; size++)
            CHECK_EQUAL("point", peer_parse((struct vks_bytes){peer.point, size}, &cut),
                        size == 32 || (size == 65 && peer.size == 97));
        for (size_t size = 0; size < strlen(keys[i].pem) - 1; size++)
            CHECK("pem", !peer_parse((struct vks_bytes){keys[i].pem, size}, &cut));
    }
}

/* Every value of every byte in front of the key: another value is another thing. */
static void test_every_byte(void)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        uint8_t der[128];
        struct peer peer;
        struct vks_bytes point;
        uint32_t type;
        size_t der_size;

        CHECK(keys[i].name, peer_parse(text(keys[i].pem), &peer));
        der_size = der_make(&peer, der);
        /* The mark of an uncompressed point is fixed as well. */
        for (size_t at = 0; at < der_size - peer.size + (peer.size != 32); at++) {
            for (unsigned int value = 0; value < 256; value++) {
                uint8_t before = der[at];

                der[at] = (uint8_t)value;
                CHECK_EQUAL("front", vks_peer_from_der((struct vks_bytes){der, der_size}, &type, &point),
                            value == before ? 0 : -EINVAL);
                der[at] = before;
            }
        }
        CHECK_EQUAL("point", vks_peer_from_der((struct vks_bytes){der, der_size}, &type, &point), 0);
        CHECK("inside", point.data == der + der_size - peer.size && point.size == peer.size);
        CHECK_EQUAL("none", vks_peer_from_der((struct vks_bytes){NULL, 0}, &type, &point), -EINVAL);
    }
}

int main(void)
{
    test_forms();
    test_files();
    test_lengths();
    test_every_byte();
    return 0;
}
