/* SPDX-License-Identifier: BSD-3-Clause */
/* Mechanisms of PKCS#11 and what of the device stands behind each. */
#ifndef PKCS11_MECHANISM_H
#define PKCS11_MECHANISM_H

#include "cryptoki.h"
#include "object.h"

/* What parameter a mechanism has, and what is done with what it is given. */
enum mechanism_form {
    FORM_PLAIN,        /* no parameter; the message as it is */
    FORM_ECDSA_DIGEST, /* a digest, whose length says of which hash */
    FORM_RSA_INFO,     /* a digest in DigestInfo, which says of which hash */
    FORM_PSS_DIGEST,   /* CK_RSA_PKCS_PSS_PARAMS; a digest */
    FORM_PSS,          /* CK_RSA_PKCS_PSS_PARAMS; a message */
    FORM_EDDSA,        /* CK_EDDSA_PARAMS or none */
    FORM_ML_DSA,       /* CK_SIGN_ADDITIONAL_CONTEXT or none */
    FORM_OAEP,         /* CK_RSA_PKCS_OAEP_PARAMS */
    FORM_GCM,          /* CK_GCM_PARAMS */
    FORM_CHACHA20,     /* CK_SALSA20_CHACHA20_POLY1305_PARAMS */
    FORM_CBC,          /* an IV */
    FORM_CTR,          /* CK_AES_CTR_PARAMS */
    FORM_XTS,          /* a tweak */
    FORM_KEY_WRAP,     /* no parameter: RFC 3394 and RFC 5649 with their own initial values */
    FORM_ECDH,         /* CK_ECDH1_DERIVE_PARAMS */
    FORM_HKDF,         /* CK_HKDF_PARAMS */
    FORM_ML_KEM,
    FORM_GENERATE,
};

struct mechanism {
    CK_MECHANISM_TYPE type;
    enum mechanism_form form;
    uint64_t vks_mask;      /* bit numbers enum vks_mechanism: one of these will do it, or FORM_RSA_INFO: all */
    uint64_t key_type_mask; /* bit numbers enum vks_key_type */
    CK_FLAGS flags;         /* CKF_SIGN and so on */
};

#define MECHANISMS_MAX 64

/* NULL: none of this module. */
const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type);
/* The @at-th; NULL behind the last. */
const struct mechanism *mechanism_at(size_t at);
/* Whether it is served by these of the device's; where @vks_mask is a grant's, whatever hash a digest is of. */
bool mechanism_is_among(const struct mechanism *mechanism, uint64_t vks_mask);
/* Its flags as far as the device does it; 0: not at all. */
CK_FLAGS mechanism_flags(const struct mechanism *mechanism, const struct vks_device_info *info);
void mechanism_info(const struct mechanism *mechanism, CK_MECHANISM_INFO *info);
/* Its flags as far as they go with the key and its grant; 0: none. */
CK_FLAGS mechanism_key_flags(const struct mechanism *mechanism, const struct object *object);

#endif
