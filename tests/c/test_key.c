/* SPDX-License-Identifier: Apache-2.0 */
/* Slots and keys that are not what they claim: each is refused with its own errno and leaves nothing allocated. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "algorithm.h"
#include "check.h"
#include "crypto_process.h"
#include "key.h"
#include "key_generate.h"
#include "key_kind.h"
#include "key_material.h"
#include "key_slot.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    PAGE_BYTES = 4096,
};

static struct made {
    uint8_t *material;
    size_t bytes;
} made[VKS_KEY_TYPE_COUNT];

static void make(uint32_t type)
{
    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(type), &made[type].material, &made[type].bytes), 0);
}

static int load_once(uint32_t type, const uint8_t *material, size_t bytes)
{
    struct vks_key_slot slot = {.type = type, .version = 7, .key_id = {1, 2, 3}, .material_bytes = (uint32_t)bytes};
    struct vks_key *key;
    int error = vks_key_load(&slot, material, &key);

    CHECK("key exactly on success", (key != NULL) == (error == 0));
    if (key) {
        CHECK_EQUAL("version", vks_key_version(key), 7);
        CHECK_EQUAL("type", vks_key_type(key), type);
        CHECK_EQUAL("id", memcmp(vks_key_id(key), slot.key_id, 16), 0);
    }
    vks_key_unref(key);
    return error;
}

/* Twice: the first failure of a kind also pays for libcrypto's error texts. */
static int load(uint32_t type, const uint8_t *material, size_t bytes)
{
    int error = load_once(type, material, bytes);
    size_t used = vks_secret_arena_usage().used_bytes;

    CHECK_EQUAL("same answer", load_once(type, material, bytes), error);
    CHECK_EQUAL("nothing is left", vks_secret_arena_usage().used_bytes, used);
    return error;
}

static void test_types(void)
{
    static const uint32_t types[] = {VKS_KEY_TYPE_EC_P256, VKS_KEY_TYPE_EC_P384, VKS_KEY_TYPE_ED25519,
                                     VKS_KEY_TYPE_RSA_2048, VKS_KEY_TYPE_X25519};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        make(types[i]);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (uint32_t claimed = 0; claimed <= VKS_KEY_TYPE_COUNT; claimed++) {
            int error = load(claimed, made[types[i]].material, made[types[i]].bytes);

            if (claimed == types[i])
                CHECK_EQUAL("its own type", error, 0);
            else if ((claimed >= VKS_KEY_TYPE_EC_P256 && claimed <= VKS_KEY_TYPE_RSA_4096) ||
                     (claimed >= VKS_KEY_TYPE_X25519 && claimed < VKS_KEY_TYPE_COUNT))
                CHECK_EQUAL("another asymmetric type", error, -EBADMSG);
            else if (claimed < VKS_KEY_TYPE_HMAC_SHA256 || claimed > VKS_KEY_TYPE_HMAC_SHA512 ||
                     made[types[i]].bytes > 1024)
                CHECK_EQUAL("no type, or a raw one of another length", error, -EINVAL);
        }
    CHECK_EQUAL("type wraps", load(UINT32_MAX, made[VKS_KEY_TYPE_EC_P256].material, 16), -EINVAL);
}

/* ML-DSA and ML-KEM: a seed of the right length is a key, and nothing else is; without them it is told apart. */
static void test_seeds(void)
{
    static const uint8_t seeds[65] = {1};

    for (uint32_t type = VKS_KEY_TYPE_ML_DSA_44; type < VKS_KEY_TYPE_COUNT; type++) {
        const struct vks_key_kind *kind = vks_key_kind_find(type);
        int want = vks_algorithm_has(kind) ? 0 : -ENOTSUP;
        uint8_t *material;
        size_t bytes;

        CHECK_EQUAL("generate", vks_key_generate(kind, &material, &bytes), want);
        if (want == 0)
            CHECK_EQUAL("a seed is kept", bytes, vks_key_kind_seed_bytes(kind));
        vks_secret_free(material);
        for (size_t i = 1; i <= sizeof(seeds); i++)
            CHECK_EQUAL("seed", load(type, seeds, i), i == vks_key_kind_seed_bytes(kind) ? want : -EBADMSG);
    }
}

