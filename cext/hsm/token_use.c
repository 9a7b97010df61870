/* SPDX-License-Identifier: Apache-2.0 */
/* From the device's mechanisms to the token's. */
#include "token_use.h"

#include <string.h>

#include "algorithm.h"
#include "vmm_keystore.h"

enum {
    DIGEST_INFO_BYTES = 19,
    ECDSA_BYTES_MIN = 32,
};

/* A hash in the mechanisms of RSA; 0 where the device has none. DER of DigestInfo up to the digest: RFC 8017, 9.2,
 * note 1. */
static const struct hash {
    uint32_t pkcs1, pss, oaep;
    CK_MECHANISM_TYPE mechanism;
    CK_RSA_PKCS_MGF_TYPE mgf;
    CK_BYTE digest_info[DIGEST_INFO_BYTES];
} hashes[] = {
    {VKS_MECHANISM_RSA_PKCS1_SHA256,
     VKS_MECHANISM_RSA_PSS_SHA256,
     VKS_MECHANISM_RSA_OAEP_SHA256,
     CKM_SHA256,
     CKG_MGF1_SHA256,
     {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
      0x20}},
    {VKS_MECHANISM_RSA_PKCS1_SHA384,
     VKS_MECHANISM_RSA_PSS_SHA384,
     0,
     CKM_SHA384,
     CKG_MGF1_SHA384,
     {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04,
      0x30}},
    {VKS_MECHANISM_RSA_PKCS1_SHA512,
     VKS_MECHANISM_RSA_PSS_SHA512,
     0,
     CKM_SHA512,
     CKG_MGF1_SHA512,
     {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04,
      0x40}},
    {0, 0, VKS_MECHANISM_RSA_OAEP_SHA1, CKM_SHA_1, CKG_MGF1_SHA1, {0}},
};

/* A mechanism as the token has it, and the text that it takes. */
struct wanted {
    CK_MECHANISM mechanism;
    union {
        CK_RSA_PKCS_PSS_PARAMS pss;
        CK_RSA_PKCS_OAEP_PARAMS oaep;
    } parameters;
    CK_BYTE text[DIGEST_INFO_BYTES + VKS_HSM_INPUT_BYTES_MAX];
    CK_ULONG text_bytes;
};

static const struct hash *find_hash(uint32_t mechanism)
{
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (hashes[i].pkcs1 == mechanism || hashes[i].pss == mechanism || hashes[i].oaep == mechanism)
            return &hashes[i];
    return NULL;
}

static bool is_ecdsa(uint32_t mechanism)
{
    return mechanism == VKS_MECHANISM_ECDSA_SHA256 || mechanism == VKS_MECHANISM_ECDSA_SHA384 ||
           mechanism == VKS_MECHANISM_ECDSA_SHA512;
}

static void set(struct wanted *wanted, CK_MECHANISM_TYPE mechanism, CK_ULONG parameter_bytes)
{
    wanted->mechanism = (CK_MECHANISM){mechanism, parameter_bytes ? &wanted->parameters : NULL, parameter_bytes};
}

/* False: there is no such mechanism, or its input is not that long. */
static bool translate(const struct vks_token_use *use, struct wanted *wanted)
{
    const struct hash *hash = use->mechanism ? find_hash(use->mechanism) : NULL;
    uint32_t head_bytes = 0;

    if (use->input_bytes > VKS_HSM_INPUT_BYTES_MAX || (use->op != VKS_OP_SIGN && use->op != VKS_OP_DECRYPT))
        return false;
    if (use->op == VKS_OP_DECRYPT) {
        if (!hash || hash->oaep != use->mechanism)
            return false;
        wanted->parameters.oaep =
            (CK_RSA_PKCS_OAEP_PARAMS){hash->mechanism, hash->mgf, CKZ_DATA_SPECIFIED,
                                      use->label_bytes ? (CK_VOID_PTR)(uintptr_t)use->label : NULL, use->label_bytes};
        set(wanted, CKM_RSA_PKCS_OAEP, sizeof(wanted->parameters.oaep));
    } else if (is_ecdsa(use->mechanism)) {
        if (use->input_bytes < ECDSA_BYTES_MIN)
            return false;
        set(wanted, CKM_ECDSA, 0);
    } else {
        if (!hash || hash->oaep == use->mechanism ||
            use->input_bytes != vks_hash_bytes(vks_mechanism_hash(use->mechanism)))
            return false;
        wanted->parameters.pss = (CK_RSA_PKCS_PSS_PARAMS){hash->mechanism, hash->mgf, use->input_bytes};
        if (hash->pss == use->mechanism) {
            set(wanted, CKM_RSA_PKCS_PSS, sizeof(wanted->parameters.pss));
        } else {
            set(wanted, CKM_RSA_PKCS, 0);
            head_bytes = DIGEST_INFO_BYTES;
            memcpy(wanted->text, hash->digest_info, head_bytes);
        }
    }
    memcpy(wanted->text + head_bytes, use->input, use->input_bytes);
    wanted->text_bytes = head_bytes + use->input_bytes;
    return true;
}

/* What a token says when it is asked for something that it does not have. */
static bool is_unknown(CK_RV rv)
{
    return rv == CKR_MECHANISM_INVALID || rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_ARGUMENTS_BAD ||
           rv == CKR_KEY_FUNCTION_NOT_PERMITTED || rv == CKR_FUNCTION_NOT_SUPPORTED;
}

enum vks_hsm_error vks_token_use(struct vks_token *token, CK_OBJECT_HANDLE key, struct vks_token_use *use)
{
    CK_FUNCTION_LIST_PTR functions = token->module->functions;
    bool decrypts = use->op == VKS_OP_DECRYPT;
    CK_ULONG made_bytes = sizeof(use->output);
    struct wanted wanted;
    CK_RV rv;

    use->output_bytes = 0;
    if (!translate(use, &wanted))
        return VKS_HSM_KEY_TYPE;
    rv = decrypts ? functions->C_DecryptInit(token->session, &wanted.mechanism, key)
                  : functions->C_SignInit(token->session, &wanted.mechanism, key);
    if (is_unknown(rv))
        return VKS_HSM_KEY_TYPE;
    if (rv == CKR_OK) {
        rv = decrypts ? functions->C_Decrypt(token->session, wanted.text, wanted.text_bytes, use->output, &made_bytes)
                      : functions->C_Sign(token->session, wanted.text, wanted.text_bytes, use->output, &made_bytes);
        /* Whatever the module says: telling paddings apart would be Manger's attack. */
        if (decrypts && rv != CKR_OK) {
            token->module->rv = rv;
            return VKS_HSM_UNSOUND;
        }
    }
    if (rv != CKR_OK)
        return vks_module_result(token->module, rv);
    if (made_bytes > sizeof(use->output))
        return VKS_HSM_MODULE_NONSENSE;
    use->output_bytes = (uint32_t)made_bytes;
    return VKS_HSM_OK;
}
