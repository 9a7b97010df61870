/* SPDX-License-Identifier: BSD-3-Clause */
/* Object management (PKCS#11 v3.0, 5.7). */
#define _GNU_SOURCE /* explicit_bzero */
#include <string.h>

#include "certificate_object.h"
#include "module.h"
#include "session.h"
#include "status.h"
#include "template.h"

/* A key or secret, or a certificate. */
struct subject {
    const struct object *object; /* NULL: the other one */
    const struct certificate_entry *certificate;
};

/* One attribute into the caller's template. */
static CK_RV give(struct token *token, const struct subject *of, CK_ATTRIBUTE *attribute)
{
    struct attribute_value room;
    struct vks_bytes value = {0};
    CK_RV rv;

    if (of->object) {
        rv = attribute_get(token, of->object, attribute->type, &room);
        if (rv == CKR_OK)
            value = (struct vks_bytes){room.data, room.size};
    } else {
        rv = certificate_attribute(token, of->certificate, attribute->type, &room, &value);
    }
    if (rv == CKR_OK && attribute->pValue && attribute->ulValueLen < value.size)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK && attribute->pValue && value.size)
        memcpy(attribute->pValue, value.data, value.size);
    attribute->ulValueLen = rv == CKR_OK ? value.size : CK_UNAVAILABLE_INFORMATION;
    if (of->object && of->object->kind == OBJECT_SECRET && attribute->type == CKA_VALUE)
        explicit_bzero(&room, sizeof(room));
    return rv;
}

/* All that can be given is given, whatever is wrong with others (5.7.5). */
static CK_RV give_all(struct token *token, const struct subject *of, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_RV rv = CKR_OK, one;

    for (CK_ULONG i = 0; i < count && (rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE ||
                                       rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_BUFFER_TOO_SMALL);
         i++) {
        one = give(token, of, &attributes[i]);
        if (one != CKR_OK)
            rv = one;
    }
    return rv;
}

/* One that the caller may know of. */
static CK_RV look_up(struct token *token, CK_OBJECT_HANDLE handle, uint64_t age_ms, struct object *object)
{
    CK_RV rv = token_object(token, handle, age_ms, object);

    return rv == CKR_OK && !token_shows(token, object) ? CKR_OBJECT_HANDLE_INVALID : rv;
}

/* Without attributes it says whether there is such an object. */
static CK_RV get(struct token *token, CK_OBJECT_HANDLE handle, uint64_t age_ms, CK_ATTRIBUTE *attributes,
                 CK_ULONG count)
{
    struct certificate_list *list;
    struct object object;
    struct subject of = {.object = &object};
    CK_RV rv;

    if (count && !attributes)
        return CKR_ARGUMENTS_BAD;
    if (OBJECT_KIND(handle) != OBJECT_CERTIFICATE) {
        rv = look_up(token, handle, age_ms, &object);
        return rv == CKR_OK ? give_all(token, &of, attributes, count) : rv;
    }
    rv = token_certificates_get(token, &list);
    if (rv != CKR_OK)
        return rv;
    of = (struct subject){.certificate = certificate_list_by_number(list, OBJECT_NUMBER(handle))};
    rv = of.certificate ? give_all(token, &of, attributes, count) : CKR_OBJECT_HANDLE_INVALID;
    token_certificates_put(list);
    return rv;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, get(session->token, object, TOKEN_FRESH_MS, attributes, count)) : rv;
}

/* Nothing changes (CKA_MODIFIABLE, CKA_COPYABLE). */
static CK_RV refuse(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = get(session->token, object, TOKEN_ANY_AGE, NULL, 0);
    return session_leave(session, rv == CKR_OK ? CKR_ACTION_PROHIBITED : rv);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    return refuse(handle, object);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE *copy)
{
    return refuse(handle, object);
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = size ? get(session->token, object, TOKEN_ANY_AGE, NULL, 0) : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *size = CK_UNAVAILABLE_INFORMATION;
    return session_leave(session, rv);
}

/* A certificate is brought by putting it into the folder. */
static bool is_certificate(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;

    for (CK_ULONG i = 0; i < count; i++)
        if (attributes[i].type == CKA_CLASS && attributes[i].pValue && attributes[i].ulValueLen == sizeof(class))
            memcpy(&class, attributes[i].pValue, sizeof(class));
    return class == CKO_CERTIFICATE;
}

/* Of a caller's bytes, for wrapping them. The vault takes no keys from a guest. */
static CK_RV create(struct session *session, const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *handle)
{
    struct template template = {0};
    CK_RV rv;

    if (!handle || !attributes)
        return CKR_ARGUMENTS_BAD;
    if (is_certificate(attributes, count))
        return CKR_ACTION_PROHIBITED;
    rv = template_read(attributes, count, &template);
    if (rv != CKR_OK)
        return rv;
    if (!template.has_class)
        return CKR_TEMPLATE_INCOMPLETE;
    rv = secret_check(&template, 0);
    if (rv != CKR_OK)
        return rv;
    if (!template.has_key_type || !template.value.size)
        return CKR_TEMPLATE_INCOMPLETE;
    if (template.value_bytes && template.value_bytes != template.value.size)
        return CKR_TEMPLATE_INCONSISTENT;
    return secret_make(session, &template, template.value, handle);
}

CK_RV C_CreateObject(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, create(session, attributes, count, object)) : rv;
}

/* A key of the guest's own goes with all its versions; its public key is nothing without it. */
static CK_RV destroy(struct session *session, CK_OBJECT_HANDLE handle)
{
    struct token *token = session->token;
    struct object object;
    bool was_there;
    CK_RV rv;

    if (OBJECT_KIND(handle) == OBJECT_SECRET) {
        module_lock();
        was_there = secret_list_remove(&token->secrets, handle);
        module_unlock();
        return was_there ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
    }
    if (OBJECT_KIND(handle) == OBJECT_CERTIFICATE) {
        rv = get(token, handle, TOKEN_ANY_AGE, NULL, 0);
        return rv == CKR_OK ? CKR_ACTION_PROHIBITED : rv;
    }
    rv = look_up(token, handle, TOKEN_FRESH_MS, &object);
    if (rv != CKR_OK)
        return rv;
    if (object.kind != OBJECT_KEY || !vks_key_is_own(&object.key))
        return CKR_ACTION_PROHIBITED;
    if (!session->is_rw)
        return CKR_SESSION_READ_ONLY;
    rv = status_rv(vks_destroy(token->device, object.key.id), STATUS_OBJECT);
    token_changed(token);
    return rv == CKR_KEY_FUNCTION_NOT_PERMITTED ? CKR_ACTION_PROHIBITED : rv;
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, destroy(session, object)) : rv;
}
