/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names and numbers of PKCS#11 that this module uses, as OASIS publishes them: PKCS #11 Specification Version 3.0, and
 * Version 3.2 for post-quantum keys, appendix "Manifest constants".
 */
#ifndef CRYPTOKI_VALUES_H
#define CRYPTOKI_VALUES_H

#define CK_TRUE                    1
#define CK_FALSE                   0
#define CK_INVALID_HANDLE          0UL
#define CK_UNAVAILABLE_INFORMATION (~0UL)
#define CK_EFFECTIVELY_INFINITE    0UL

/* Return values. */
#define CKR_OK                               0x000UL
#define CKR_HOST_MEMORY                      0x002UL
#define CKR_SLOT_ID_INVALID                  0x003UL
#define CKR_GENERAL_ERROR                    0x005UL
#define CKR_FUNCTION_FAILED                  0x006UL
#define CKR_ARGUMENTS_BAD                    0x007UL
#define CKR_NO_EVENT                         0x008UL
#define CKR_CANT_LOCK                        0x00aUL
#define CKR_ATTRIBUTE_READ_ONLY              0x010UL
#define CKR_ATTRIBUTE_SENSITIVE              0x011UL
#define CKR_ATTRIBUTE_TYPE_INVALID           0x012UL
#define CKR_ATTRIBUTE_VALUE_INVALID          0x013UL
#define CKR_ACTION_PROHIBITED                0x01bUL
#define CKR_DATA_INVALID                     0x020UL
#define CKR_DATA_LEN_RANGE                   0x021UL
#define CKR_DEVICE_ERROR                     0x030UL
#define CKR_DEVICE_MEMORY                    0x031UL
#define CKR_DEVICE_REMOVED                   0x032UL
#define CKR_AEAD_DECRYPT_FAILED              0x035UL
#define CKR_ENCRYPTED_DATA_INVALID           0x040UL
#define CKR_ENCRYPTED_DATA_LEN_RANGE         0x041UL
#define CKR_FUNCTION_NOT_PARALLEL            0x051UL
#define CKR_FUNCTION_NOT_SUPPORTED           0x054UL
#define CKR_KEY_HANDLE_INVALID               0x060UL
#define CKR_KEY_SIZE_RANGE                   0x062UL
#define CKR_KEY_TYPE_INCONSISTENT            0x063UL
#define CKR_KEY_FUNCTION_NOT_PERMITTED       0x068UL
#define CKR_KEY_NOT_WRAPPABLE                0x069UL
#define CKR_KEY_UNEXTRACTABLE                0x06aUL
#define CKR_MECHANISM_INVALID                0x070UL
#define CKR_MECHANISM_PARAM_INVALID          0x071UL
#define CKR_OBJECT_HANDLE_INVALID            0x082UL
#define CKR_OPERATION_ACTIVE                 0x090UL
#define CKR_OPERATION_NOT_INITIALIZED        0x091UL
#define CKR_SESSION_COUNT                    0x0b1UL
#define CKR_SESSION_HANDLE_INVALID           0x0b3UL
#define CKR_SESSION_PARALLEL_NOT_SUPPORTED   0x0b4UL
#define CKR_SESSION_READ_ONLY                0x0b5UL
#define CKR_SIGNATURE_INVALID                0x0c0UL
#define CKR_SIGNATURE_LEN_RANGE              0x0c1UL
#define CKR_TEMPLATE_INCOMPLETE              0x0d0UL
#define CKR_TEMPLATE_INCONSISTENT            0x0d1UL
#define CKR_TOKEN_NOT_PRESENT                0x0e0UL
#define CKR_TOKEN_NOT_RECOGNIZED             0x0e1UL
#define CKR_TOKEN_WRITE_PROTECTED            0x0e2UL
#define CKR_UNWRAPPING_KEY_HANDLE_INVALID    0x0f0UL
#define CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT 0x0f2UL
#define CKR_USER_ALREADY_LOGGED_IN           0x100UL
#define CKR_USER_NOT_LOGGED_IN               0x101UL
#define CKR_USER_TYPE_INVALID                0x103UL
#define CKR_WRAPPED_KEY_INVALID              0x110UL
#define CKR_WRAPPED_KEY_LEN_RANGE            0x112UL
#define CKR_WRAPPING_KEY_HANDLE_INVALID      0x113UL
#define CKR_WRAPPING_KEY_TYPE_INCONSISTENT   0x115UL
#define CKR_RANDOM_SEED_NOT_SUPPORTED        0x120UL
#define CKR_CURVE_NOT_SUPPORTED              0x140UL
#define CKR_BUFFER_TOO_SMALL                 0x150UL
#define CKR_STATE_UNSAVEABLE                 0x180UL
#define CKR_CRYPTOKI_NOT_INITIALIZED         0x190UL
#define CKR_CRYPTOKI_ALREADY_INITIALIZED     0x191UL
#define CKR_KEY_EXHAUSTED                    0x203UL

