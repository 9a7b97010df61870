/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The functions of PKCS#11 in the order of its function lists: X(name, (arguments)). OASIS, PKCS #11 Version 3.0,
 * section 5 and pkcs11f.h; Version 3.2 for the last list. Included by cryptoki.h, which has the types.
 */
#ifndef CRYPTOKI_FUNCTIONS_H
#define CRYPTOKI_FUNCTIONS_H

#define CK_FUNCTIONS_2_40(X)                                                                                           \
    X(C_Initialize, (void *pInitArgs))                                                                                 \
    X(C_Finalize, (void *pReserved))                                                                                   \
    X(C_GetInfo, (CK_INFO * pInfo))                                                                                    \
    X(C_GetFunctionList, (struct CK_FUNCTION_LIST * *ppFunctionList))                                                  \
    X(C_GetSlotList, (CK_BBOOL tokenPresent, CK_SLOT_ID * pSlotList, CK_ULONG * pulCount))                             \
    X(C_GetSlotInfo, (CK_SLOT_ID slotID, CK_SLOT_INFO * pInfo))                                                        \
    X(C_GetTokenInfo, (CK_SLOT_ID slotID, CK_TOKEN_INFO * pInfo))                                                      \
    X(C_GetMechanismList, (CK_SLOT_ID slotID, CK_MECHANISM_TYPE * pMechanismList, CK_ULONG * pulCount))                \
    X(C_GetMechanismInfo, (CK_SLOT_ID slotID, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO * pInfo))                      \
    X(C_InitToken, (CK_SLOT_ID slotID, CK_BYTE * pPin, CK_ULONG ulPinLen, CK_BYTE * pLabel))                           \
    X(C_InitPIN, (CK_SESSION_HANDLE hSession, CK_BYTE * pPin, CK_ULONG ulPinLen))                                      \
    X(C_SetPIN,                                                                                                        \
      (CK_SESSION_HANDLE hSession, CK_BYTE * pOldPin, CK_ULONG ulOldLen, CK_BYTE * pNewPin, CK_ULONG ulNewLen))        \
    X(C_OpenSession,                                                                                                   \
      (CK_SLOT_ID slotID, CK_FLAGS flags, void *pApplication, CK_NOTIFY Notify, CK_SESSION_HANDLE *phSession))         \
    X(C_CloseSession, (CK_SESSION_HANDLE hSession))                                                                    \
    X(C_CloseAllSessions, (CK_SLOT_ID slotID))                                                                         \
    X(C_GetSessionInfo, (CK_SESSION_HANDLE hSession, CK_SESSION_INFO * pInfo))                                         \
    X(C_GetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE * pOperationState, CK_ULONG * pulOperationStateLen))   \
    X(C_SetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE * pOperationState, CK_ULONG ulOperationStateLen,       \
                            CK_OBJECT_HANDLE hEncryptionKey, CK_OBJECT_HANDLE hAuthenticationKey))                     \
    X(C_Login, (CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_BYTE * pPin, CK_ULONG ulPinLen))                 \
    X(C_Logout, (CK_SESSION_HANDLE hSession))                                                                          \
    X(C_CreateObject,                                                                                                  \
      (CK_SESSION_HANDLE hSession, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount, CK_OBJECT_HANDLE * phObject))           \
    X(C_CopyObject, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount, \
                     CK_OBJECT_HANDLE * phNewObject))                                                                  \
    X(C_DestroyObject, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject))                                         \
    X(C_GetObjectSize, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ULONG * pulSize))                     \
    X(C_GetAttributeValue,                                                                                             \
      (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount))              \
    X(C_SetAttributeValue,                                                                                             \
      (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount))              \
    X(C_FindObjectsInit, (CK_SESSION_HANDLE hSession, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount))                     \
    X(C_FindObjects,                                                                                                   \
      (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE * phObject, CK_ULONG ulMaxObjectCount, CK_ULONG * pulObjectCount)) \
    X(C_FindObjectsFinal, (CK_SESSION_HANDLE hSession))                                                                \
    X(C_EncryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))                   \
    X(C_Encrypt, (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen, CK_BYTE * pEncryptedData,           \
                  CK_ULONG * pulEncryptedDataLen))                                                                     \
    X(C_EncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen, CK_BYTE * pEncryptedPart,     \
                        CK_ULONG * pulEncryptedPartLen))                                                               \
    X(C_EncryptFinal, (CK_SESSION_HANDLE hSession, CK_BYTE * pLastEncryptedPart, CK_ULONG * pulLastEncryptedPartLen))  \
    X(C_DecryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))                   \
    X(C_Decrypt, (CK_SESSION_HANDLE hSession, CK_BYTE * pEncryptedData, CK_ULONG ulEncryptedDataLen, CK_BYTE * pData,  \
                  CK_ULONG * pulDataLen))                                                                              \
    X(C_DecryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pEncryptedPart, CK_ULONG ulEncryptedPartLen,             \
                        CK_BYTE * pPart, CK_ULONG * pulPartLen))                                                       \
    X(C_DecryptFinal, (CK_SESSION_HANDLE hSession, CK_BYTE * pLastPart, CK_ULONG * pulLastPartLen))                    \
    X(C_DigestInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism))                                           \
    X(C_Digest,                                                                                                        \
      (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen, CK_BYTE * pDigest, CK_ULONG * pulDigestLen))   \
    X(C_DigestUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen))                               \
    X(C_DigestKey, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hKey))                                                \
    X(C_DigestFinal, (CK_SESSION_HANDLE hSession, CK_BYTE * pDigest, CK_ULONG * pulDigestLen))                         \
    X(C_SignInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))                      \
    X(C_Sign, (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen, CK_BYTE * pSignature,                  \
               CK_ULONG * pulSignatureLen))                                                                            \
    X(C_SignUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen))                                 \
    X(C_SignFinal, (CK_SESSION_HANDLE hSession, CK_BYTE * pSignature, CK_ULONG * pulSignatureLen))                     \
    X(C_SignRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))               \
    X(C_SignRecover, (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen, CK_BYTE * pSignature,           \
                      CK_ULONG * pulSignatureLen))                                                                     \
    X(C_VerifyInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))                    \
    X(C_Verify, (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen, CK_BYTE * pSignature,                \
                 CK_ULONG ulSignatureLen))                                                                             \
    X(C_VerifyUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen))                               \
    X(C_VerifyFinal, (CK_SESSION_HANDLE hSession, CK_BYTE * pSignature, CK_ULONG ulSignatureLen))                      \
    X(C_VerifyRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))             \
    X(C_VerifyRecover, (CK_SESSION_HANDLE hSession, CK_BYTE * pSignature, CK_ULONG ulSignatureLen, CK_BYTE * pData,    \
                        CK_ULONG * pulDataLen))                                                                        \
    X(C_DigestEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen,                         \
                              CK_BYTE * pEncryptedPart, CK_ULONG * pulEncryptedPartLen))                               \
    X(C_DecryptDigestUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pEncryptedPart, CK_ULONG ulEncryptedPartLen,       \
                              CK_BYTE * pPart, CK_ULONG * pulPartLen))                                                 \
    X(C_SignEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen, CK_BYTE * pEncryptedPart, \
                            CK_ULONG * pulEncryptedPartLen))                                                           \
    X(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pEncryptedPart, CK_ULONG ulEncryptedPartLen,       \
                              CK_BYTE * pPart, CK_ULONG * pulPartLen))                                                 \
    X(C_GenerateKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_ATTRIBUTE * pTemplate,                 \
                      CK_ULONG ulCount, CK_OBJECT_HANDLE * phKey))                                                     \
    X(C_GenerateKeyPair, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_ATTRIBUTE * pPublicTemplate,       \
                          CK_ULONG ulPublicCount, CK_ATTRIBUTE * pPrivateTemplate, CK_ULONG ulPrivateCount,            \
                          CK_OBJECT_HANDLE * phPublicKey, CK_OBJECT_HANDLE * phPrivateKey))                            \
    X(C_WrapKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hWrappingKey,                \
                  CK_OBJECT_HANDLE hKey, CK_BYTE * pWrappedKey, CK_ULONG * pulWrappedKeyLen))                          \
    X(C_UnwrapKey,                                                                                                     \
      (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hUnwrappingKey, CK_BYTE * pWrappedKey,  \
       CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount, CK_OBJECT_HANDLE * phKey))                \
    X(C_DeriveKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hBaseKey,                  \
                    CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount, CK_OBJECT_HANDLE * phKey))                             \
    X(C_SeedRandom, (CK_SESSION_HANDLE hSession, CK_BYTE * pSeed, CK_ULONG ulSeedLen))                                 \
    X(C_GenerateRandom, (CK_SESSION_HANDLE hSession, CK_BYTE * pRandomData, CK_ULONG ulRandomLen))                     \
    X(C_GetFunctionStatus, (CK_SESSION_HANDLE hSession))                                                               \
    X(C_CancelFunction, (CK_SESSION_HANDLE hSession))                                                                  \
    X(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID * pSlot, void *pReserved))

