/* SPDX-License-Identifier: BSD-3-Clause */
#include "template.h"

#include <string.h>

static CK_RV take_bool(const CK_ATTRIBUTE *attribute, bool *truth)
{
    CK_BBOOL given;

    if (attribute->ulValueLen != sizeof(given) || !attribute->pValue)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    memcpy(&given, attribute->pValue, sizeof(given));
    *truth = given != CK_FALSE;
    return CKR_OK;
}

static CK_RV take_number(const CK_ATTRIBUTE *attribute, CK_ULONG *number)
{
    if (attribute->ulValueLen != sizeof(*number) || !attribute->pValue)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    memcpy(number, attribute->pValue, sizeof(*number));
    return CKR_OK;
}

/* As many bytes as there is room; @size gets their number. */
static CK_RV take_bytes(const CK_ATTRIBUTE *attribute, void *bytes, size_t room, size_t *size)
{
    if (attribute->ulValueLen > room || (attribute->ulValueLen && !attribute->pValue))
        return CKR_ATTRIBUTE_VALUE_INVALID;
    if (attribute->ulValueLen)
        memcpy(bytes, attribute->pValue, attribute->ulValueLen);
    *size = attribute->ulValueLen;
    return CKR_OK;
}

static CK_RV take_view(const CK_ATTRIBUTE *attribute, struct vks_bytes *view)
{
    if (attribute->ulValueLen && !attribute->pValue)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    *view = (struct vks_bytes){attribute->pValue, attribute->ulValueLen};
    return CKR_OK;
}

static CK_RV take_label(const CK_ATTRIBUTE *attribute, struct template *template)
{
    size_t size;
    CK_RV rv = take_bytes(attribute, template->label, sizeof(template->label) - 1, &size);

    if (rv != CKR_OK)
        return rv;
    template->label[size] = '\0';
    return strlen(template->label) == size ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* What is read for its form alone. */
static CK_RV pass_over(const CK_ATTRIBUTE *attribute)
{
    struct vks_bytes view;
    bool truth;

    switch (attribute->type) {
    case CKA_PRIVATE:
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
    case CKA_DESTROYABLE:
    case CKA_TRUSTED:
    case CKA_ENCRYPT:
    case CKA_DECRYPT:
    case CKA_SIGN:
    case CKA_SIGN_RECOVER:
    case CKA_VERIFY:
    case CKA_VERIFY_RECOVER:
    case CKA_WRAP:
    case CKA_UNWRAP:
    case CKA_DERIVE:
    case CKA_ENCAPSULATE:
    case CKA_DECAPSULATE:
    case CKA_ALWAYS_AUTHENTICATE:
    case CKA_WRAP_WITH_TRUSTED:
        return take_bool(attribute, &truth);
    case CKA_SUBJECT:
    case CKA_START_DATE:
    case CKA_END_DATE:
    case CKA_ALLOWED_MECHANISMS:
        return take_view(attribute, &view);
    case CKA_LOCAL:
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
    case CKA_KEY_GEN_MECHANISM:
    case CKA_UNIQUE_ID:
        return CKR_ATTRIBUTE_READ_ONLY;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV take(const CK_ATTRIBUTE *attribute, struct template *template)
{
    switch (attribute->type) {
    case CKA_CLASS:
        template->has_class = true;
        return take_number(attribute, &template->class);
    case CKA_KEY_TYPE:
        template->has_key_type = true;
        return take_number(attribute, &template->key_type);
    case CKA_TOKEN:
        return take_bool(attribute, &template->is_token);
    case CKA_SENSITIVE:
        template->has_sensitive = true;
        return take_bool(attribute, &template->is_sensitive);
    case CKA_EXTRACTABLE:
        template->has_extractable = true;
        return take_bool(attribute, &template->is_extractable);
    case CKA_VALUE_LEN:
        return take_number(attribute, &template->value_bytes);
    case CKA_PARAMETER_SET:
        return take_number(attribute, &template->parameter_set);
    case CKA_LABEL:
        return take_label(attribute, template);
    case CKA_ID:
        return take_bytes(attribute, template->id, sizeof(template->id), &template->id_size);
    case CKA_VALUE:
        return take_view(attribute, &template->value);
    case CKA_EC_PARAMS:
        return take_view(attribute, &template->curve);
    default:
        return pass_over(attribute);
    }
}

CK_RV template_read(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct template *template)
{
    CK_RV rv = CKR_OK;

    if (count && !attributes)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
        rv = take(&attributes[i], template);
    return rv;
}

CK_RV template_check_vault(const struct template *template, CK_OBJECT_CLASS class)
{
    if (template->has_class && template->class != class)
        return CKR_TEMPLATE_INCONSISTENT;
    if (template->value.size)
        return CKR_TEMPLATE_INCONSISTENT;
    return (template->has_extractable && template->is_extractable) ||
                   (template->has_sensitive && !template->is_sensitive)
               ? CKR_TEMPLATE_INCONSISTENT
               : CKR_OK;
}