static void test_raw_lengths(void)
{
    static const uint8_t raw[1100] = {1};

    for (uint32_t bytes = 0; bytes <= sizeof(raw); bytes++) {
        CHECK_EQUAL("aes-128", load(VKS_KEY_TYPE_AES_128, raw, bytes), bytes == 16 ? 0 : -EINVAL);
        CHECK_EQUAL("aes-256", load(VKS_KEY_TYPE_AES_256, raw, bytes), bytes == 32 ? 0 : -EINVAL);
        CHECK_EQUAL("aes-128-xts", load(VKS_KEY_TYPE_AES_128_XTS, raw, bytes), bytes == 32 ? 0 : -EINVAL);
        CHECK_EQUAL("aes-256-xts", load(VKS_KEY_TYPE_AES_256_XTS, raw, bytes), bytes == 64 ? 0 : -EINVAL);
        CHECK_EQUAL("chacha20", load(VKS_KEY_TYPE_CHACHA20_POLY1305, raw, bytes), bytes == 32 ? 0 : -EINVAL);
        CHECK_EQUAL("hmac", load(VKS_KEY_TYPE_HMAC_SHA256, raw, bytes), bytes >= 1 && bytes <= 1024 ? 0 : -EINVAL);
    }
}

/* XTS takes two keys that differ, be it in one bit of one byte. */
static void test_equal_halves(void)
{
    static const uint32_t types[] = {VKS_KEY_TYPE_AES_128_XTS, VKS_KEY_TYPE_AES_256_XTS};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        uint32_t half = vks_key_kind_find(types[i])->size_bytes / 2;
        uint8_t raw[64];

        for (uint32_t byte = 0; byte < 2 * half; byte++)
            raw[byte] = (uint8_t)(byte % half);
        CHECK_EQUAL("one key twice", load(types[i], raw, 2 * half), -EBADMSG);
        for (uint32_t byte = 0; byte < 2 * half; byte++) {
            raw[byte] ^= 1;
            CHECK_EQUAL("two keys", load(types[i], raw, 2 * half), 0);
            raw[byte] ^= 1;
        }
    }
}

/* Cut at every length, and every byte changed: some changes still give a key (a version, an attribute), none crashes.
 */
static void test_damaged(uint32_t type, uint32_t accepted_max)
{
    uint8_t *copy = vks_secret_alloc(made[type].bytes + 1);
    uint32_t accepted = 0;

    memcpy(copy, made[type].material, made[type].bytes);
    for (size_t bytes = 0; bytes < made[type].bytes; bytes++)
        CHECK("cut short", load(type, copy, bytes) < 0);
    CHECK_EQUAL("a byte behind", load(type, copy, made[type].bytes + 1), -EBADMSG);
    for (size_t i = 0; i < made[type].bytes; i++) {
        copy[i] ^= 0x21;
        accepted += load(type, copy, made[type].bytes) == 0;
        copy[i] ^= 0x21;
    }
    CHECK("changed bytes are seen", accepted <= accepted_max);
    vks_secret_free(copy);
}

/* The public part of one key in the PKCS#8 of another, as EC keeps both: what an import must never let in. */
static void test_mismatched_parts(uint32_t type, uint32_t public_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(type);
    EVP_PKEY *pkey;
    uint8_t *other;
    size_t other_bytes;

    CHECK_EQUAL("generate", vks_key_generate(kind, &other, &other_bytes), 0);
    CHECK_EQUAL("same layout", other_bytes, made[type].bytes);
    CHECK_EQUAL("parse", vks_key_material_parse(kind, other, other_bytes, &pkey), 0);
    CHECK_EQUAL("as it was made", vks_key_material_check_import(kind, pkey), 0);
    EVP_PKEY_free(pkey);
    memcpy(other + other_bytes - public_bytes, made[type].material + other_bytes - public_bytes, public_bytes);
    CHECK_EQUAL("parse", vks_key_material_parse(kind, other, other_bytes, &pkey), 0);
    CHECK_EQUAL("parts of two keys", vks_key_material_check_import(kind, pkey), -EBADMSG);
    EVP_PKEY_free(pkey);
    vks_secret_free(other);
}

