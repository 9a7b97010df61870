/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled side of the decision. Knows the snapshot and the ABI's numbers; must not know rings or key material. */
#include "policy.h"

#include <stddef.h>

#include "snapshot.h"
#include "vmm_keystore.h"

#define BIT(n)     (UINT64_C(1) << (n))
#define SECOND_NS  UINT64_C(1000000000)
#define SIGN_OPS   (BIT(VKS_OP_SIGN) | BIT(VKS_OP_VERIFY))
#define CIPHER_OPS (BIT(VKS_OP_ENCRYPT) | BIT(VKS_OP_DECRYPT))
#define MAC_OPS    (BIT(VKS_OP_MAC) | BIT(VKS_OP_MAC_VERIFY))
/* Their results are secrets that a guest shall have only where its grant says release. */
#define RELEASING_OPS (BIT(VKS_OP_DERIVE) | BIT(VKS_OP_DATA_KEY) | BIT(VKS_OP_DECAPSULATE))

#define RSA_MECHANISMS                                                                                                 \
    (BIT(VKS_MECHANISM_RSA_PKCS1_SHA256) | BIT(VKS_MECHANISM_RSA_PKCS1_SHA384) | BIT(VKS_MECHANISM_RSA_PKCS1_SHA512) | \
     BIT(VKS_MECHANISM_RSA_PSS_SHA256) | BIT(VKS_MECHANISM_RSA_PSS_SHA384) | BIT(VKS_MECHANISM_RSA_PSS_SHA512) |       \
     BIT(VKS_MECHANISM_RSA_OAEP_SHA1) | BIT(VKS_MECHANISM_RSA_OAEP_SHA256) | BIT(VKS_MECHANISM_RSA_OAEP_SHA384) |      \
     BIT(VKS_MECHANISM_RSA_OAEP_SHA512))
#define ECDSA_MECHANISMS                                                                                               \
    (BIT(VKS_MECHANISM_ECDSA_SHA256) | BIT(VKS_MECHANISM_ECDSA_SHA384) | BIT(VKS_MECHANISM_ECDSA_SHA512))
#define AES_MECHANISMS                                                                                                 \
    (BIT(VKS_MECHANISM_AES_GCM) | BIT(VKS_MECHANISM_AES_GCM_OWN_NONCE) | BIT(VKS_MECHANISM_AES_CBC) |                  \
     BIT(VKS_MECHANISM_AES_CTR) | BIT(VKS_MECHANISM_AES_CMAC) | BIT(VKS_MECHANISM_AES_KW) |                            \
     BIT(VKS_MECHANISM_AES_KWP))
#define ECDH_MECHANISMS                                                                                                \
    (BIT(VKS_MECHANISM_ECDH) | BIT(VKS_MECHANISM_ECDH_HKDF_SHA256) | BIT(VKS_MECHANISM_ECDH_HKDF_SHA384) |             \
     BIT(VKS_MECHANISM_ECDH_HKDF_SHA512))
#define CHACHA20_MECHANISMS (BIT(VKS_MECHANISM_CHACHA20_POLY1305) | BIT(VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE))

/* Of a key of the guest's own. */
#define OWNER_OPS (BIT(VKS_OP_ROTATE) | BIT(VKS_OP_DESTROY))

