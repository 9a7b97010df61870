/* SPDX-License-Identifier: BSD-3-Clause */
/* Decryption (PKCS#11 v3.0, 5.10). No text is given before all of it has been verified: parts are gathered. */
#define _GNU_SOURCE /* explicit_bzero */
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "session.h"

CK_RV C_DecryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, operation_begin(session, OPERATION_DECRYPT, mechanism, key)) : rv;
}

static bool is_aead(const struct operation *operation)
{
    return operation->mechanism->form == FORM_GCM || operation->mechanism->form == FORM_CHACHA20;
}

/* Else what was opened says how much it is. */
static bool has_exact_size(const struct operation *operation)
{
    return operation->mechanism->form != FORM_OAEP && operation->parameter.vks != VKS_MECHANISM_AES_KWP;
}

/* Into a buffer of our own: how long the text is may be known only when it is there. */
static CK_RV open_into(struct session *session, struct vks_bytes sealed, size_t opened, CK_BYTE *output, CK_ULONG *size)
{
    const struct operation *operation = &session->operations[OPERATION_DECRYPT];
    uint8_t *text = malloc(opened ? opened : 1);
    /* Where the size is exact there is room: *size says as much by now. */
    CK_ULONG room = *size;
    size_t written = 0;
    CK_RV rv;

    if (!text)
        return CKR_HOST_MEMORY;
    rv = cipher_open(session->token, operation, sealed, is_aead(operation) ? STATUS_DECRYPT_AEAD : STATUS_DECRYPT, text,
                     &written);
    /* Who has said that it will be so much is out of his mind when it is less. */
    if (rv == CKR_OK && has_exact_size(operation) && written != opened)
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        *size = written;
        if (written <= room)
            memcpy(output, text, written);
        else
            rv = CKR_BUFFER_TOO_SMALL;
    }
    explicit_bzero(text, opened);
    free(text);
    return rv;
}

/* An operation that is active; it is over unless there was no room. */
static CK_RV decrypt(struct session *session, struct vks_bytes sealed, CK_BYTE *output, CK_ULONG *size)
{
    struct operation *operation = &session->operations[OPERATION_DECRYPT];
    bool is_query = !output;
    size_t opened;
    CK_RV rv = CKR_ARGUMENTS_BAD;

    if (size && (sealed.data || !sealed.size))
        rv = cipher_opened_bytes(operation, sealed.size, &opened);
    if (rv == CKR_OK && (is_query || has_exact_size(operation)))
        rv = output_check(output, size, opened, &is_query);
    if (rv == CKR_OK && !is_query)
        rv = open_into(session, sealed, opened, output, size);
    return operation_result(operation, rv, is_query);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE handle, CK_BYTE *sealed, CK_ULONG sealed_size, CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_check(&session->operations[OPERATION_DECRYPT], true);
    if (rv == CKR_OK)
        rv = decrypt(session, (struct vks_bytes){sealed, sealed_size}, output, size);
    return session_leave(session, rv);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size, CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_update(&session->operations[OPERATION_DECRYPT], part, part_size, output, size);
    if (rv == CKR_DATA_LEN_RANGE)
        rv = CKR_ENCRYPTED_DATA_LEN_RANGE;
    return session_leave(session, rv);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE handle, CK_BYTE *output, CK_ULONG *size)
{
    const struct operation *operation;
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    operation = &session->operations[OPERATION_DECRYPT];
    rv = operation_check(operation, false);
    if (rv == CKR_OK)
        rv = decrypt(session, (struct vks_bytes){operation->input.data, operation->input.size}, output, size);
    return session_leave(session, rv);
}
