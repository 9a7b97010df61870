/* SPDX-License-Identifier: BSD-3-Clause */
#include "status.h"

#include <errno.h>

#include "vks.h"

/* Of the statuses that mean something else for each use. */
static const struct {
    CK_RV auth_failed, input_size, no_key, limit;
} by_use[STATUS_USE_COUNT] = {
    [STATUS_PROTECT] = {CKR_FUNCTION_FAILED, CKR_DATA_LEN_RANGE, CKR_KEY_HANDLE_INVALID, CKR_KEY_EXHAUSTED},
    [STATUS_VERIFY] = {CKR_SIGNATURE_INVALID, CKR_DATA_LEN_RANGE, CKR_KEY_HANDLE_INVALID, CKR_KEY_EXHAUSTED},
    [STATUS_DECRYPT] = {CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_KEY_HANDLE_INVALID,
                        CKR_KEY_EXHAUSTED},
    [STATUS_DECRYPT_AEAD] = {CKR_AEAD_DECRYPT_FAILED, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_KEY_HANDLE_INVALID,
                             CKR_KEY_EXHAUSTED},
    [STATUS_UNWRAP] = {CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE, CKR_KEY_HANDLE_INVALID, CKR_KEY_EXHAUSTED},
    [STATUS_DERIVE] = {CKR_MECHANISM_PARAM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_KEY_HANDLE_INVALID,
                       CKR_KEY_EXHAUSTED},
    [STATUS_OBJECT] = {CKR_FUNCTION_FAILED, CKR_ATTRIBUTE_VALUE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_DEVICE_MEMORY},
};

static CK_RV of_errno(int error)
{
    switch (error) {
    case ENOMEM:
        return CKR_HOST_MEMORY;
    case E2BIG:
        return CKR_DATA_LEN_RANGE;
    case EOPNOTSUPP:
    case ENOTTY:
        return CKR_TOKEN_NOT_RECOGNIZED;
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return CKR_DEVICE_REMOVED;
    default:
        return CKR_DEVICE_ERROR;
    }
}

CK_RV status_rv(int error, enum status_use use)
{
    if (error < 0)
        return of_errno(-error);
    switch (error) {
    case VKS_STATUS_OK:
        return CKR_OK;
    case VKS_STATUS_FOREIGN_NOTSUPP:
    case VKS_STATUS_VERSION:
        return CKR_TOKEN_NOT_RECOGNIZED;
    case VKS_STATUS_MALFORMED:
        return CKR_GENERAL_ERROR;
    case VKS_STATUS_UNSUPPORTED:
        return CKR_MECHANISM_INVALID;
    case VKS_STATUS_NO_KEY:
        return by_use[use].no_key;
    case VKS_STATUS_DENIED:
    case VKS_STATUS_KEY_STATE:
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    case VKS_STATUS_LIMIT:
        return by_use[use].limit;
    case VKS_STATUS_AUTH_FAILED:
        return by_use[use].auth_failed;
    case VKS_STATUS_INPUT_SIZE:
        return by_use[use].input_size;
    case VKS_STATUS_OUTPUT_SIZE:
        return CKR_BUFFER_TOO_SMALL;
    case VKS_STATUS_UNAVAILABLE:
        return CKR_FUNCTION_FAILED;
    case VKS_STATUS_EXISTS:
        return CKR_ATTRIBUTE_VALUE_INVALID;
    case VKS_STATUS_INTERNAL:
    default:
        return CKR_DEVICE_ERROR;
    }
}