static const struct {
    uint64_t mechanisms;
    uint32_t mechanism_default;
    uint32_t derive_default; /* where deriving has another */
} types[VKS_KEY_TYPE_COUNT] = {
    [VKS_KEY_TYPE_EC_P256] = {ECDSA_MECHANISMS | ECDH_MECHANISMS, VKS_MECHANISM_ECDSA_SHA256,
                              VKS_MECHANISM_ECDH_HKDF_SHA256},
    [VKS_KEY_TYPE_EC_P384] = {ECDSA_MECHANISMS | ECDH_MECHANISMS, VKS_MECHANISM_ECDSA_SHA384,
                              VKS_MECHANISM_ECDH_HKDF_SHA384},
    [VKS_KEY_TYPE_ED25519] = {BIT(VKS_MECHANISM_ED25519), VKS_MECHANISM_ED25519},
    [VKS_KEY_TYPE_RSA_2048] = {RSA_MECHANISMS, VKS_MECHANISM_RSA_PSS_SHA256},
    [VKS_KEY_TYPE_RSA_3072] = {RSA_MECHANISMS, VKS_MECHANISM_RSA_PSS_SHA256},
    [VKS_KEY_TYPE_RSA_4096] = {RSA_MECHANISMS, VKS_MECHANISM_RSA_PSS_SHA256},
    [VKS_KEY_TYPE_AES_128] = {AES_MECHANISMS, VKS_MECHANISM_AES_GCM},
    [VKS_KEY_TYPE_AES_256] = {AES_MECHANISMS, VKS_MECHANISM_AES_GCM},
    [VKS_KEY_TYPE_HMAC_SHA256] = {BIT(VKS_MECHANISM_HMAC_SHA256) | BIT(VKS_MECHANISM_HKDF_SHA256),
                                  VKS_MECHANISM_HMAC_SHA256, VKS_MECHANISM_HKDF_SHA256},
    [VKS_KEY_TYPE_HMAC_SHA384] = {BIT(VKS_MECHANISM_HMAC_SHA384) | BIT(VKS_MECHANISM_HKDF_SHA384),
                                  VKS_MECHANISM_HMAC_SHA384, VKS_MECHANISM_HKDF_SHA384},
    [VKS_KEY_TYPE_HMAC_SHA512] = {BIT(VKS_MECHANISM_HMAC_SHA512) | BIT(VKS_MECHANISM_HKDF_SHA512),
                                  VKS_MECHANISM_HMAC_SHA512, VKS_MECHANISM_HKDF_SHA512},
    [VKS_KEY_TYPE_CHACHA20_POLY1305] = {CHACHA20_MECHANISMS, VKS_MECHANISM_CHACHA20_POLY1305},
    [VKS_KEY_TYPE_AES_128_XTS] = {BIT(VKS_MECHANISM_AES_XTS), VKS_MECHANISM_AES_XTS},
    [VKS_KEY_TYPE_AES_256_XTS] = {BIT(VKS_MECHANISM_AES_XTS), VKS_MECHANISM_AES_XTS},
    [VKS_KEY_TYPE_X25519] = {ECDH_MECHANISMS, VKS_MECHANISM_ECDH_HKDF_SHA256},
    [VKS_KEY_TYPE_ML_DSA_44] = {BIT(VKS_MECHANISM_ML_DSA), VKS_MECHANISM_ML_DSA},
    [VKS_KEY_TYPE_ML_DSA_65] = {BIT(VKS_MECHANISM_ML_DSA), VKS_MECHANISM_ML_DSA},
    [VKS_KEY_TYPE_ML_DSA_87] = {BIT(VKS_MECHANISM_ML_DSA), VKS_MECHANISM_ML_DSA},
    [VKS_KEY_TYPE_ML_KEM_512] = {BIT(VKS_MECHANISM_ML_KEM), VKS_MECHANISM_ML_KEM},
    [VKS_KEY_TYPE_ML_KEM_768] = {BIT(VKS_MECHANISM_ML_KEM), VKS_MECHANISM_ML_KEM},
    [VKS_KEY_TYPE_ML_KEM_1024] = {BIT(VKS_MECHANISM_ML_KEM), VKS_MECHANISM_ML_KEM},
};

uint64_t vks_policy_type_mechanisms(uint32_t type)
{
    return type < VKS_KEY_TYPE_COUNT ? types[type].mechanisms : 0;
}

uint32_t vks_policy_default_mechanism(uint32_t type, uint32_t op)
{
    if (type >= VKS_KEY_TYPE_COUNT)
        return VKS_MECHANISM_DEFAULT;
    return op == VKS_OP_DERIVE && types[type].derive_default ? types[type].derive_default
                                                             : types[type].mechanism_default;
}

int vks_policy_has_mechanism(uint32_t op)
{
    return op != VKS_OP_PUBLIC && op != VKS_OP_ROTATE && op != VKS_OP_DESTROY;
}

uint64_t vks_policy_mechanism_ops(uint32_t mechanism)
{
    if (mechanism == VKS_MECHANISM_DEFAULT || mechanism >= VKS_MECHANISM_COUNT)
        return 0;
    if (mechanism <= VKS_MECHANISM_RSA_PSS_SHA512 || mechanism == VKS_MECHANISM_ML_DSA)
        return SIGN_OPS;
    if (mechanism == VKS_MECHANISM_ML_KEM)
        return BIT(VKS_OP_DECAPSULATE) | BIT(VKS_OP_RELEASE);
    if (mechanism == VKS_MECHANISM_AES_GCM || mechanism == VKS_MECHANISM_CHACHA20_POLY1305)
        return CIPHER_OPS | BIT(VKS_OP_DATA_KEY) | BIT(VKS_OP_RELEASE);
    if (mechanism >= VKS_MECHANISM_ECDH)
        return BIT(VKS_OP_DERIVE) | BIT(VKS_OP_RELEASE);
    if (mechanism <= VKS_MECHANISM_AES_CTR)
        return CIPHER_OPS;
    if (mechanism <= VKS_MECHANISM_HMAC_SHA512 || mechanism == VKS_MECHANISM_AES_CMAC)
        return MAC_OPS;
    return CIPHER_OPS;
}

