/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vendor's PKCS#11 module in our process. It is foreign code: from here on it can do what we can, and everything that
 * it answers is checked before it is used. (PKCS #11 v3.0, 5.4; the functions of 2.40 are all that is called.)
 */
#ifndef VKS_MODULE_H
#define VKS_MODULE_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

#include "hsm_error.h"

struct vks_module {
    CK_FUNCTION_LIST_PTR functions;
    CK_RV rv; /* of the call that failed last */
};

/*
 * Load and initialise it, for several threads where *threads* says so; it says false when the module takes only one.
 * VKS_HSM_OK, or VKS_HSM_MODULE_* ; after VKS_HSM_MODULE_START the rv says why.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_module_load(struct vks_module *module, const char *path,
                                                                       bool *threads);
/*
 * Keep what the module allocates out of swap, as much as may be: where the limit has an end, what is allocated later
 * could not be had if it had to be locked.
 */
void vks_module_lock_memory(void);
/* C_Finalize. The library stays where it is: what it started in the process may run on. */
void vks_module_end(struct vks_module *module);

/* The rv of a call: VKS_HSM_OK, or VKS_HSM_REFUSED with the rv kept. */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_module_result(struct vks_module *module, CK_RV rv);

#endif
