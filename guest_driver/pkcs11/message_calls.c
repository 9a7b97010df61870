/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One key for many messages, each of them whole or in parts (PKCS#11 v3.0, 5.9, 5.11). A message in parts is sealed or
 * opened when its last part is there: until then its parts give nothing. Whatever becomes of a message, the operation
 * goes on.
 */
#include "cipher.h"
#include "message.h"

static CK_RV too_long(enum operation_kind kind)
{
    return kind == OPERATION_MESSAGE_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
}

/* The parts that there are go. */
static void drop_parts(struct operation *operation)
{
    buffer_clear(&operation->input);
    buffer_clear(&operation->aad);
    operation->is_multipart = false;
}

static CK_RV begin(CK_SESSION_HANDLE handle, enum operation_kind kind, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, operation_begin(session, kind, mechanism, key));
}

static CK_RV end(CK_SESSION_HANDLE handle, enum operation_kind kind)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_check(&session->operations[kind], false);
    operation_end(&session->operations[kind]);
    return session_leave(session, rv);
}

static CK_RV run_whole(struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                       struct vks_bytes aad, struct vks_bytes input, CK_BYTE *output, CK_ULONG *size)
{
    bool is_query;
    CK_RV rv = operation_check(&session->operations[kind], true);

    if (rv != CKR_OK)
        return rv;
    if (!size || (input.size && !input.data))
        return CKR_ARGUMENTS_BAD;
    if (input.size > MESSAGE_BYTES_MAX)
        return too_long(kind);
    rv = message_check(session, kind, parameter, aad);
    if (rv == CKR_OK)
        rv = output_check(output, size, input.size, &is_query);
    /* Nothing to give is no question. */
    if (rv != CKR_OK || (is_query && input.size))
        return rv;
    return message_run(session, kind, parameter, aad, input, output);
}

static CK_RV whole(CK_SESSION_HANDLE handle, enum operation_kind kind, struct message_parameter parameter,
                   struct vks_bytes aad, struct vks_bytes input, CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, run_whole(session, kind, &parameter, aad, input, output, size));
}

static CK_RV begin_parts(CK_SESSION_HANDLE handle, enum operation_kind kind, struct message_parameter parameter,
                         struct vks_bytes aad)
{
    struct session *session;
    struct operation *operation;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    operation = &session->operations[kind];
    rv = message_check(session, kind, &parameter, aad);
    if (rv == CKR_OK)
        rv = buffer_append(&operation->aad, aad.data, aad.size, VKS_AAD_BYTES_MAX);
    if (rv == CKR_OK)
        operation->is_multipart = true;
    return session_leave(session, rv);
}

/* The last part and with it the message, which stays as it was if there is no room for what comes of it. */
static CK_RV run_parts(struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                       struct vks_bytes part, CK_BYTE *output, CK_ULONG *size)
{
    struct operation *operation = &session->operations[kind];
    size_t message_size = operation->input.size + part.size;
    bool is_query;
    CK_RV rv = output_check(output, size, message_size, &is_query);

    if (rv != CKR_OK || (is_query && message_size))
        return rv;
    rv = buffer_append(&operation->input, part.data, part.size, MESSAGE_BYTES_MAX);
    if (rv == CKR_OK)
        rv = message_run(session, kind, parameter, (struct vks_bytes){operation->aad.data, operation->aad.size},
                         (struct vks_bytes){operation->input.data, operation->input.size}, output);
    drop_parts(operation);
    return rv;
}

static CK_RV take_part(struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                       struct vks_bytes part, CK_BYTE *output, CK_ULONG *size, CK_FLAGS flags)
{
    struct operation *operation = &session->operations[kind];
    CK_RV rv = CKR_OK;

    if (!operation->is_active || !operation->is_multipart)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!size || (part.size && !part.data) || flags & ~CKF_END_OF_MESSAGE)
        rv = CKR_ARGUMENTS_BAD;
    else if (part.size > MESSAGE_BYTES_MAX - operation->input.size)
        rv = too_long(kind);
    if (rv != CKR_OK) {
        drop_parts(operation);
        return rv;
    }
    if (flags & CKF_END_OF_MESSAGE)
        return run_parts(session, kind, parameter, part, output, size);
    *size = 0;
    /* Whoever asks how much it gives takes nothing yet (5.2). */
    return output ? buffer_append(&operation->input, part.data, part.size, MESSAGE_BYTES_MAX) : CKR_OK;
}

static CK_RV next_part(CK_SESSION_HANDLE handle, enum operation_kind kind, struct message_parameter parameter,
                       struct vks_bytes part, CK_BYTE *output, CK_ULONG *size, CK_FLAGS flags)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, take_part(session, kind, &parameter, part, output, size, flags));
}

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return begin(handle, OPERATION_MESSAGE_ENCRYPT, mechanism, key);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *aad,
                       CK_ULONG aad_size, CK_BYTE *text, CK_ULONG text_size, CK_BYTE *output, CK_ULONG *size)
{
    return whole(handle, OPERATION_MESSAGE_ENCRYPT, (struct message_parameter){parameter, parameter_size},
                 (struct vks_bytes){aad, aad_size}, (struct vks_bytes){text, text_size}, output, size);
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *aad,
                            CK_ULONG aad_size)
{
    return begin_parts(handle, OPERATION_MESSAGE_ENCRYPT, (struct message_parameter){parameter, parameter_size},
                       (struct vks_bytes){aad, aad_size});
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *text,
                           CK_ULONG text_size, CK_BYTE *output, CK_ULONG *size, CK_FLAGS flags)
{
    return next_part(handle, OPERATION_MESSAGE_ENCRYPT, (struct message_parameter){parameter, parameter_size},
                     (struct vks_bytes){text, text_size}, output, size, flags);
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE handle)
{
    return end(handle, OPERATION_MESSAGE_ENCRYPT);
}

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return begin(handle, OPERATION_MESSAGE_DECRYPT, mechanism, key);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *aad,
                       CK_ULONG aad_size, CK_BYTE *sealed, CK_ULONG sealed_size, CK_BYTE *output, CK_ULONG *size)
{
    return whole(handle, OPERATION_MESSAGE_DECRYPT, (struct message_parameter){parameter, parameter_size},
                 (struct vks_bytes){aad, aad_size}, (struct vks_bytes){sealed, sealed_size}, output, size);
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *aad,
                            CK_ULONG aad_size)
{
    return begin_parts(handle, OPERATION_MESSAGE_DECRYPT, (struct message_parameter){parameter, parameter_size},
                       (struct vks_bytes){aad, aad_size});
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *sealed,
                           CK_ULONG sealed_size, CK_BYTE *output, CK_ULONG *size, CK_FLAGS flags)
{
    return next_part(handle, OPERATION_MESSAGE_DECRYPT, (struct message_parameter){parameter, parameter_size},
                     (struct vks_bytes){sealed, sealed_size}, output, size, flags);
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE handle)
{
    return end(handle, OPERATION_MESSAGE_DECRYPT);
}
