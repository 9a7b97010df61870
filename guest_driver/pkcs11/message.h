/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One message of AES-GCM or ChaCha20-Poly1305 with a nonce and a tag of its own (PKCS#11 v3.0, 5.9 and 5.11). AES-GCM's
 * nonces are the device's where the caller has it choose; those of the caller's take a grant that says so.
 */
#ifndef PKCS11_MESSAGE_H
#define PKCS11_MESSAGE_H

#include "session.h"

/* Of one message: its nonce and tag go through the device with it. */
#define MESSAGE_BYTES_MAX (VKS_INPUT_BYTES_MAX - PARAMETER_NONCE_BYTES - PARAMETER_TAG_BYTES)

/* What the caller gave for a message: one of the standard's structures, by the operation's mechanism. */
struct message_parameter {
    const void *given;
    CK_ULONG size;
};

/* Whether a message can begin: no other is under way, and its parameter and associated data are some. */
CK_RV message_check(const struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                    struct vks_bytes aad);
/* Seals or opens it; @output is as large as @input, which has at most MESSAGE_BYTES_MAX. */
CK_RV message_run(struct session *session, enum operation_kind kind, const struct message_parameter *parameter,
                  struct vks_bytes aad, struct vks_bytes input, uint8_t *output);

#endif
