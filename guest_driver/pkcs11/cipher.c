/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include "cipher.h"

#include <stdlib.h>
#include <string.h>

#include "key_type.h"

#define WRAP_UNIT 8 /* RFC 3394 */

static size_t rsa_bytes(const struct operation *operation)
{
    return key_type_find(operation->key.key.type)->signature_bytes;
}

CK_RV cipher_sealed_bytes(const struct operation *operation, size_t size, size_t *sealed)
{
    /* In front of everything that is computed with it. */
    if (size > VKS_INPUT_BYTES_MAX)
        return CKR_DATA_LEN_RANGE;
    switch (operation->parameter.vks) {
    case VKS_MECHANISM_RSA_OAEP_SHA1:
    case VKS_MECHANISM_RSA_OAEP_SHA256:
    case VKS_MECHANISM_RSA_OAEP_SHA384:
    case VKS_MECHANISM_RSA_OAEP_SHA512:
        *sealed = rsa_bytes(operation);
        return CKR_OK;
    case VKS_MECHANISM_AES_KW:
    case VKS_MECHANISM_AES_KWP:
        *sealed = (size + WRAP_UNIT - 1) / WRAP_UNIT * WRAP_UNIT + WRAP_UNIT;
        return size <= VKS_KEY_WRAP_BYTES_MAX ? CKR_OK : CKR_DATA_LEN_RANGE;
    case VKS_MECHANISM_AES_XTS:
        *sealed = size;
        return CKR_OK;
    default:
        *sealed = size + PARAMETER_TAG_BYTES;
        return CKR_OK;
    }
}

CK_RV cipher_opened_bytes(const struct operation *operation, size_t size, size_t *opened)
{
    size_t more = 0;

    switch (operation->parameter.vks) {
    case VKS_MECHANISM_RSA_OAEP_SHA1:
    case VKS_MECHANISM_RSA_OAEP_SHA256:
    case VKS_MECHANISM_RSA_OAEP_SHA384:
    case VKS_MECHANISM_RSA_OAEP_SHA512:
        *opened = rsa_bytes(operation);
        return size == *opened ? CKR_OK : CKR_ENCRYPTED_DATA_LEN_RANGE;
    case VKS_MECHANISM_AES_KW:
    case VKS_MECHANISM_AES_KWP:
        more = WRAP_UNIT;
        break;
    case VKS_MECHANISM_AES_CBC:
    case VKS_MECHANISM_AES_CTR:
    case VKS_MECHANISM_AES_XTS:
        break;
    default:
        more = PARAMETER_TAG_BYTES;
        break;
    }
    if (size < more || size > VKS_INPUT_BYTES_MAX - PARAMETER_BLOCK_BYTES)
        return CKR_ENCRYPTED_DATA_LEN_RANGE;
    *opened = size - more;
    return CKR_OK;
}

/* Whether the device's ciphertext begins with what PKCS#11 has in the parameter. */
static bool has_front(const struct operation *operation)
{
    return operation->parameter.nonce_size && operation->mechanism->form != FORM_XTS;
}

static void fill(const struct operation *operation, struct vks_request *request)
{
    const struct buffer *extra = &operation->parameter.extra;
    struct vks_bytes bytes = {extra->data, extra->size};

    request->use.mechanism = operation->parameter.vks;
    if (operation->mechanism->form == FORM_OAEP)
        request->parameter = bytes;
    else
        request->aad = bytes;
    if (operation->mechanism->form == FORM_XTS)
        request->parameter = (struct vks_bytes){operation->parameter.nonce, operation->parameter.nonce_size};
}

static void wipe_free(void *data, size_t size)
{
    if (data)
        explicit_bzero(data, size);
    free(data);
}

CK_RV cipher_seal(struct token *token, const struct operation *operation, struct vks_bytes text, uint8_t *output,
                  size_t *size)
{
    size_t front = has_front(operation) ? operation->parameter.nonce_size : 0, sealed;
    struct vks_request request = {.op = VKS_OP_ENCRYPT, .input = text};
    uint8_t *whole = NULL;
    CK_RV rv = cipher_sealed_bytes(operation, text.size, &sealed);

    if (rv != CKR_OK)
        return rv;
    if (front && !(whole = malloc(front + sealed)))
        return CKR_HOST_MEMORY;
    fill(operation, &request);
    if (front)
        request.parameter = (struct vks_bytes){operation->parameter.nonce, front};
    request.output = whole ? whole : output;
    request.output_size = front + sealed;
    rv = status_rv(key_submit(token, &operation->key, &request), STATUS_PROTECT);
    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && request.output_written != front + sealed))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK && whole)
        memcpy(output, whole + front, sealed);
    *size = sealed;
    free(whole);
    return rv;
}

CK_RV cipher_open(struct token *token, const struct operation *operation, struct vks_bytes sealed, enum status_use use,
                  uint8_t *output, size_t *size)
{
    size_t front = has_front(operation) ? operation->parameter.nonce_size : 0, opened;
    struct vks_request request = {.op = VKS_OP_DECRYPT, .input = sealed};
    uint8_t *whole = NULL;
    CK_RV rv = cipher_opened_bytes(operation, sealed.size, &opened);

    if (rv != CKR_OK)
        return rv;
    if (front) {
        whole = malloc(front + sealed.size);
        if (!whole)
            return CKR_HOST_MEMORY;
        memcpy(whole, operation->parameter.nonce, front);
        if (sealed.size)
            memcpy(whole + front, sealed.data, sealed.size);
        request.input = (struct vks_bytes){whole, front + sealed.size};
    }
    fill(operation, &request);
    request.output = output;
    request.output_size = opened;
    rv = status_rv(key_submit(token, &operation->key, &request), use);
    if (rv == CKR_BUFFER_TOO_SMALL)
        rv = CKR_DEVICE_ERROR;
    *size = rv == CKR_OK ? request.output_written : 0;
    wipe_free(whole, front + sealed.size);
    return rv;
}
