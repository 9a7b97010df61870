/* SPDX-License-Identifier: Apache-2.0 */
/* What the messages to and from vks-hsm consist of: VKS_HSM_* of ipc.h, from keystored and from workers. */
#ifndef VKS_IPC_HSM_H
#define VKS_IPC_HSM_H

#include <stdint.h>

enum vks_hsm_limit {
    VKS_HSM_OBJECT_BYTES_MAX = 32, /* of a CKA_ID */
    VKS_HSM_TEXT_BYTES = 384,
    VKS_HSM_PUBLIC_BYTES_MAX = 1024,
    VKS_HSM_INPUT_BYTES_MAX = 512, /* a digest, or a ciphertext */
    VKS_HSM_OUTPUT_BYTES_MAX = 512,
    VKS_HSM_ALLOW_MAX = 800, /* in one message */
    VKS_HSM_WINDOW = 16,     /* requests of one channel that are taken at a time */
};

struct vks_hsm_open {
    uint8_t label[32]; /* of the token, filled with blanks; all zero: whichever there is */
    uint32_t path_bytes;
    uint32_t reserved;
};

/* Without an error in the head: whether the token is open. Where it is not, the program ends. */
struct vks_hsm_opened {
    uint32_t outcome;              /* exit code of a program that uses a token, hsm_error.h; 0: open */
    uint32_t sessions;             /* that work side by side */
    uint8_t label[32];             /* as the token has them: not checked */
    uint8_t serial[16];            /* the same */
    char text[VKS_HSM_TEXT_BYTES]; /* what is wrong, and perhaps a second line with a hint; a zero behind it */
};

struct vks_hsm_channel {
    uint64_t channel_id;
};

enum vks_hsm_allow_flag {
    VKS_HSM_ALLOW_F_BEGIN = 0x1, /* a list begins: nothing of the last one is allowed any more */
};

struct vks_hsm_allow {
    uint64_t channel_id;
    uint32_t flags; /* enum vks_hsm_allow_flag */
    uint32_t count;
};

struct vks_hsm_object {
    uint8_t bytes[VKS_HSM_OBJECT_BYTES_MAX]; /* CKA_ID of both halves of a pair */
    uint32_t size_bytes;
    uint32_t type; /* enum vks_key_type */
};

struct vks_hsm_key {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t op_mask; /* bit numbers enum vks_op, of sign and decrypt */
    struct vks_hsm_object object;
};

struct vks_hsm_generate {
    struct vks_hsm_object object; /* id and type to be */
    char label[64];               /* CKA_LABEL, for people; a zero behind it */
};

/* By label or by id; *object* has its type once it is found. */
struct vks_hsm_find {
    struct vks_hsm_object object; /* size 0: by label */
    char label[64];
};

struct vks_hsm_public {
    struct vks_hsm_object object;
    uint32_t outcome;      /* as in vks_hsm_opened; 0: there is a key */
    uint32_t public_bytes; /* SubjectPublicKeyInfo DER; 0 where there is none */
    char text[VKS_HSM_TEXT_BYTES];
};

/*
 * To sign: *input* is the digest, for ECDSA no longer than the curve's order (FIPS 186-5, 6.4.1). To decrypt:
 * RSA-OAEP's ciphertext, and its label.
 */
struct vks_hsm_run {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t op;        /* enum vks_op: sign or decrypt */
    uint32_t mechanism; /* enum vks_mechanism */
    uint32_t label_bytes;
    uint32_t input_bytes;
    uint32_t reserved;
};

struct vks_hsm_result {
    uint32_t status;       /* enum vks_status: OK, UNAVAILABLE, UNSUPPORTED, AUTH_FAILED or INTERNAL */
    uint32_t output_bytes; /* as the device ABI has it; 0 but with OK */
};

#endif
