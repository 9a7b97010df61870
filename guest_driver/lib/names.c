/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of the ABI as words. */
#include <errno.h>
#include <string.h>

#include "vks.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static const char *const mechanism_names[VKS_MECHANISM_COUNT] = {
    [VKS_MECHANISM_DEFAULT] = "default",
    [VKS_MECHANISM_ECDSA_SHA256] = "ecdsa-sha256",
    [VKS_MECHANISM_ECDSA_SHA384] = "ecdsa-sha384",
    [VKS_MECHANISM_ECDSA_SHA512] = "ecdsa-sha512",
    [VKS_MECHANISM_ED25519] = "ed25519",
    [VKS_MECHANISM_RSA_PKCS1_SHA256] = "rsa-pkcs1-sha256",
    [VKS_MECHANISM_RSA_PKCS1_SHA384] = "rsa-pkcs1-sha384",
    [VKS_MECHANISM_RSA_PKCS1_SHA512] = "rsa-pkcs1-sha512",
    [VKS_MECHANISM_RSA_PSS_SHA256] = "rsa-pss-sha256",
    [VKS_MECHANISM_RSA_PSS_SHA384] = "rsa-pss-sha384",
    [VKS_MECHANISM_RSA_PSS_SHA512] = "rsa-pss-sha512",
    [VKS_MECHANISM_RSA_OAEP_SHA1] = "rsa-oaep-sha1",
    [VKS_MECHANISM_RSA_OAEP_SHA256] = "rsa-oaep-sha256",
    [VKS_MECHANISM_RSA_OAEP_SHA384] = "rsa-oaep-sha384",
    [VKS_MECHANISM_RSA_OAEP_SHA512] = "rsa-oaep-sha512",
    [VKS_MECHANISM_AES_GCM] = "aes-gcm",
    [VKS_MECHANISM_AES_GCM_OWN_NONCE] = "aes-gcm-own-nonce",
    [VKS_MECHANISM_AES_CBC] = "aes-cbc",
    [VKS_MECHANISM_AES_CTR] = "aes-ctr",
    [VKS_MECHANISM_HMAC_SHA256] = "hmac-sha256",
    [VKS_MECHANISM_HMAC_SHA384] = "hmac-sha384",
    [VKS_MECHANISM_HMAC_SHA512] = "hmac-sha512",
    [VKS_MECHANISM_CHACHA20_POLY1305] = "chacha20-poly1305",
    [VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE] = "chacha20-poly1305-own-nonce",
    [VKS_MECHANISM_AES_CMAC] = "aes-cmac",
    [VKS_MECHANISM_AES_KW] = "aes-kw",
    [VKS_MECHANISM_AES_KWP] = "aes-kwp",
    [VKS_MECHANISM_AES_XTS] = "aes-xts",
    [VKS_MECHANISM_ECDH] = "ecdh",
    [VKS_MECHANISM_ECDH_HKDF_SHA256] = "ecdh-hkdf-sha256",
    [VKS_MECHANISM_ECDH_HKDF_SHA384] = "ecdh-hkdf-sha384",
    [VKS_MECHANISM_ECDH_HKDF_SHA512] = "ecdh-hkdf-sha512",
    [VKS_MECHANISM_HKDF_SHA256] = "hkdf-sha256",
    [VKS_MECHANISM_HKDF_SHA384] = "hkdf-sha384",
    [VKS_MECHANISM_HKDF_SHA512] = "hkdf-sha512",
    [VKS_MECHANISM_ML_DSA] = "ml-dsa",
    [VKS_MECHANISM_ML_KEM] = "ml-kem",
};

static const char *const op_names[VKS_OP_COUNT] = {
    [VKS_OP_INFO] = "info",
    [VKS_OP_LIST] = "list",
    [VKS_OP_PUBLIC] = "public",
    [VKS_OP_SIGN] = "sign",
    [VKS_OP_VERIFY] = "verify",
    [VKS_OP_ENCRYPT] = "encrypt",
    [VKS_OP_DECRYPT] = "decrypt",
    [VKS_OP_MAC] = "mac",
    [VKS_OP_MAC_VERIFY] = "mac-verify",
    [VKS_OP_RANDOM] = "random",
    [VKS_OP_DERIVE] = "derive",
    [VKS_OP_DATA_KEY] = "data-key",
    [VKS_OP_DECAPSULATE] = "decapsulate",
    [VKS_OP_GENERATE] = "generate",
    [VKS_OP_ROTATE] = "rotate",
    [VKS_OP_DESTROY] = "destroy",
};