/* Flags of C_Initialize, slots, tokens, sessions and interfaces. */
#define CKF_LIBRARY_CANT_CREATE_OS_THREADS 0x1UL
#define CKF_OS_LOCKING_OK                  0x2UL
#define CKF_TOKEN_PRESENT                  0x1UL
#define CKF_REMOVABLE_DEVICE               0x2UL
#define CKF_HW_SLOT                        0x4UL
#define CKF_RNG                            0x1UL
#define CKF_LOGIN_REQUIRED                 0x4UL
#define CKF_USER_PIN_INITIALIZED           0x8UL
#define CKF_TOKEN_INITIALIZED              0x400UL
#define CKF_RW_SESSION                     0x2UL
#define CKF_SERIAL_SESSION                 0x4UL
#define CKF_DONT_BLOCK                     0x1UL
#define CKF_INTERFACE_FORK_SAFE            0x1UL

/* Flags of mechanisms; C_SessionCancel takes them too. */
#define CKF_HW                0x00000001UL
#define CKF_MESSAGE_ENCRYPT   0x00000002UL
#define CKF_MESSAGE_DECRYPT   0x00000004UL
#define CKF_FIND_OBJECTS      0x00000040UL
#define CKF_ENCRYPT           0x00000100UL
#define CKF_DECRYPT           0x00000200UL
#define CKF_SIGN              0x00000800UL
#define CKF_VERIFY            0x00002000UL
#define CKF_GENERATE          0x00008000UL
#define CKF_GENERATE_KEY_PAIR 0x00010000UL
#define CKF_WRAP              0x00020000UL
#define CKF_UNWRAP            0x00040000UL
#define CKF_DERIVE            0x00080000UL
#define CKF_EC_F_P            0x00100000UL
#define CKF_EC_OID            0x00800000UL
#define CKF_EC_UNCOMPRESS     0x01000000UL
#define CKF_DECAPSULATE       0x20000000UL

#define CKU_SO               0UL
#define CKU_USER             1UL
#define CKU_CONTEXT_SPECIFIC 2UL

#define CKS_RO_PUBLIC_SESSION 0UL
#define CKS_RO_USER_FUNCTIONS 1UL
#define CKS_RW_PUBLIC_SESSION 2UL
#define CKS_RW_USER_FUNCTIONS 3UL

#define CKO_CERTIFICATE 1UL
#define CKO_PUBLIC_KEY  2UL
#define CKO_PRIVATE_KEY 3UL
#define CKO_SECRET_KEY  4UL

#define CKC_X_509 0UL

#define CK_CERTIFICATE_CATEGORY_UNSPECIFIED 0UL
#define CK_CERTIFICATE_CATEGORY_AUTHORITY   2UL
#define CK_SECURITY_DOMAIN_UNSPECIFIED      0UL