static void check_pkey(const char *name, uint32_t type, EVP_PKEY *pkey, int want)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    uint8_t *der = NULL;
    int bytes = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    CHECK(name, bytes > 0);
    CHECK_EQUAL(name, load(type, der, (size_t)bytes), want);
    vks_secret_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pkey);
}

static EVP_PKEY *ec_with_explicit_parameters(void)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("group", (char *)(uintptr_t) "P-256", 0),
        OSSL_PARAM_construct_utf8_string("encoding", (char *)(uintptr_t) "explicit", 0),
        OSSL_PARAM_construct_end(),
    };

    CHECK("init", EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_params(context, params) == 1);
    CHECK("keygen", EVP_PKEY_generate(context, &pkey) == 1);
    EVP_PKEY_CTX_free(context);
    return pkey;
}

static EVP_PKEY *rsa_with(unsigned int bits, unsigned int primes)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint("bits", &bits),
        OSSL_PARAM_construct_uint("primes", &primes),
        OSSL_PARAM_construct_end(),
    };

    CHECK("init", EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_params(context, params) == 1);
    CHECK("keygen", EVP_PKEY_generate(context, &pkey) == 1);
    EVP_PKEY_CTX_free(context);
    return pkey;
}

static void test_odd_keys(void)
{
    check_pkey("explicit curve", VKS_KEY_TYPE_EC_P256, ec_with_explicit_parameters(), -EBADMSG);
    check_pkey("other curve", VKS_KEY_TYPE_EC_P256, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-224"), -EBADMSG);
    check_pkey("X25519 for Ed25519", VKS_KEY_TYPE_ED25519, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), -EBADMSG);
    check_pkey("three primes", VKS_KEY_TYPE_RSA_2048, rsa_with(2048, 3), -EBADMSG);
    check_pkey("a byte less", VKS_KEY_TYPE_RSA_2048, rsa_with(2040, 2), -EBADMSG);
    check_pkey("a byte more", VKS_KEY_TYPE_RSA_2048, rsa_with(2056, 2), -EBADMSG);
}

/* A private key where a public half is said to be, and the other way round; and types that no token has. */
static void test_halves(void)
{
    static const uint32_t types[] = {VKS_KEY_TYPE_EC_P256, VKS_KEY_TYPE_RSA_2048, VKS_KEY_TYPE_ED25519};
    static const char *const names[] = {"EC", "RSA", "ED25519"};

    for (int i = 0; i < 3; i++) {
        EVP_PKEY *pkey = i == 0   ? EVP_PKEY_Q_keygen(NULL, NULL, names[i], "P-256")
                         : i == 1 ? EVP_PKEY_Q_keygen(NULL, NULL, names[i], (size_t)2048)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, names[i]);
        struct vks_key_slot slot = {.type = types[i]};
        uint8_t *der = NULL, *material = NULL;
        size_t material_bytes = 0;
        struct vks_key *key;
        int want = i < 2 ? 0 : -EBADMSG;

        slot.material_bytes = (uint32_t)i2d_PUBKEY(pkey, &der);
        CHECK_EQUAL("a half for a whole", vks_key_load(&slot, der, &key), -EBADMSG);
        slot.type |= VKS_TYPE_F_TOKEN;
        CHECK_EQUAL("a half", vks_key_load(&slot, der, &key), want);
        vks_key_unref(key);
        slot.material_bytes--;
        CHECK_EQUAL("cut short", vks_key_load(&slot, der, &key), -EBADMSG);
        CHECK_EQUAL("encoded", vks_key_material_encode(vks_key_kind_find(types[i]), pkey, &material, &material_bytes),
                    0);
        slot.material_bytes = (uint32_t)material_bytes;
        CHECK_EQUAL("a whole for a half", vks_key_load(&slot, material, &key), -EBADMSG);
        vks_secret_free(material);
        OPENSSL_free(der);
        EVP_PKEY_free(pkey);
    }
}

