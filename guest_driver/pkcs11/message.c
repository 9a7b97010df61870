/* SPDX-License-Identifier: BSD-3-Clause */
/* A message, its nonce and its tag, as the device takes and gives them. */
#define _GNU_SOURCE /* explicit_bzero */
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "message.h"

/* Where a message's nonce and tag are, whichever mechanism. */
struct message {
    uint8_t *nonce, *tag;
    bool is_generated;
};

static CK_RV read_gcm(const void *given, CK_ULONG size, struct message *message)
{
    CK_GCM_MESSAGE_PARAMS gcm;

    if (size != sizeof(gcm))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&gcm, given, sizeof(gcm));
    /* A part that the caller fixes is none that the device could know. */
    if (gcm.ulIvLen != PARAMETER_NONCE_BYTES || gcm.ulTagBits != 8 * PARAMETER_TAG_BYTES ||
        gcm.ivGenerator > CKG_GENERATE_RANDOM || (gcm.ivGenerator != CKG_NO_GENERATE && gcm.ulIvFixedBits))
        return CKR_MECHANISM_PARAM_INVALID;
    *message = (struct message){gcm.pIv, gcm.pTag, gcm.ivGenerator != CKG_NO_GENERATE};
    return CKR_OK;
}

static CK_RV read_chacha20(const void *given, CK_ULONG size, struct message *message)
{
    CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS chacha;

    if (size != sizeof(chacha))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&chacha, given, sizeof(chacha));
    if (chacha.ulNonceLen != PARAMETER_NONCE_BYTES)
        return CKR_MECHANISM_PARAM_INVALID;
    *message = (struct message){chacha.pNonce, chacha.pTag, false};
    return CKR_OK;
}

static CK_RV read_message(const struct operation *operation, const void *given, CK_ULONG size, struct message *message)
{
    CK_RV rv;

    if (!given)
        return CKR_MECHANISM_PARAM_INVALID;
    rv = operation->mechanism->form == FORM_GCM ? read_gcm(given, size, message) : read_chacha20(given, size, message);
    return rv == CKR_OK && (!message->nonce || !message->tag) ? CKR_MECHANISM_PARAM_INVALID : rv;
}

/* The mechanism of the device, by whose nonce it is. */
static uint32_t choose(const struct operation *operation, bool is_device_nonce)
{
    if (operation->mechanism->form == FORM_GCM)
        return is_device_nonce ? VKS_MECHANISM_AES_GCM : VKS_MECHANISM_AES_GCM_OWN_NONCE;
    return is_device_nonce ? VKS_MECHANISM_CHACHA20_POLY1305 : VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE;
}

/* @whole: nonce, ciphertext, tag, as the device has them. */
static CK_RV seal_message(struct session *session, const struct message *message, struct vks_bytes aad,
                          struct vks_bytes text, uint8_t *whole, uint8_t *output)
{
    const struct operation *operation = &session->operations[OPERATION_MESSAGE_ENCRYPT];
    struct vks_request request = {.op = VKS_OP_ENCRYPT, .aad = aad, .input = text, .output = whole};
    size_t whole_size = PARAMETER_NONCE_BYTES + text.size + PARAMETER_TAG_BYTES;
    CK_RV rv;

    request.use.mechanism = choose(operation, message->is_generated);
    rv = parameter_granted(&operation->key, request.use.mechanism);
    if (rv != CKR_OK)
        return rv;
    if (!message->is_generated)
        request.parameter = (struct vks_bytes){message->nonce, PARAMETER_NONCE_BYTES};
    request.output_size = whole_size;
    rv = status_rv(key_submit(session->token, &operation->key, &request), STATUS_PROTECT);
    if (rv != CKR_OK)
        return rv == CKR_BUFFER_TOO_SMALL ? CKR_DEVICE_ERROR : rv;
    if (request.output_written != whole_size)
        return CKR_DEVICE_ERROR;
    memcpy(message->nonce, whole, PARAMETER_NONCE_BYTES);
    if (text.size)
        memcpy(output, whole + PARAMETER_NONCE_BYTES, text.size);
    memcpy(message->tag, whole + PARAMETER_NONCE_BYTES + text.size, PARAMETER_TAG_BYTES);
    return CKR_OK;
}

static CK_RV open_message(struct session *session, const struct message *message, struct vks_bytes aad,
                          struct vks_bytes sealed, uint8_t *whole, uint8_t *output)
{
    const struct operation *operation = &session->operations[OPERATION_MESSAGE_DECRYPT];
    size_t whole_size = PARAMETER_NONCE_BYTES + sealed.size + PARAMETER_TAG_BYTES;
    struct vks_request request = {
        .op = VKS_OP_DECRYPT,
        .aad = aad,
        .input = {whole, whole_size},
        .output = output,
        .output_size = sealed.size,
    };
    bool is_device_nonce = !!(operation->key.key.mechanism_mask >> choose(operation, true) & 1);
    CK_RV rv;

    memcpy(whole, message->nonce, PARAMETER_NONCE_BYTES);
    if (sealed.size)
        memcpy(whole + PARAMETER_NONCE_BYTES, sealed.data, sealed.size);
    memcpy(whole + PARAMETER_NONCE_BYTES + sealed.size, message->tag, PARAMETER_TAG_BYTES);
    request.use.mechanism = choose(operation, is_device_nonce);
    rv = status_rv(key_submit(session->token, &operation->key, &request), STATUS_DECRYPT_AEAD);
    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && request.output_written != sealed.size))
        rv = CKR_DEVICE_ERROR;
    return rv;
}

CK_RV message_check(const struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                    struct vks_bytes aad)
{
    struct message message;
    CK_RV rv = operation_check(&session->operations[kind], true);

    if (rv != CKR_OK)
        return rv;
    if (aad.size && !aad.data)
        return CKR_ARGUMENTS_BAD;
    if (aad.size > VKS_AAD_BYTES_MAX)
        return kind == OPERATION_MESSAGE_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
    return read_message(&session->operations[kind], parameter->given, parameter->size, &message);
}

CK_RV message_run(struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                  struct vks_bytes aad, struct vks_bytes input, uint8_t *output)
{
    size_t whole_size = PARAMETER_NONCE_BYTES + input.size + PARAMETER_TAG_BYTES;
    struct message message;
    uint8_t *whole;
    CK_RV rv = read_message(&session->operations[kind], parameter->given, parameter->size, &message);

    if (rv != CKR_OK)
        return rv;
    whole = malloc(whole_size);
    if (!whole)
        return CKR_HOST_MEMORY;
    rv = kind == OPERATION_MESSAGE_ENCRYPT ? seal_message(session, &message, aad, input, whole, output)
                                           : open_message(session, &message, aad, input, whole, output);
    free(whole);
    return rv;
}