#define CK_FUNCTIONS_3_0(X)                                                                                            \
    X(C_GetInterfaceList, (CK_INTERFACE * pInterfacesList, CK_ULONG * pulCount))                                       \
    X(C_GetInterface, (CK_BYTE * pInterfaceName, CK_VERSION * pVersion, CK_INTERFACE * *ppInterface, CK_FLAGS flags))  \
    X(C_LoginUser, (CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_BYTE * pPin, CK_ULONG ulPinLen,              \
                    CK_BYTE * pUsername, CK_ULONG ulUsernameLen))                                                      \
    X(C_SessionCancel, (CK_SESSION_HANDLE hSession, CK_FLAGS flags))                                                   \
    X(C_MessageEncryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))            \
    X(C_EncryptMessage, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen,                        \
                         CK_BYTE *pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_BYTE *pPlaintext,                  \
                         CK_ULONG ulPlaintextLen, CK_BYTE *pCiphertext, CK_ULONG *pulCiphertextLen))                   \
    X(C_EncryptMessageBegin, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen,                   \
                              CK_BYTE *pAssociatedData, CK_ULONG ulAssociatedDataLen))                                 \
    X(C_EncryptMessageNext,                                                                                            \
      (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pPlaintextPart,                 \
       CK_ULONG ulPlaintextPartLen, CK_BYTE *pCiphertextPart, CK_ULONG *pulCiphertextPartLen, CK_FLAGS flags))         \
    X(C_MessageEncryptFinal, (CK_SESSION_HANDLE hSession))                                                             \
    X(C_MessageDecryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))            \
    X(C_DecryptMessage, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen,                        \
                         CK_BYTE *pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_BYTE *pCiphertext,                 \
                         CK_ULONG ulCiphertextLen, CK_BYTE *pPlaintext, CK_ULONG *pulPlaintextLen))                    \
    X(C_DecryptMessageBegin, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen,                   \
                              CK_BYTE *pAssociatedData, CK_ULONG ulAssociatedDataLen))                                 \
    X(C_DecryptMessageNext,                                                                                            \
      (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pCiphertextPart,                \
       CK_ULONG ulCiphertextPartLen, CK_BYTE *pPlaintextPart, CK_ULONG *pulPlaintextPartLen, CK_FLAGS flags))          \
    X(C_MessageDecryptFinal, (CK_SESSION_HANDLE hSession))                                                             \
    X(C_MessageSignInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))               \
    X(C_SignMessage, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pData,           \
                      CK_ULONG ulDataLen, CK_BYTE *pSignature, CK_ULONG *pulSignatureLen))                             \
    X(C_SignMessageBegin, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen))                     \
    X(C_SignMessageNext, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pData,       \
                          CK_ULONG ulDataLen, CK_BYTE *pSignature, CK_ULONG *pulSignatureLen))                         \
    X(C_MessageSignFinal, (CK_SESSION_HANDLE hSession))                                                                \
    X(C_MessageVerifyInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey))             \
    X(C_VerifyMessage, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pData,         \
                        CK_ULONG ulDataLen, CK_BYTE *pSignature, CK_ULONG ulSignatureLen))                             \
    X(C_VerifyMessageBegin, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen))                   \
    X(C_VerifyMessageNext, (CK_SESSION_HANDLE hSession, void *pParameter, CK_ULONG ulParameterLen, CK_BYTE *pData,     \
                            CK_ULONG ulDataLen, CK_BYTE *pSignature, CK_ULONG ulSignatureLen))                         \
    X(C_MessageVerifyFinal, (CK_SESSION_HANDLE hSession))

