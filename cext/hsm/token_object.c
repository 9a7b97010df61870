/* SPDX-License-Identifier: Apache-2.0 */
#include "token_object.h"

enum {
    ASKED_FOR = 2, /* enough to see that there is more than one */
};

enum vks_hsm_error vks_token_object_find(struct vks_token *token, CK_ATTRIBUTE *sought, size_t sought_count,
                                         CK_OBJECT_HANDLE *object, size_t *count)
{
    CK_FUNCTION_LIST_PTR functions = token->module->functions;
    CK_OBJECT_HANDLE found[ASKED_FOR] = {0};
    CK_ULONG part = 1;
    enum vks_hsm_error error =
        vks_module_result(token->module, functions->C_FindObjectsInit(token->session, sought, sought_count));

    *count = 0;
    if (error)
        return error;
    /* A module may give fewer than were asked for, and more the next time. */
    while (!error && part > 0 && *count < ASKED_FOR) {
        CK_ULONG room = ASKED_FOR - *count;

        part = 0;
        error = vks_module_result(token->module, functions->C_FindObjects(token->session, found + *count, room, &part));
        if (!error && part > room)
            error = VKS_HSM_MODULE_NONSENSE;
        if (!error)
            *count += part;
    }
    (void)functions->C_FindObjectsFinal(token->session);
    *object = found[0];
    return error;
}

bool vks_token_object_read(struct vks_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *value,
                           size_t value_bytes)
{
    CK_ATTRIBUTE attribute = {type, value, value_bytes};

    return token->module->functions->C_GetAttributeValue(token->session, object, &attribute, 1) == CKR_OK &&
           attribute.ulValueLen == value_bytes;
}

bool vks_token_object_is(struct vks_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_BBOOL wanted)
{
    CK_BBOOL value = !wanted;

    return vks_token_object_read(token, object, type, &value, sizeof(value)) && !value == !wanted;
}
