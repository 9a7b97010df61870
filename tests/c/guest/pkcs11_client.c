/* SPDX-License-Identifier: BSD-3-Clause */
#include "pkcs11_client.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const CK_FUNCTION_LIST_3_2 *p11;

void client_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    fflush(stderr);
    _exit(1);
}

void client_expect(const char *call, CK_RV got, CK_RV want)
{
    if (got == want)
        return;
    fprintf(stderr, "%s: 0x%lx, not 0x%lx\n", call, got, want);
    fflush(stderr);
    _exit(1);
}

void client_say(const char *text)
{
    puts(text);
    fflush(stdout);
}

void client_wait(void)
{
    char line[16];

    if (!fgets(line, sizeof(line), stdin))
        client_die("stdin ended");
}

void client_load(const char *module)
{
    CK_RV (*get_interface)(CK_BYTE *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS);
    CK_VERSION version = {3, 2};
    CK_BYTE name[] = "PKCS 11";
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL), *symbol;
    CK_INTERFACE *interface;

    if (!library)
        client_die(dlerror());
    symbol = dlsym(library, "C_GetInterface");
    if (!symbol)
        client_die("no C_GetInterface");
    memcpy(&get_interface, &symbol, sizeof(symbol));
    OK(get_interface(name, &version, &interface, 0));
    p11 = interface->pFunctionList;
}

CK_SESSION_HANDLE client_session(CK_FLAGS flags)
{
    CK_SESSION_HANDLE session;
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;

    OK(p11->C_GetSlotList(CK_TRUE, slots, &count));
    if (!count)
        client_die("no token");
    OK(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION | flags, NULL, NULL, &session));
    return session;
}

CK_OBJECT_HANDLE client_find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(size_t)label, strlen(label)}};
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    CK_ULONG count;

    OK(p11->C_FindObjectsInit(session, wanted, 2));
    OK(p11->C_FindObjects(session, &found, 1, &count));
    OK(p11->C_FindObjectsFinal(session));
    return count ? found : CK_INVALID_HANDLE;
}

static CK_OBJECT_HANDLE one_of(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label)
{
    CK_OBJECT_HANDLE found = client_find(session, class, label);

    if (found == CK_INVALID_HANDLE)
        found = client_find(session, CKO_SECRET_KEY, label);
    if (found == CK_INVALID_HANDLE)
        client_die("no such key");
    return found;
}

CK_OBJECT_HANDLE client_key(CK_SESSION_HANDLE session, const char *label)
{
    return one_of(session, CKO_PRIVATE_KEY, label);
}

CK_OBJECT_HANDLE client_public(CK_SESSION_HANDLE session, const char *label)
{
    return one_of(session, CKO_PUBLIC_KEY, label);
}

size_t client_read(const char *path, CK_BYTE *data, size_t room)
{
    FILE *file = path ? fopen(path, "rb") : stdin;
    size_t size;

    if (!file)
        client_die(path);
    size = fread(data, 1, room, file);
    if (path)
        fclose(file);
    return size;
}

void client_write(const CK_BYTE *data, size_t size)
{
    if (fwrite(data, 1, size, stdout) != size || fflush(stdout))
        client_die("stdout");
}

/* Signs and verifies; another message does not verify. */
void client_round_trip(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
                       CK_OBJECT_HANDLE public_key, unsigned int seed)
{
    CK_BYTE message[32] = {0}, signature[128];
    CK_ULONG size = sizeof(signature);

    memcpy(message, &seed, sizeof(seed));
    OK(p11->C_SignInit(session, mechanism, key));
    OK(p11->C_Sign(session, message, sizeof(message), signature, &size));
    OK(p11->C_VerifyInit(session, mechanism, public_key));
    OK(p11->C_Verify(session, message, sizeof(message), signature, size));
    message[31] = 1;
    OK(p11->C_VerifyInit(session, mechanism, public_key));
    EXPECT(p11->C_Verify(session, message, sizeof(message), signature, size), CKR_SIGNATURE_INVALID);
}

void client_count(const char *what, unsigned int number)
{
    char text[64];

    snprintf(text, sizeof(text), "%s %u", what, number);
    client_say(text);
}

int client_main(int argc, char **argv, const struct client_command *commands)
{
    unsigned int count = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 1;

    if (argc < 3)
        client_die("MODULE COMMAND [COUNT]");
    client_load(argv[1]);
    OK(p11->C_Initialize(NULL));
    for (; commands->name; commands++) {
        if (strcmp(argv[2], commands->name) != 0)
            continue;
        commands->run(count);
        OK(p11->C_Finalize(NULL));
        return 0;
    }
    client_die("no such command");
}