#define CK_FUNCTIONS_3_2(X)                                                                                            \
    X(C_EncapsulateKey,                                                                                                \
      (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hPublicKey, CK_ATTRIBUTE * pTemplate,   \
       CK_ULONG ulCount, CK_BYTE * pCiphertext, CK_ULONG * pulCiphertextLen, CK_OBJECT_HANDLE * phKey))                \
    X(C_DecapsulateKey,                                                                                                \
      (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hPrivateKey, CK_ATTRIBUTE * pTemplate,  \
       CK_ULONG ulCount, CK_BYTE * pCiphertext, CK_ULONG ulCiphertextLen, CK_OBJECT_HANDLE * phKey))                   \
    X(C_VerifySignatureInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hKey,            \
                              CK_BYTE * pSignature, CK_ULONG ulSignatureLen))                                          \
    X(C_VerifySignature, (CK_SESSION_HANDLE hSession, CK_BYTE * pData, CK_ULONG ulDataLen))                            \
    X(C_VerifySignatureUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE * pPart, CK_ULONG ulPartLen))                      \
    X(C_VerifySignatureFinal, (CK_SESSION_HANDLE hSession))                                                            \
    X(C_GetSessionValidationFlags, (CK_SESSION_HANDLE hSession, CK_ULONG type, CK_FLAGS * pFlags))                     \
    X(C_AsyncComplete, (CK_SESSION_HANDLE hSession, CK_BYTE * pFunctionName, void *pResult))                           \
    X(C_AsyncGetID, (CK_SESSION_HANDLE hSession, CK_BYTE * pFunctionName, CK_ULONG * pulID))                           \
    X(C_AsyncJoin,                                                                                                     \
      (CK_SESSION_HANDLE hSession, CK_BYTE * pFunctionName, CK_ULONG ulID, CK_BYTE * pData, CK_ULONG ulData))          \
    X(C_WrapKeyAuthenticated,                                                                                          \
      (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hWrappingKey, CK_OBJECT_HANDLE hKey,    \
       CK_BYTE * pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_BYTE * pWrappedKey, CK_ULONG * pulWrappedKeyLen))   \
    X(C_UnwrapKeyAuthenticated,                                                                                        \
      (CK_SESSION_HANDLE hSession, CK_MECHANISM * pMechanism, CK_OBJECT_HANDLE hUnwrappingKey, CK_BYTE * pWrappedKey,  \
       CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE * pTemplate, CK_ULONG ulCount, CK_BYTE * pAssociatedData,                \
       CK_ULONG ulAssociatedDataLen, CK_OBJECT_HANDLE * phKey))

#endif
