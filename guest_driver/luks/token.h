/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The token in a LUKS2 header that says how the vault opens a keyslot: a JSON object beside those of other programs.
 * Pure: knows neither device nor header. Whoever writes the disk writes this; nothing in it is secret, and nothing is
 * believed before the vault has opened @sealed for this very header.
 *
 *   {"type": "vmm-keystore", "keyslots": ["1"], "version": 1, "key": "32 hex digits", "key_version": 1,
 *    "label": "disks", "sealed": "120 hex digits"}
 *
 * Source: LUKS2 On-Disk Format Specification 1.1, 3.5 "Tokens Object": type and keyslots are the format's, the rest is
 * the type's own.
 */
#ifndef VKS_LUKS_TOKEN_H
#define VKS_LUKS_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "vks.h"

#define LUKS_TOKEN_TYPE       "vmm-keystore"
#define LUKS_TOKEN_VERSION    1
#define LUKS_TOKEN_JSON_BYTES 512 /* room for one, with its NUL */
#define LUKS_SECRET_BYTES     32  /* of entropy: what opens the keyslot */
#define LUKS_SEALED_BYTES     VKS_SEALED_BYTES(LUKS_SECRET_BYTES)

struct luks_token {
    uint8_t key_id[VKS_KEY_ID_BYTES];
    uint32_t key_version;
    char label[VKS_LABEL_BYTES]; /* as it was at enrolment: for people, no key is looked up by it */
    uint8_t sealed[LUKS_SEALED_BYTES];
};

/* Strict about every member of ours; -EINVAL with a reason otherwise, -ENOTSUP for a version of another program. */
LUKS_MUST_CHECK bool token_parse(const char *json, struct luks_token *token, struct failure *failure);
/* As the header keeps it, for @keyslot. */
void token_format(const struct luks_token *token, int keyslot, char json[LUKS_TOKEN_JSON_BYTES]);

#endif