#define CKK_RSA            0x00UL
#define CKK_EC             0x03UL
#define CKK_GENERIC_SECRET 0x10UL
#define CKK_AES            0x1fUL
#define CKK_SHA256_HMAC    0x2bUL
#define CKK_SHA384_HMAC    0x2cUL
#define CKK_SHA512_HMAC    0x2dUL
#define CKK_CHACHA20       0x33UL
#define CKK_AES_XTS        0x35UL
#define CKK_EC_EDWARDS     0x40UL
#define CKK_EC_MONTGOMERY  0x41UL
#define CKK_ML_KEM         0x49UL /* 3.2 */
#define CKK_ML_DSA         0x4aUL /* 3.2 */

#define CKA_CLASS                      0x000UL
#define CKA_TOKEN                      0x001UL
#define CKA_PRIVATE                    0x002UL
#define CKA_LABEL                      0x003UL
#define CKA_UNIQUE_ID                  0x004UL
#define CKA_VALUE                      0x011UL
#define CKA_CERTIFICATE_TYPE           0x080UL
#define CKA_ISSUER                     0x081UL
#define CKA_SERIAL_NUMBER              0x082UL
#define CKA_TRUSTED                    0x086UL
#define CKA_CERTIFICATE_CATEGORY       0x087UL
#define CKA_JAVA_MIDP_SECURITY_DOMAIN  0x088UL
#define CKA_URL                        0x089UL
#define CKA_HASH_OF_SUBJECT_PUBLIC_KEY 0x08aUL
#define CKA_HASH_OF_ISSUER_PUBLIC_KEY  0x08bUL
#define CKA_CHECK_VALUE                0x090UL
#define CKA_KEY_TYPE                   0x100UL
#define CKA_SUBJECT                    0x101UL
#define CKA_ID                         0x102UL
#define CKA_SENSITIVE                  0x103UL
#define CKA_ENCRYPT                    0x104UL
#define CKA_DECRYPT                    0x105UL
#define CKA_WRAP                       0x106UL
#define CKA_UNWRAP                     0x107UL
#define CKA_SIGN                       0x108UL
#define CKA_SIGN_RECOVER               0x109UL
#define CKA_VERIFY                     0x10aUL
#define CKA_VERIFY_RECOVER             0x10bUL
#define CKA_DERIVE                     0x10cUL
#define CKA_START_DATE                 0x110UL
#define CKA_END_DATE                   0x111UL
#define CKA_MODULUS                    0x120UL
#define CKA_MODULUS_BITS               0x121UL
#define CKA_PUBLIC_EXPONENT            0x122UL
#define CKA_PRIVATE_EXPONENT           0x123UL
#define CKA_PRIME_1                    0x124UL
#define CKA_PRIME_2                    0x125UL
#define CKA_EXPONENT_1                 0x126UL
#define CKA_EXPONENT_2                 0x127UL
#define CKA_COEFFICIENT                0x128UL
#define CKA_PUBLIC_KEY_INFO            0x129UL
#define CKA_VALUE_LEN                  0x161UL
#define CKA_EXTRACTABLE                0x162UL
#define CKA_LOCAL                      0x163UL
#define CKA_NEVER_EXTRACTABLE          0x164UL
#define CKA_ALWAYS_SENSITIVE           0x165UL
#define CKA_KEY_GEN_MECHANISM          0x166UL
#define CKA_MODIFIABLE                 0x170UL
#define CKA_COPYABLE                   0x171UL
#define CKA_DESTROYABLE                0x172UL
#define CKA_EC_PARAMS                  0x180UL
#define CKA_EC_POINT                   0x181UL
#define CKA_ALWAYS_AUTHENTICATE        0x202UL
#define CKA_WRAP_WITH_TRUSTED          0x210UL
#define CKA_PARAMETER_SET              0x61dUL /* 3.2 */
#define CKA_ENCAPSULATE                0x633UL /* 3.2 */
#define CKA_DECAPSULATE                0x634UL /* 3.2 */
#define CKA_ALLOWED_MECHANISMS         0x40000600UL