/* NIST SP 800-57 part 1, 7: protecting needs an active key, processing also a deactivated or compromised one. */
static int state_allows(uint32_t state, uint32_t op)
{
    switch (op) {
    case VKS_OP_SIGN:
    case VKS_OP_ENCRYPT:
    case VKS_OP_MAC:
    case VKS_OP_DATA_KEY:
        return state == VKS_KEY_STATE_ACTIVE;
    case VKS_OP_VERIFY:
    case VKS_OP_DECRYPT:
    case VKS_OP_MAC_VERIFY:
    case VKS_OP_DECAPSULATE:
    case VKS_OP_DERIVE: /* what an older secret protects could not be read any more */
        return state == VKS_KEY_STATE_ACTIVE || state == VKS_KEY_STATE_DEACTIVATED ||
               state == VKS_KEY_STATE_COMPROMISED;
    case VKS_OP_ROTATE:
    case VKS_OP_DESTROY: /* a suspended one is set aside by the operator, who may want to look at it */
        return state < VKS_KEY_STATE_DESTROYED && state != VKS_KEY_STATE_SUSPENDED;
    case VKS_OP_PUBLIC:
        return state < VKS_KEY_STATE_DESTROYED;
    default:
        return 0;
    }
}

static int uid_allows(const struct vks_snapshot_key *key, const struct vks_policy_request *request)
{
    if (key->uid_count == 0)
        return 1;
    if (!(request->flags & VKS_REQUEST_F_UID) || key->uid_count > VKS_SNAPSHOT_UIDS_MAX)
        return 0;
    for (uint32_t i = 0; i < key->uid_count; i++)
        if (key->uids[i] == request->uid)
            return 1;
    return 0;
}

static int type_has_public(uint32_t type)
{
    return (type >= VKS_KEY_TYPE_EC_P256 && type <= VKS_KEY_TYPE_RSA_4096) ||
           (type >= VKS_KEY_TYPE_X25519 && type <= VKS_KEY_TYPE_ML_KEM_1024);
}

/*
 * The generic cell rate algorithm (ITU-T I.371, 4.4.1.2.1): operations are due *interval* apart, and may come early by
 * what makes up a second.
 */
uint32_t vks_policy_charge(const struct vks_snapshot_key *key, struct vks_policy_usage *usage)
{
    uint64_t interval_ns, due_ns;

    if (key->ops_max && usage->used >= key->ops_max)
        return VKS_STATUS_LIMIT;
    if (key->ops_a_second) {
        interval_ns = (SECOND_NS + key->ops_a_second - 1) / key->ops_a_second;
        due_ns = usage->next_ns > usage->now_ns ? usage->next_ns : usage->now_ns;
        if (due_ns - usage->now_ns > interval_ns * (key->ops_a_second - 1))
            return VKS_STATUS_LIMIT;
        usage->next_ns = due_ns + interval_ns;
    }
    usage->used++;
    return VKS_STATUS_OK;
}

uint32_t vks_policy_decide(const struct vks_snapshot_key *key, const struct vks_policy_request *request)
{
    uint64_t op_bit;

    if (key == NULL)
        return VKS_STATUS_NO_KEY;
    if (request->op >= VKS_OP_COUNT)
        return VKS_STATUS_UNSUPPORTED;
    op_bit = BIT(request->op);
    if (request->op == VKS_OP_PUBLIC) {
        if (!type_has_public(key->type))
            return VKS_STATUS_UNSUPPORTED;
    } else if (OWNER_OPS & op_bit) {
        if (!(key->op_mask & op_bit))
            return VKS_STATUS_DENIED;
    } else if (request->mechanism >= VKS_MECHANISM_COUNT ||
               !(vks_policy_type_mechanisms(key->type) & BIT(request->mechanism)) ||
               !(vks_policy_mechanism_ops(request->mechanism) & op_bit)) {
        return VKS_STATUS_UNSUPPORTED;
    }
    /* The public key of a granted key is no secret to its holder: it needs no operation of its own. */
    if (vks_policy_has_mechanism(request->op) &&
        (!(key->op_mask & op_bit) || !(key->mechanism_mask & BIT(request->mechanism))))
        return VKS_STATUS_DENIED;
    if ((RELEASING_OPS & op_bit) && !(key->op_mask & BIT(VKS_OP_RELEASE)))
        return VKS_STATUS_DENIED;
    if ((key->not_before_s && request->now_s < key->not_before_s) ||
        (key->not_after_s && request->now_s > key->not_after_s) || !uid_allows(key, request) ||
        (key->input_bytes_max && request->input_bytes > key->input_bytes_max))
        return VKS_STATUS_DENIED;
    return state_allows(key->state, request->op) ? VKS_STATUS_OK : VKS_STATUS_KEY_STATE;
}
