/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A LUKS2 header and the tokens of ours in it; the one file that asks libcryptsetup about them. It opens no keyslot.
 * The header is whatever is on the disk: libcryptsetup has checked its structure, nobody what it means.
 */
#ifndef VKS_LUKS_HEADER_H
#define VKS_LUKS_HEADER_H

#include <libcryptsetup.h>

#include "token.h"

#define LUKS_BINDING_BYTES 256
#define LUKS_PBKDF_TYPE    CRYPT_KDF_PBKDF2
#define LUKS_PBKDF_HASH    "sha256"

/* How a volume key lies in a keyslot of ours; what cryptsetup takes by itself, too. */
#define LUKS_KEYSLOT_CIPHER    "aes-xts-plain64"
#define LUKS_KEYSLOT_KEY_BYTES 64

/* A token of ours, as found. */
struct header_token {
    int number;  /* of the token in the header */
    int keyslot; /* that it belongs to; -1: none, left over */
    const char *json;
};

/* Loads the header of a device or file; crypt_free() is the caller's. */
LUKS_MUST_CHECK bool header_load(const char *path, struct crypt_device **header, struct failure *failure);
/* The next token of ours behind @after, -1 for the first; false behind the last. */
LUKS_MUST_CHECK bool header_next_token(struct crypt_device *header, int after, struct header_token *token);
/* The one that opens the disk: there has to be one with a keyslot; parsed into @token. */
LUKS_MUST_CHECK bool header_find_token(struct crypt_device *header, struct header_token *found,
                                       struct luks_token *token, struct failure *failure);
/*
 * What a secret is tied to: which disk this is and how its data is encrypted, in the header's own words (segment.h).
 * Without the latter a changed header could have a vault's secret open a disk that is not encrypted at all.
 */
LUKS_MUST_CHECK bool header_binding(struct crypt_device *header, char binding[LUKS_BINDING_BYTES],
                                    struct failure *failure);
/*
 * Is the volume key in this keyslot encrypted as it was at enrolment, and in each other one at all? With the null
 * cipher or a key of no length a forged one would take any secret for the right one.
 */
LUKS_MUST_CHECK bool header_check_keyslot(struct crypt_device *header, int keyslot, struct failure *failure);
/* Bound keyslots that no token of ours belongs to: other ways in. */
int header_other_ways(struct crypt_device *header);

#endif