static void test_references(void)
{
    const uint8_t raw[32] = {1};
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_AES_256, .material_bytes = 32};
    size_t used = vks_secret_arena_usage().used_bytes;
    struct vks_key *key;

    CHECK_EQUAL("load", vks_key_load(&slot, raw, &key), 0);
    vks_key_ref(key);
    vks_key_unref(key);
    CHECK_EQUAL("still there", vks_key_type(key), VKS_KEY_TYPE_AES_256);
    vks_key_unref(key);
    CHECK_EQUAL("gone", vks_secret_arena_usage().used_bytes, used);
    vks_key_unref(NULL);
}

static void test_slots(void)
{
    static uint8_t page[PAGE_BYTES];
    struct vks_key_slot slot = {.type = 8, .material_bytes = 33};
    struct vks_key_slot_walk walk = {page, sizeof(page), 0};
    const uint8_t *material;
    uint8_t *place;
    size_t offset = 0;
    int count = 0;

    CHECK_EQUAL("slot size", vks_key_slot_bytes(33), 32 + 40);
    while ((place = vks_key_slot_append(page, sizeof(page), &offset, &slot)) != NULL) {
        memset(place, ++count, slot.material_bytes);
        slot.version++;
    }
    CHECK_EQUAL("as many as fit", count, PAGE_BYTES / 72);
    for (int i = 1; i <= count; i++) {
        CHECK_EQUAL("next", vks_key_slot_next(&walk, &slot, &material), 1);
        CHECK("in order", slot.version == (uint32_t)i - 1 && slot.material_bytes == 33);
        CHECK("material", material[0] == i && material[32] == i);
    }
    walk.page_bytes = walk.offset;
    CHECK_EQUAL("end", vks_key_slot_next(&walk, &slot, &material), 0);
}

static void test_hostile_slots(void)
{
    static const struct {
        const char *name;
        uint32_t material_bytes;
        size_t page_bytes, offset;
        int want;
    } cases[] = {
        {"fits exactly", 32, 64, 0, 1},
        {"one byte too long", 33, 64, 0, -EPROTO},
        {"padding does not fit", 31, 63, 0, -EPROTO},
        {"length wraps", UINT32_MAX, 4096, 0, -EPROTO},
        {"length wraps when padded", UINT32_MAX - 6, 4096, 0, -EPROTO},
        {"longer than any key", VKS_KEY_MATERIAL_BYTES_MAX + 1, 4096, 0, -EPROTO},
        {"no room for a head", 0, 31, 0, 0},
        {"offset behind the page", 0, 64, 65, -EPROTO},
        {"offset far behind the page", 0, 64, SIZE_MAX, -EPROTO},
    };
    static uint8_t page[PAGE_BYTES];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_key_slot slot = {.material_bytes = cases[i].material_bytes};
        struct vks_key_slot_walk walk = {page, cases[i].page_bytes, cases[i].offset};
        const uint8_t *material;

        memcpy(page, &slot, sizeof(slot));
        CHECK_EQUAL(cases[i].name, vks_key_slot_next(&walk, &slot, &material), cases[i].want);
    }
}

static int all(void *argument)
{
    (void)argument;
    CHECK_EQUAL("warm up", vks_crypto_warm_up(), 0);
    test_types();
    test_raw_lengths();
    test_seeds();
    test_equal_halves();
    test_damaged(VKS_KEY_TYPE_EC_P256, 32 + 2);
    /* A changed scalar is still a scalar; Ed25519 keeps no public part in PKCS#8: every 32 bytes are a key. */
    test_damaged(VKS_KEY_TYPE_ED25519, 32 + 2);
    test_mismatched_parts(VKS_KEY_TYPE_EC_P256, 64);
    test_mismatched_parts(VKS_KEY_TYPE_EC_P384, 96);
    test_odd_keys();
    test_halves();
    test_references();
    test_slots();
    test_hostile_slots();
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    return 0;
}
