/* SPDX-License-Identifier: BSD-3-Clause */
#include "object.h"

#include "key_type.h"

CK_OBJECT_CLASS object_class(const struct object *object)
{
    const struct key_type *key_type = key_type_find(object->key.type);

    if (object->kind == OBJECT_PUBLIC)
        return CKO_PUBLIC_KEY;
    return object->kind == OBJECT_KEY && key_type && key_type->is_pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
}

CK_KEY_TYPE object_key_type(const struct object *object)
{
    const struct key_type *key_type = key_type_find(object->key.type);

    if (object->kind == OBJECT_SECRET)
        return object->secret_type;
    return key_type ? key_type->ckk : CKK_GENERIC_SECRET;
}

bool object_is_private(const struct object *object)
{
    return object->kind == OBJECT_KEY && object_has_op(object, VKS_OP_LOGIN);
}

bool object_has_op(const struct object *object, uint32_t op)
{
    return object->kind != OBJECT_SECRET && object->key.op_mask >> op & 1;
}
