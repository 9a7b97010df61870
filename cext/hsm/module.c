/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen and C_Initialize. Knows that there are modules; must not know tokens. */
#include "module.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "module_path.h"

enum {
    VERSION_MIN = 2,
    VERSION_MAX = 3,
};

static bool has_all(const CK_FUNCTION_LIST *list)
{
    return list->C_Initialize && list->C_Finalize && list->C_GetSlotList && list->C_GetTokenInfo &&
           list->C_OpenSession && list->C_CloseSession && list->C_Login && list->C_Logout &&
           list->C_GetAttributeValue && list->C_FindObjectsInit && list->C_FindObjects && list->C_FindObjectsFinal &&
           list->C_SignInit && list->C_Sign && list->C_GenerateKey && list->C_GenerateKeyPair &&
           list->C_GetSessionInfo && list->C_DecryptInit && list->C_Decrypt;
}

static CK_RV initialise(struct vks_module *module, bool *threads)
{
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = *threads ? module->functions->C_Initialize(&arguments) : CKR_CANT_LOCK;

    if (rv != CKR_CANT_LOCK)
        return rv;
    *threads = false;
    return module->functions->C_Initialize(NULL);
}

enum vks_hsm_error vks_module_load(struct vks_module *module, const char *path, bool *threads)
{
    CK_C_GetFunctionList get_list;
    char resolved[PATH_MAX];
    void *library;
    enum vks_hsm_error error = vks_module_path_check(path, resolved);

    *module = (struct vks_module){NULL, CKR_OK};
    if (error)
        return error;
    library = dlopen(resolved, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return VKS_HSM_MODULE_LOAD;
    /* POSIX has this form, since ISO C has no conversion from an object's pointer to a function's. */
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    if (get_list == NULL || get_list(&module->functions) != CKR_OK || module->functions == NULL)
        return VKS_HSM_MODULE_OTHER;
    if (module->functions->version.major < VERSION_MIN || module->functions->version.major > VERSION_MAX ||
        !has_all(module->functions))
        return VKS_HSM_MODULE_OTHER;
    return vks_module_result(module, initialise(module, threads)) ? VKS_HSM_MODULE_START : VKS_HSM_OK;
}

void vks_module_lock_memory(void)
{
    struct rlimit limit = {0, 0};
    bool unlimited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;

    (void)mlockall(MCL_CURRENT | MCL_ONFAULT | (unlimited ? MCL_FUTURE : 0));
}

void vks_module_end(struct vks_module *module)
{
    (void)module->functions->C_Finalize(NULL);
}

enum vks_hsm_error vks_module_result(struct vks_module *module, CK_RV rv)
{
    module->rv = rv;
    return rv == CKR_OK ? VKS_HSM_OK : VKS_HSM_REFUSED;
}