static const char *const key_type_names[VKS_KEY_TYPE_COUNT] = {
    [VKS_KEY_TYPE_EC_P256] = "ec-p256",         [VKS_KEY_TYPE_EC_P384] = "ec-p384",
    [VKS_KEY_TYPE_ED25519] = "ed25519",         [VKS_KEY_TYPE_RSA_2048] = "rsa-2048",
    [VKS_KEY_TYPE_RSA_3072] = "rsa-3072",       [VKS_KEY_TYPE_RSA_4096] = "rsa-4096",
    [VKS_KEY_TYPE_AES_128] = "aes-128",         [VKS_KEY_TYPE_AES_256] = "aes-256",
    [VKS_KEY_TYPE_HMAC_SHA256] = "hmac-sha256", [VKS_KEY_TYPE_HMAC_SHA384] = "hmac-sha384",
    [VKS_KEY_TYPE_HMAC_SHA512] = "hmac-sha512", [VKS_KEY_TYPE_CHACHA20_POLY1305] = "chacha20-poly1305",
    [VKS_KEY_TYPE_AES_128_XTS] = "aes-128-xts", [VKS_KEY_TYPE_AES_256_XTS] = "aes-256-xts",
    [VKS_KEY_TYPE_X25519] = "x25519",           [VKS_KEY_TYPE_ML_DSA_44] = "ml-dsa-44",
    [VKS_KEY_TYPE_ML_DSA_65] = "ml-dsa-65",     [VKS_KEY_TYPE_ML_DSA_87] = "ml-dsa-87",
    [VKS_KEY_TYPE_ML_KEM_512] = "ml-kem-512",   [VKS_KEY_TYPE_ML_KEM_768] = "ml-kem-768",
    [VKS_KEY_TYPE_ML_KEM_1024] = "ml-kem-1024",
};

static const char *const key_state_names[VKS_KEY_STATE_COUNT] = {
    [VKS_KEY_STATE_PRE_ACTIVATION] = "pre-activation", [VKS_KEY_STATE_ACTIVE] = "active",
    [VKS_KEY_STATE_SUSPENDED] = "suspended",           [VKS_KEY_STATE_DEACTIVATED] = "deactivated",
    [VKS_KEY_STATE_COMPROMISED] = "compromised",       [VKS_KEY_STATE_DESTROYED] = "destroyed",
};

const char *vks_mechanism_name(uint32_t mechanism)
{
    return mechanism < ARRAY_SIZE(mechanism_names) ? mechanism_names[mechanism] : NULL;
}