/* Parameter sets, 3.2. */
#define CKP_ML_DSA_44   1UL
#define CKP_ML_DSA_65   2UL
#define CKP_ML_DSA_87   3UL
#define CKP_ML_KEM_512  1UL
#define CKP_ML_KEM_768  2UL
#define CKP_ML_KEM_1024 3UL

#define CKM_RSA_PKCS                0x0001UL
#define CKM_RSA_PKCS_OAEP           0x0009UL
#define CKM_RSA_PKCS_PSS            0x000dUL
#define CKM_ML_KEM_KEY_PAIR_GEN     0x000fUL /* 3.2 */
#define CKM_ML_KEM                  0x0017UL /* 3.2 */
#define CKM_ML_DSA_KEY_PAIR_GEN     0x001cUL /* 3.2 */
#define CKM_ML_DSA                  0x001dUL /* 3.2 */
#define CKM_SHA256_RSA_PKCS         0x0040UL
#define CKM_SHA384_RSA_PKCS         0x0041UL
#define CKM_SHA512_RSA_PKCS         0x0042UL
#define CKM_SHA256_RSA_PKCS_PSS     0x0043UL
#define CKM_SHA384_RSA_PKCS_PSS     0x0044UL
#define CKM_SHA512_RSA_PKCS_PSS     0x0045UL
#define CKM_SHA_1                   0x0220UL
#define CKM_SHA256                  0x0250UL
#define CKM_SHA256_HMAC             0x0251UL
#define CKM_SHA384                  0x0260UL
#define CKM_SHA384_HMAC             0x0261UL
#define CKM_SHA512                  0x0270UL
#define CKM_SHA512_HMAC             0x0271UL
#define CKM_GENERIC_SECRET_KEY_GEN  0x0350UL
#define CKM_EC_KEY_PAIR_GEN         0x1040UL
#define CKM_ECDSA                   0x1041UL
#define CKM_ECDSA_SHA256            0x1044UL
#define CKM_ECDSA_SHA384            0x1045UL
#define CKM_ECDSA_SHA512            0x1046UL
#define CKM_ECDH1_DERIVE            0x1050UL
#define CKM_EC_EDWARDS_KEY_PAIR_GEN 0x1055UL
#define CKM_EDDSA                   0x1057UL
#define CKM_AES_XTS                 0x1071UL
#define CKM_AES_KEY_GEN             0x1080UL
#define CKM_AES_CBC                 0x1082UL
#define CKM_AES_CTR                 0x1086UL
#define CKM_AES_GCM                 0x1087UL
#define CKM_AES_CMAC                0x108aUL
#define CKM_CHACHA20_KEY_GEN        0x1225UL
#define CKM_AES_KEY_WRAP            0x2109UL
#define CKM_AES_KEY_WRAP_KWP        0x210bUL
#define CKM_CHACHA20_POLY1305       0x4021UL
#define CKM_HKDF_DERIVE             0x402aUL

/* Of mechanism parameters. */
#define CKG_MGF1_SHA1      1UL
#define CKG_MGF1_SHA256    2UL
#define CKG_MGF1_SHA384    3UL
#define CKG_MGF1_SHA512    4UL
#define CKZ_DATA_SPECIFIED 1UL
#define CKD_NULL           1UL
#define CKF_HKDF_SALT_NULL 1UL
#define CKF_HKDF_SALT_DATA 2UL
/* C_EncryptMessageNext and its like */
#define CKF_END_OF_MESSAGE   0x00000001UL
#define CKG_NO_GENERATE      0UL
#define CKG_GENERATE         1UL
#define CKG_GENERATE_COUNTER 2UL
#define CKG_GENERATE_RANDOM  3UL
#define CKH_HEDGE_PREFERRED  0UL /* 3.2 */
#define CKH_HEDGE_REQUIRED   1UL /* 3.2 */

#endif
