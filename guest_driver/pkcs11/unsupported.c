/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that this library does not have (PKCS#11 v3.0, 5.2: each function list is complete all the same). They find
 * out what is wrong with the library's or the session's state first, as any other one.
 */
#include "module.h"
#include "session.h"

static CK_RV not_supported(CK_SESSION_HANDLE handle)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, CKR_FUNCTION_NOT_SUPPORTED) : rv;
}

/* Of a token's administration, which is the host's operator's. */
CK_RV C_InitToken(CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG pin_size, CK_BYTE *label)
{
    CK_RV rv = module_enter();

    if (rv != CKR_OK)
        return rv;
    module_leave();
    return CKR_FUNCTION_NOT_SUPPORTED;
}

/* Nobody needs a PIN. */
CK_RV C_InitPIN(CK_SESSION_HANDLE handle, CK_BYTE *pin, CK_ULONG pin_size)
{
    return not_supported(handle);
}

CK_RV C_SetPIN(CK_SESSION_HANDLE handle, CK_BYTE *old_pin, CK_ULONG old_size, CK_BYTE *new_pin, CK_ULONG new_size)
{
    return not_supported(handle);
}

/* What a session has begun is not given out. */
CK_RV C_SetOperationState(CK_SESSION_HANDLE handle, CK_BYTE *operation_state, CK_ULONG operation_state_size,
                          CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key)
{
    return not_supported(handle);
}

/* Digests need no key: programs make them themselves. */
CK_RV C_DigestInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism)
{
    return not_supported(handle);
}

CK_RV C_Digest(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size, CK_BYTE *digest, CK_ULONG *digest_size)
{
    return not_supported(handle);
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size)
{
    return not_supported(handle);
}

CK_RV C_DigestKey(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key)
{
    return not_supported(handle);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE handle, CK_BYTE *digest, CK_ULONG *digest_size)
{
    return not_supported(handle);
}

/* No mechanism recovers data from signatures. */
CK_RV C_SignRecoverInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return not_supported(handle);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size, CK_BYTE *signature,
                    CK_ULONG *signature_size)
{
    return not_supported(handle);
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return not_supported(handle);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE handle, CK_BYTE *signature, CK_ULONG signature_size, CK_BYTE *data,
                      CK_ULONG *data_size)
{
    return not_supported(handle);
}

/* Two operations at once. */
CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size, CK_BYTE *encrypted_part,
                            CK_ULONG *encrypted_part_size)
{
    return not_supported(handle);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE handle, CK_BYTE *encrypted_part, CK_ULONG encrypted_part_size,
                            CK_BYTE *part, CK_ULONG *part_size)
{
    return not_supported(handle);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size, CK_BYTE *encrypted_part,
                          CK_ULONG *encrypted_part_size)
{
    return not_supported(handle);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE handle, CK_BYTE *encrypted_part, CK_ULONG encrypted_part_size,
                            CK_BYTE *part, CK_ULONG *part_size)
{
    return not_supported(handle);
}

/* Signatures of messages (v3.0). */
CK_RV C_MessageSignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return not_supported(handle);
}

CK_RV C_SignMessage(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *data,
                    CK_ULONG data_size, CK_BYTE *signature, CK_ULONG *signature_size)
{
    return not_supported(handle);
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size)
{
    return not_supported(handle);
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *data,
                        CK_ULONG data_size, CK_BYTE *signature, CK_ULONG *signature_size)
{
    return not_supported(handle);
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE handle)
{
    return not_supported(handle);
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return not_supported(handle);
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *data,
                      CK_ULONG data_size, CK_BYTE *signature, CK_ULONG signature_size)
{
    return not_supported(handle);
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size)
{
    return not_supported(handle);
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_size, CK_BYTE *data,
                          CK_ULONG data_size, CK_BYTE *signature, CK_ULONG signature_size)
{
    return not_supported(handle);
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE handle)
{
    return not_supported(handle);
}

/* Of v3.2. Encapsulating needs the public key alone, and is not the vault's work. */
CK_RV C_EncapsulateKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE public_key,
                       CK_ATTRIBUTE *attributes, CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG *ciphertext_size,
                       CK_OBJECT_HANDLE *key)
{
    return not_supported(handle);
}

CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key, CK_BYTE *signature,
                            CK_ULONG signature_size)
{
    return not_supported(handle);
}

CK_RV C_VerifySignature(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size)
{
    return not_supported(handle);
}

CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size)
{
    return not_supported(handle);
}

CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE handle)
{
    return not_supported(handle);
}

CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE handle, CK_ULONG type, CK_FLAGS *flags)
{
    return not_supported(handle);
}

CK_RV C_AsyncComplete(CK_SESSION_HANDLE handle, CK_BYTE *function_name, void *result)
{
    return not_supported(handle);
}

CK_RV C_AsyncGetID(CK_SESSION_HANDLE handle, CK_BYTE *function_name, CK_ULONG *id)
{
    return not_supported(handle);
}

CK_RV C_AsyncJoin(CK_SESSION_HANDLE handle, CK_BYTE *function_name, CK_ULONG id, CK_BYTE *data, CK_ULONG data_out)
{
    return not_supported(handle);
}

CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
                             CK_OBJECT_HANDLE key, CK_BYTE *associated_data, CK_ULONG associated_data_size,
                             CK_BYTE *wrapped_key, CK_ULONG *wrapped_key_size)
{
    return not_supported(handle);
}

CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key,
                               CK_BYTE *wrapped_key, CK_ULONG wrapped_key_size, CK_ATTRIBUTE *attributes,
                               CK_ULONG count, CK_BYTE *associated_data, CK_ULONG associated_data_size,
                               CK_OBJECT_HANDLE *key)
{
    return not_supported(handle);
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE handle, CK_BYTE *state, CK_ULONG *size)
{
    CK_RV rv = not_supported(handle);

    return rv == CKR_FUNCTION_NOT_SUPPORTED ? CKR_STATE_UNSAVEABLE : rv;
}

/* Of parallel functions there are only these left (v3.0, 5.20). */
CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE handle)
{
    CK_RV rv = not_supported(handle);

    return rv == CKR_FUNCTION_NOT_SUPPORTED ? CKR_FUNCTION_NOT_PARALLEL : rv;
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE handle)
{
    return C_GetFunctionStatus(handle);
}