uint32_t vks_mechanism_from_name(const char *name)
{
    for (uint32_t i = VKS_MECHANISM_DEFAULT + 1; i < ARRAY_SIZE(mechanism_names); i++) {
        if (strcmp(mechanism_names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *vks_op_name(uint32_t op)
{
    /* Bits of a grant's mask only, and far from the others. */
    if (op == VKS_OP_LOGIN)
        return "login";
    if (op == VKS_OP_RELEASE)
        return "release";
    return op < ARRAY_SIZE(op_names) ? op_names[op] : NULL;
}

const char *vks_key_type_name(uint32_t type)
{
    return type < ARRAY_SIZE(key_type_names) ? key_type_names[type] : NULL;
}

uint32_t vks_key_type_from_name(const char *name)
{
    /* Types count from 1. */
    for (uint32_t i = 1; i < ARRAY_SIZE(key_type_names); i++) {
        if (strcmp(key_type_names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *vks_key_state_name(uint32_t state)
{
    return state < ARRAY_SIZE(key_state_names) ? key_state_names[state] : NULL;
}

struct error_words {
    int error;
    const char *text;
    const char *hint;
};

#define PERMISSION_HINT                                                                                                \
    "/dev/keystore*: become a member of its group (usermod -aG keystore USER); a guest's socket is its owner's, whom " \
    "'guest add --owner-uid' names"

/* The device's answers, then the ways in which none came. */
static const struct error_words error_words[] = {
    {VKS_STATUS_OK, "no error", NULL},
    {VKS_STATUS_FOREIGN_NOTSUPP, "the device is a virtio-crypto device, not a vmm_keystore", NULL},
    {VKS_STATUS_MALFORMED, "the device does not understand the request", "driver and library may not fit the host"},
    {VKS_STATUS_VERSION, "the device does not serve this version of the interface",
     "update the older of guest and host"},
    {VKS_STATUS_UNSUPPORTED, "operation or mechanism not supported, or not by this type of key",
     "'vks list' shows what each key takes, 'vks info' what the device does"},
    {VKS_STATUS_NO_KEY, "no such key, or not granted to this guest", "'vks list' shows the keys of this guest"},
    {VKS_STATUS_DENIED, "the grant does not allow this",
     "'vks list' shows what is granted; the host's operator may extend it"},
    {VKS_STATUS_KEY_STATE, "the key's state does not allow this", "'vks list' shows the state"},
    {VKS_STATUS_LIMIT, "a limit of the grant, of the mechanism or of the guest's own keys is used up",
     "the host's operator may raise it; a key that is worn out works again once it is rotated"},
    {VKS_STATUS_AUTH_FAILED,
     "verification failed: wrong key, or signature, tag, data or peer's public key were changed", NULL},
    {VKS_STATUS_INPUT_SIZE, "data of a size that the mechanism does not take", NULL},
    {VKS_STATUS_OUTPUT_SIZE, "the result is larger than the room for it", NULL},
    {VKS_STATUS_INTERNAL, "the device failed", "see the host's log"},
    {VKS_STATUS_UNAVAILABLE, "the host cannot do this now: its token, or what makes its keys, does not answer",
     "try again; the host's operator knows what is wrong with it"},
    {VKS_STATUS_EXISTS, "the guest has a key with this label already", "'vks list' shows the keys of this guest"},
    {-ENOENT, "no device", "'vks doctor' looks for the cause"},
    {-ENXIO, "no device", "'vks doctor' looks for the cause"},
    {-ENODEV, "the device is gone", "'vks doctor' looks for the cause"},
    {-EACCES, "no permission to use the device", PERMISSION_HINT},
    {-EPERM, "no permission to use the device", PERMISSION_HINT},
    {-ECONNREFUSED, "nobody serves the guest's socket", "keystored may have stopped: the host's operator knows"},
    {-EBUSY, "another program uses the guest's socket",
     "end that one, or ask the host's operator for a guest of your own"},
    {-ECONNRESET, "the host hung up", "see the host's log"},
    {-EPIPE, "the host hung up", "see the host's log"},
    {-ETIMEDOUT, "the device does not answer", "see the host's log"},
    {-EBADF, "the device was opened before fork()", "open it again in the child"},
    {-ENOTTY, "not a keystore device", "name one of /dev/keystore*, or vhost-user:PATH, by --device or VKS_DEVICE"},
    {-EIO, "the device broke its queue",
     "see the log of kernel or host; a virtual machine has to be given a new device"},
    {-EPROTO, "the device's answer makes no sense", "driver and library may not fit the host"},
    {-EOPNOTSUPP, "the device is a virtio-crypto device, not a vmm_keystore", "'vks doctor' looks for the cause"},
    {-E2BIG, "more data than one request can carry",
     "sign large data by its digest: openssl dgst -sha256 -binary FILE | vks sign --digest KEY"},
};

static const struct error_words *words_of(int error)
{
    for (size_t i = 0; i < ARRAY_SIZE(error_words); i++) {
        if (error_words[i].error == error)
            return &error_words[i];
    }
    return NULL;
}

const char *vks_error_text(int error)
{
    const struct error_words *words = words_of(error);

    if (words)
        return words->text;
    return error < 0 ? strerror(-error) : "the device gave an answer that this library does not know";
}

const char *vks_error_hint(int error)
{
    const struct error_words *words = words_of(error);

    return words ? words->hint : NULL;
}
