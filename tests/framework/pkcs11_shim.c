/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module before SoftHSM2's: it hands every call on, counts logins (a byte each in the file "logins") and
 * causes the trouble that the file "trouble" names; both in the folder PKCS11_SHIM_FOLDER. It writes where a module
 * should not, to see that nobody takes that for ours; "hanging" is there once it hangs.
 *
 * Files of these names are looked for at each signature: "gone" (the device was removed), "waits" (for as long as it is
 * there; so is the module's start by "starts"; "waiting" gets a byte from each that does), "falls" (the process
 * aborts). "signed" gets the first byte of what each is of.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static char trouble[64];

static int in_folder(const char *name, int flags)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", getenv("PKCS11_SHIM_FOLDER"), name);
    return open(path, flags | O_CLOEXEC, 0600);
}

static int is(const char *name)
{
    return strcmp(trouble, name) == 0;
}

static int there(const char *name)
{
    int fd = in_folder(name, O_RDONLY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void add_byte(const char *name, CK_BYTE byte)
{
    int fd = in_folder(name, O_WRONLY | O_CREAT | O_APPEND);

    if (fd < 0 || write(fd, &byte, 1) != 1)
        abort();
    close(fd);
}

static CK_RV initialize(void *arguments)
{
    int fd = in_folder("trouble", O_RDONLY);

    if (fd >= 0) {
        if (read(fd, trouble, sizeof(trouble) - 1) < 0)
            return CKR_GENERAL_ERROR;
        close(fd);
    }
    printf("a module that chats\n");
    fflush(stdout);
    fprintf(stderr, "a module that complains\n");
    while (there("starts"))
        usleep(2000);
    if (is("does not start") || there("gone"))
        return CKR_GENERAL_ERROR;
    if (is("cannot lock") && arguments != NULL)
        return CKR_CANT_LOCK;
    return real->C_Initialize(arguments);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    CK_RV rv = real->C_GetTokenInfo(slot, info);

    if (is("final try"))
        info->flags |= CKF_USER_PIN_FINAL_TRY;
    if (is("locked"))
        info->flags |= CKF_USER_PIN_LOCKED;
    return rv;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
    CK_RV rv = real->C_GetSlotList(present, slots, count);

    if (is("endless slots"))
        *count = 1UL << 40;
    return rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_bytes)
{
    add_byte("logins", 'x');
    if (is("locks"))
        return CKR_PIN_LOCKED;
    return real->C_Login(session, user, pin, pin_bytes);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_bytes, CK_BYTE_PTR mac,
                  CK_ULONG_PTR mac_bytes)
{
    static CK_BYTE calls;
    CK_RV rv;

    if (is("hangs")) {
        close(in_folder("hanging", O_WRONLY | O_CREAT));
        for (;;)
            pause();
    }
    if (is("crashes") || there("falls"))
        abort();
    if (there("gone"))
        return CKR_DEVICE_REMOVED;
    add_byte("signed", data[0]);
    if (there("waits")) {
        add_byte("waiting", 'x');
        while (there("waits"))
            usleep(2000);
    }
    if (is("ends"))
        _exit(0);
    rv = real->C_Sign(session, data, data_bytes, mac, mac_bytes);
    if (is("unsteady"))
        mac[0] ^= calls++;
    if (is("short"))
        *mac_bytes = 31;
    return rv;
}

static CK_RV finalize(void *reserved)
{
    if (is("crashes at its end"))
        abort();
    return real->C_Finalize(reserved);
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room, CK_ULONG_PTR count)
{
    CK_RV rv = real->C_FindObjects(session, objects, room, count);

    if (is("endless objects"))
        *count = 1UL << 40;
    return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR functions)
{
    CK_C_GetFunctionList get_list;
    void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return CKR_GENERAL_ERROR;
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    if (get_list(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    list = *real;
    list.C_Initialize = initialize;
    list.C_Finalize = finalize;
    list.C_GetSlotList = get_slot_list;
    list.C_GetTokenInfo = get_token_info;
    list.C_Login = login;
    list.C_Sign = sign;
    list.C_FindObjects = find_objects;
    *functions = &list;
    return CKR_OK;
}
