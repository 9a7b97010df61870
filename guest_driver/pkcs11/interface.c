/* SPDX-License-Identifier: BSD-3-Clause */
/* Function lists and interfaces (PKCS#11 v3.0, 5.4.4 to 5.4.6): the only names that this library exports. */
#include <stdbool.h>
#include <string.h>

#include "cryptoki.h"

#define EXPORT __attribute__((visibility("default")))

#define NAME(name, arguments) .name = name,

static CK_FUNCTION_LIST list_2_40 = {.version = {2, 40}, CK_FUNCTIONS_2_40(NAME)};
static CK_FUNCTION_LIST_3_0 list_3_0 = {.version = {3, 0}, CK_FUNCTIONS_2_40(NAME) CK_FUNCTIONS_3_0(NAME)};
static CK_FUNCTION_LIST_3_2 list_3_2 = {.version = {3, 2},
                                        CK_FUNCTIONS_2_40(NAME) CK_FUNCTIONS_3_0(NAME) CK_FUNCTIONS_3_2(NAME)};

static CK_BYTE name[] = "PKCS 11";

/*
 * The first is what a caller gets who does not say. None is CKF_INTERFACE_FORK_SAFE: that would be a child that goes on
 * with its parent's sessions, and here it begins anew.
 */
static CK_INTERFACE interfaces[] = {
    {name, &list_3_0, 0},
    {name, &list_3_2, 0},
    {name, &list_2_40, 0},
};
#define INTERFACES (sizeof(interfaces) / sizeof(interfaces[0]))

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &list_2_40;
    return CKR_OK;
}

EXPORT CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count)
{
    CK_ULONG room;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    room = *count;
    *count = INTERFACES;
    if (!list)
        return CKR_OK;
    if (room < INTERFACES)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, interfaces, sizeof(interfaces));
    return CKR_OK;
}

static bool is_wanted(const CK_INTERFACE *interface, const CK_BYTE *wanted, const CK_VERSION *version, CK_FLAGS flags)
{
    /* Each list begins with its version. */
    const CK_VERSION *own = interface->pFunctionList;

    return (!wanted || strcmp((const char *)wanted, (const char *)interface->pInterfaceName) == 0) &&
           (!version || (version->major == own->major && version->minor == own->minor)) &&
           (interface->flags & flags) == flags;
}

EXPORT CK_RV C_GetInterface(CK_BYTE *wanted, CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags)
{
    if (!interface)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < INTERFACES; i++) {
        if (is_wanted(&interfaces[i], wanted, version, flags)) {
            *interface = &interfaces[i];
            return CKR_OK;
        }
    }
    return CKR_FUNCTION_FAILED;
}
