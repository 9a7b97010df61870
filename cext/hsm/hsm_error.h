/* SPDX-License-Identifier: Apache-2.0 */
/* What can go wrong between us and a token, and the sentence for each of it. */
#ifndef VKS_HSM_ERROR_H
#define VKS_HSM_ERROR_H

#include <stddef.h>

enum vks_hsm_error {
    VKS_HSM_OK = 0,
    VKS_HSM_OURS, /* memory, a descriptor, libcrypto */
    VKS_HSM_BLOB,
    /* the module */
    VKS_HSM_MODULE_RELATIVE,
    VKS_HSM_MODULE_MISSING,
    VKS_HSM_MODULE_WRITABLE,
    VKS_HSM_MODULE_LOAD,
    VKS_HSM_MODULE_OTHER,
    VKS_HSM_MODULE_START,
    VKS_HSM_MODULE_NONSENSE,
    /* the token */
    VKS_HSM_TOKEN_NONE,
    VKS_HSM_TOKEN_SEVERAL,
    VKS_HSM_TOKEN_ABSENT,
    VKS_HSM_TOKEN_LOST,
    /* its PIN; only VKS_HSM_PIN_REFUSED has cost a try that was left */
    VKS_HSM_PIN_FILE,
    VKS_HSM_PIN_BYTES,
    VKS_HSM_PIN_UNSET,
    VKS_HSM_PIN_KEYPAD,
    VKS_HSM_PIN_FINAL_TRY,
    VKS_HSM_PIN_LOCKED,
    VKS_HSM_PIN_EXPIRED,
    VKS_HSM_PIN_REFUSED,
    /* the key */
    VKS_HSM_KEY_GONE,
    VKS_HSM_KEY_SEVERAL,
    VKS_HSM_KEY_WEAK,
    VKS_HSM_KEY_ID,
    VKS_HSM_KEY_UNSTEADY,
    /* a key pair of the guests' */
    VKS_HSM_KEY_TYPE,
    VKS_HSM_PAIR_GONE,
    VKS_HSM_PAIR_SEVERAL,
    VKS_HSM_PAIR_ID,
    VKS_HSM_PAIR_LEAVES,
    VKS_HSM_PAIR_ASKS,
    VKS_HSM_PAIR_PUBLIC,
    VKS_HSM_UNSOUND,
    VKS_HSM_REFUSED, /* any other call; its CK_RV says which */
    VKS_HSM_ERROR_COUNT,
};

/* Exit codes of a program that uses a token. */
enum vks_hsm_exit {
    VKS_HSM_EXIT_OURS = 1,
    VKS_HSM_EXIT_USAGE = 2,
    VKS_HSM_EXIT_ABSENT = 3,  /* no module, no token */
    VKS_HSM_EXIT_REFUSED = 4, /* the token, or what it holds */
    VKS_HSM_EXIT_PIN = 5,     /* the PIN, at the cost of a try: the same one must not be tried again */
};

/* One line of cause and perhaps one of hint, without a line end. */
const char *vks_hsm_error_text(enum vks_hsm_error error);
enum vks_hsm_exit vks_hsm_error_exit(enum vks_hsm_error error);

#endif
