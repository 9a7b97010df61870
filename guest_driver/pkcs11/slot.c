/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots, tokens and what mechanisms they have (PKCS#11 v3.0, 5.5). */
#include <stdio.h>
#include <string.h>

#include "mechanism.h"
#include "module.h"
#include "session_table.h"
#include "text.h"
#include "token.h"

static CK_RV slot_list(bool present_only, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_SLOT_ID slots[TOKEN_SLOTS_MAX];
    size_t found, kept = 0;
    CK_ULONG room = *count;
    struct token *token;

    /* New slots appear when their number is asked for (5.5.1), so that who then has room for them has enough. */
    tokens_look(!list);
    found = tokens_list(slots);
    for (size_t i = 0; i < found; i++)
        if (!present_only || (token_find(slots[i], &token) == CKR_OK && token_is_present(token)))
            slots[kept++] = slots[i];
    *count = kept;
    if (!list)
        return CKR_OK;
    if (room < kept)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, slots, kept * sizeof(*list));
    return CKR_OK;
}

CK_RV C_GetSlotList(CK_BBOOL present_only, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_RV rv;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    rv = module_enter();
    if (rv != CKR_OK)
        return rv;
    rv = slot_list(present_only != CK_FALSE, list, count);
    module_leave();
    return rv;
}

/* Each call about one slot is between the two. CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID. */
static CK_RV slot_enter(CK_SLOT_ID slot, struct token **token)
{
    CK_RV rv = module_enter();

    if (rv != CKR_OK)
        return rv;
    rv = token_find(slot, token);
    if (rv != CKR_OK)
        module_leave();
    return rv;
}

/* Gives @rv back. */
static CK_RV slot_leave(CK_RV rv)
{
    module_leave();
    return rv;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct token *token;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = slot_enter(slot, &token);
    if (rv != CKR_OK)
        return rv;
    memset(info, 0, sizeof(*info));
    text_pad(info->slotDescription, sizeof(info->slotDescription), token->path);
    text_pad(info->manufacturerID, sizeof(info->manufacturerID), "vmm_keystore");
    info->flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT | (token_is_present(token) ? CKF_TOKEN_PRESENT : 0);
    return slot_leave(CKR_OK);
}

/* The same for the same guest, wherever it runs. */
static void serial_number(const char *guest, CK_BYTE serial[16])
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    char text[17];

    for (; *guest; guest++)
        hash = (hash ^ (uint8_t)*guest) * UINT64_C(1099511628211);
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
    memcpy(serial, text, 16);
}

/* Whether there is a key that wants a login. */
static CK_RV find_private(struct token *token, bool *has_private)
{
    struct object_table *table;
    CK_RV rv = token_table_get(token, TOKEN_FRESH_MS, &table);

    if (rv != CKR_OK)
        return rv;
    *has_private = table->has_private;
    token_table_put(table);
    return CKR_OK;
}

static CK_RV describe(struct token *token, CK_TOKEN_INFO *info)
{
    struct vks_device_info device;
    bool has_private;
    CK_RV rv = token_info(token, &device);

    if (rv == CKR_OK)
        rv = find_private(token, &has_private);
    if (rv != CKR_OK)
        return rv;
    memset(info, 0, sizeof(*info));
    text_pad(info->label, sizeof(info->label), device.guest_name);
    text_pad(info->manufacturerID, sizeof(info->manufacturerID), "vmm_keystore");
    text_pad(info->model, sizeof(info->model), "vault device");
    serial_number(device.guest_name, info->serialNumber);
    info->flags = CKF_RNG | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | (has_private ? CKF_LOGIN_REQUIRED : 0);
    info->ulMaxSessionCount = SESSIONS_MAX;
    info->ulMaxRwSessionCount = SESSIONS_MAX;
    info->ulMaxPinLen = 255;
    info->ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->firmwareVersion = (CK_VERSION){(CK_BYTE)(device.device_version >> 16), (CK_BYTE)(device.device_version >> 8)};
    /* No clock: blanks. */
    memset(info->utcTime, ' ', sizeof(info->utcTime));
    module_lock();
    info->ulSessionCount = token->session_count;
    info->ulRwSessionCount = token->rw_session_count;
    module_unlock();
    return CKR_OK;
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct token *token;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = slot_enter(slot, &token);
    return rv == CKR_OK ? slot_leave(describe(token, info)) : rv;
}

static CK_RV mechanism_list(struct token *token, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    CK_MECHANISM_TYPE types[MECHANISMS_MAX];
    const struct mechanism *mechanism;
    struct vks_device_info device;
    CK_ULONG room = *count;
    size_t found = 0;
    CK_RV rv = token_info(token, &device);

    if (rv != CKR_OK)
        return rv;
    for (size_t i = 0; (mechanism = mechanism_at(i)); i++)
        if (mechanism_flags(mechanism, &device))
            types[found++] = mechanism->type;
    *count = found;
    if (!list)
        return CKR_OK;
    if (room < found)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, types, found * sizeof(*list));
    return CKR_OK;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct token *token;
    CK_RV rv;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    rv = slot_enter(slot, &token);
    return rv == CKR_OK ? slot_leave(mechanism_list(token, list, count)) : rv;
}

static CK_RV describe_mechanism(struct token *token, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    const struct mechanism *mechanism = mechanism_find(type);
    struct vks_device_info device;
    CK_RV rv = token_info(token, &device);

    if (rv != CKR_OK)
        return rv;
    info->flags = mechanism ? mechanism_flags(mechanism, &device) : 0;
    if (!info->flags)
        return CKR_MECHANISM_INVALID;
    mechanism_info(mechanism, info);
    return CKR_OK;
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct token *token;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = slot_enter(slot, &token);
    return rv == CKR_OK ? slot_leave(describe_mechanism(token, type, info)) : rv;
}

/* Who waits for events has to ask: nothing tells of devices. */
CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    CK_RV rv;

    if (!slot || reserved)
        return CKR_ARGUMENTS_BAD;
    rv = module_enter();
    if (rv != CKR_OK)
        return rv;
    module_leave();
    return flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED;
}
