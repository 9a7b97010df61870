/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, tokens, logging in. Knows what a token says of itself; must not know what is in it. */
#include "token.h"

#include <string.h>

/* What a token is chosen by; NULL: it does not matter. */
struct choice {
    const uint8_t *serial;
    const uint8_t *label;
};

static bool is_meant(const CK_TOKEN_INFO *info, const struct choice *choice)
{
    if ((info->flags & CKF_TOKEN_INITIALIZED) == 0)
        return false;
    if (choice->serial && memcmp(info->serialNumber, choice->serial, VKS_TOKEN_SERIAL_BYTES) != 0)
        return false;
    return !choice->label || memcmp(info->label, choice->label, VKS_TOKEN_LABEL_BYTES) == 0;
}

static enum vks_hsm_error find(struct vks_token *token, struct vks_module *module, const struct choice *choice)
{
    CK_SLOT_ID slots[VKS_TOKEN_SLOTS_MAX];
    CK_ULONG slot_count = VKS_TOKEN_SLOTS_MAX;
    size_t found = 0;

    *token = (struct vks_token){.module = module};
    if (vks_module_result(module, module->functions->C_GetSlotList(CK_TRUE, slots, &slot_count)))
        return VKS_HSM_REFUSED;
    if (slot_count > VKS_TOKEN_SLOTS_MAX)
        return VKS_HSM_MODULE_NONSENSE;
    for (CK_ULONG i = 0; i < slot_count; i++) {
        CK_TOKEN_INFO info;

        memset(&info, 0, sizeof(info));
        /* One that was pulled out meanwhile, or is nobody's we know, is none of those that are meant. */
        if (module->functions->C_GetTokenInfo(slots[i], &info) != CKR_OK || !is_meant(&info, choice))
            continue;
        found++;
        token->slot = slots[i];
        token->flags = info.flags;
        token->pin_bytes_min = info.ulMinPinLen;
        token->pin_bytes_max = info.ulMaxPinLen;
        memcpy(token->label, info.label, VKS_TOKEN_LABEL_BYTES);
        memcpy(token->serial, info.serialNumber, VKS_TOKEN_SERIAL_BYTES);
    }
    if (found == 0)
        return choice->serial ? VKS_HSM_TOKEN_ABSENT : VKS_HSM_TOKEN_NONE;
    return found == 1 ? VKS_HSM_OK : VKS_HSM_TOKEN_SEVERAL;
}

enum vks_hsm_error vks_token_find_serial(struct vks_token *token, struct vks_module *module, const uint8_t *serial)
{
    return find(token, module, &(struct choice){.serial = serial});
}

enum vks_hsm_error vks_token_find_label(struct vks_token *token, struct vks_module *module, const char *label)
{
    uint8_t padded[VKS_TOKEN_LABEL_BYTES];
    size_t label_bytes = label ? strlen(label) : 0;

    if (label_bytes > sizeof(padded)) {
        *token = (struct vks_token){.module = module};
        return VKS_HSM_TOKEN_NONE;
    }
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, label ? label : "", label_bytes);
    return find(token, module, &(struct choice){.label = label ? padded : NULL});
}

/* Whether it may be asked: a wrong PIN costs one of the few tries that a token gives. */
static enum vks_hsm_error may_ask(const struct vks_token *token, size_t pin_bytes)
{
    if ((token->flags & CKF_USER_PIN_INITIALIZED) == 0)
        return VKS_HSM_PIN_UNSET;
    if (token->flags & CKF_USER_PIN_LOCKED)
        return VKS_HSM_PIN_LOCKED;
    if (token->flags & CKF_USER_PIN_FINAL_TRY)
        return VKS_HSM_PIN_FINAL_TRY;
    if (token->flags & CKF_PROTECTED_AUTHENTICATION_PATH)
        return VKS_HSM_PIN_KEYPAD;
    if (pin_bytes < token->pin_bytes_min || (token->pin_bytes_max > 0 && pin_bytes > token->pin_bytes_max))
        return VKS_HSM_PIN_BYTES;
    return VKS_HSM_OK;
}

static enum vks_hsm_error login_error(struct vks_module *module, CK_RV rv)
{
    switch (rv) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
        return VKS_HSM_OK;
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
        return VKS_HSM_PIN_REFUSED;
    case CKR_PIN_LOCKED:
        return VKS_HSM_PIN_LOCKED;
    case CKR_PIN_EXPIRED:
        return VKS_HSM_PIN_EXPIRED;
    case CKR_USER_PIN_NOT_INITIALIZED:
        return VKS_HSM_PIN_UNSET;
    default:
        return vks_module_result(module, rv);
    }
}

enum vks_hsm_error vks_token_open(struct vks_token *token, uint8_t *pin, size_t pin_bytes, bool writes)
{
    CK_FUNCTION_LIST_PTR functions = token->module->functions;
    CK_FLAGS flags = CKF_SERIAL_SESSION | (writes ? CKF_RW_SESSION : 0);
    enum vks_hsm_error error = may_ask(token, pin_bytes);

    if (!error)
        error =
            vks_module_result(token->module, functions->C_OpenSession(token->slot, flags, NULL, NULL, &token->session));
    if (error)
        return error;
    error = login_error(token->module, functions->C_Login(token->session, CKU_USER, pin, pin_bytes));
    if (error)
        (void)functions->C_CloseSession(token->session);
    return error;
}

enum vks_hsm_error vks_token_open_another(struct vks_token *token)
{
    CK_FUNCTION_LIST_PTR functions = token->module->functions;
    CK_SESSION_INFO info = {0};
    CK_FLAGS flags = CKF_SERIAL_SESSION;

    if (functions->C_GetSessionInfo(token->session, &info) == CKR_OK)
        flags |= info.flags & CKF_RW_SESSION;
    return vks_module_result(token->module, functions->C_OpenSession(token->slot, flags, NULL, NULL, &token->session));
}

static bool is_logged_in(const struct vks_token *token)
{
    CK_SESSION_INFO info;

    return token->module->functions->C_GetSessionInfo(token->session, &info) == CKR_OK &&
           (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

bool vks_token_is_lost(const struct vks_token *token, enum vks_hsm_error error)
{
    if (error != VKS_HSM_REFUSED && error != VKS_HSM_UNSOUND)
        return false;
    /* What modules say of a ciphertext that does not fit may be anything. */
    switch (error == VKS_HSM_REFUSED ? token->module->rv : CKR_OK) {
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_SLOT_ID_INVALID:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
        return true;
    default:
        return !is_logged_in(token);
    }
}

void vks_token_close(struct vks_token *token)
{
    (void)token->module->functions->C_Logout(token->session);
    (void)token->module->functions->C_CloseSession(token->session);
}
