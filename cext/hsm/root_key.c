/* SPDX-License-Identifier: Apache-2.0 */
/* Making, finding and using it. Knows its attributes; must not know what its MAC opens. */
#include "root_key.h"

#include <openssl/rand.h>
#include <string.h>

#include "token_object.h"

static CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
static CK_KEY_TYPE generic_secret = CKK_GENERIC_SECRET;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static char label[] = "vmm-keystore root";

enum {
    LABEL_BYTES = sizeof(label) - 1,
};

enum vks_hsm_error vks_root_key_find(struct vks_token *token, struct vks_root_key *key)
{
    CK_ATTRIBUTE sought[] = {
        {CKA_CLASS, &secret_key, sizeof(secret_key)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_ID, key->id, sizeof(key->id)},
    };
    size_t count;
    enum vks_hsm_error error =
        vks_token_object_find(token, sought, sizeof(sought) / sizeof(sought[0]), &key->object, &count);

    if (error)
        return error;
    return count == 1 ? VKS_HSM_OK : count == 0 ? VKS_HSM_KEY_GONE : VKS_HSM_KEY_SEVERAL;
}

static enum vks_hsm_error make(struct vks_token *token, struct vks_root_key *key)
{
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ULONG value_bytes = VKS_ROOT_KEY_BYTES;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &secret_key, sizeof(secret_key)},
        {CKA_KEY_TYPE, &generic_secret, sizeof(generic_secret)},
        {CKA_VALUE_LEN, &value_bytes, sizeof(value_bytes)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_SIGN, &yes, sizeof(yes)},
        {CKA_DERIVE, &no, sizeof(no)},
        {CKA_LABEL, label, LABEL_BYTES},
        {CKA_ID, key->id, sizeof(key->id)},
    };

    if (RAND_bytes(key->id, sizeof(key->id)) != 1)
        return VKS_HSM_OURS;
    return vks_module_result(token->module,
                             token->module->functions->C_GenerateKey(token->session, &mechanism, wanted,
                                                                     sizeof(wanted) / sizeof(wanted[0]), &key->object));
}

static enum vks_hsm_error check(struct vks_token *token, const struct vks_root_key *key)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        CK_BBOOL wanted;
    } flags[] = {{CKA_TOKEN, CK_TRUE},
                 {CKA_PRIVATE, CK_TRUE},
                 {CKA_SENSITIVE, CK_TRUE},
                 {CKA_EXTRACTABLE, CK_FALSE},
                 {CKA_SIGN, CK_TRUE}};
    CK_ULONG value_bytes = 0;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!vks_token_object_is(token, key->object, flags[i].type, flags[i].wanted))
            return VKS_HSM_KEY_WEAK;
    if (!vks_token_object_read(token, key->object, CKA_VALUE_LEN, &value_bytes, sizeof(value_bytes)) ||
        value_bytes < VKS_ROOT_KEY_BYTES)
        return VKS_HSM_KEY_WEAK;
    return VKS_HSM_OK;
}

enum vks_hsm_error vks_root_key_provide(struct vks_token *token, struct vks_root_key *key)
{
    CK_ATTRIBUTE sought[] = {
        {CKA_CLASS, &secret_key, sizeof(secret_key)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_LABEL, label, LABEL_BYTES},
    };
    size_t count;
    enum vks_hsm_error error =
        vks_token_object_find(token, sought, sizeof(sought) / sizeof(sought[0]), &key->object, &count);

    if (error)
        return error;
    if (count != 1)
        error = make(token, key);
    else if (!vks_token_object_read(token, key->object, CKA_ID, key->id, sizeof(key->id)))
        error = VKS_HSM_KEY_ID;
    return error ? error : check(token, key);
}

enum vks_hsm_error vks_root_key_mac(struct vks_token *token, const struct vks_root_key *key, const uint8_t *message,
                                    size_t message_bytes, uint8_t mac[VKS_ROOT_KEY_MAC_BYTES])
{
    CK_FUNCTION_LIST_PTR functions = token->module->functions;
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    CK_ULONG mac_bytes = VKS_ROOT_KEY_MAC_BYTES;
    enum vks_hsm_error error =
        vks_module_result(token->module, functions->C_SignInit(token->session, &mechanism, key->object));

    if (!error)
        error = vks_module_result(token->module, functions->C_Sign(token->session, (CK_BYTE_PTR)(uintptr_t)message,
                                                                   message_bytes, mac, &mac_bytes));
    return !error && mac_bytes != VKS_ROOT_KEY_MAC_BYTES ? VKS_HSM_MODULE_NONSENSE : error;
}
