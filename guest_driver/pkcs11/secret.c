/* SPDX-License-Identifier: BSD-3-Clause */
/* Making session secrets. */
#include <string.h>

#include "module.h"
#include "template.h"

CK_RV secret_check(const struct template *template, size_t size)
{
    CK_KEY_TYPE type = template->has_key_type ? template->key_type : CKK_GENERIC_SECRET;

    if ((template->has_class && template->class != CKO_SECRET_KEY) || template->is_token)
        return CKR_TEMPLATE_INCONSISTENT;
    switch (type) {
    case CKK_GENERIC_SECRET:
    case CKK_SHA256_HMAC:
    case CKK_SHA384_HMAC:
    case CKK_SHA512_HMAC:
        return CKR_OK;
    case CKK_AES:
        return size == 0 || size == 16 || size == 24 || size == 32 ? CKR_OK : CKR_KEY_SIZE_RANGE;
    case CKK_CHACHA20:
        return size == 0 || size == 32 ? CKR_OK : CKR_KEY_SIZE_RANGE;
    default:
        return CKR_TEMPLATE_INCONSISTENT;
    }
}

CK_RV secret_make(struct session *session, const struct template *template, struct vks_bytes value,
                  CK_OBJECT_HANDLE *handle)
{
    struct object like = {
        .secret_type = template->has_key_type ? template->key_type : CKK_GENERIC_SECRET,
        .secret_size = value.size,
        .secret_id_size = template->id_size,
        .is_sensitive = template->is_sensitive,
        .is_extractable = !template->has_extractable || template->is_extractable,
    };
    CK_RV rv =
        value.size && value.size <= VKS_SECRET_BYTES_MAX ? secret_check(template, value.size) : CKR_KEY_SIZE_RANGE;

    if (rv != CKR_OK)
        return rv;
    memcpy(like.key.label, template->label, sizeof(like.key.label));
    memcpy(like.secret_id, template->id, template->id_size);
    module_lock();
    /* A session that was closed meanwhile would never take it along. */
    rv = session->is_closed ? CKR_SESSION_HANDLE_INVALID
                            : secret_list_add(&session->token->secrets, session->handle, &like, value.data);
    module_unlock();
    if (rv == CKR_OK)
        *handle = like.handle;
    return rv;
}
