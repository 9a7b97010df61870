/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that uses the PKCS#11 module as others do: by dlopen() and a function list. */
#ifndef PKCS11_CLIENT_H
#define PKCS11_CLIENT_H

#include <stddef.h>

#include "cryptoki.h"

/* The list of version 3.2, which has all functions. */
extern const CK_FUNCTION_LIST_3_2 *p11;

/* Ends the program where it is not @want; says which call it was. */
#define EXPECT(call, want) client_expect(#call, (call), (want))
#define OK(call)           EXPECT(call, CKR_OK)

void client_load(const char *module);
void client_expect(const char *call, CK_RV got, CK_RV want);
_Noreturn void client_die(const char *what);
void client_say(const char *text);
/* Until the test has written a line. */
void client_wait(void);

CK_SESSION_HANDLE client_session(CK_FLAGS flags);
/* CK_INVALID_HANDLE: there is none. */
CK_OBJECT_HANDLE client_find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label);
/* The private or secret key, or the public or secret one. */
CK_OBJECT_HANDLE client_key(CK_SESSION_HANDLE session, const char *label);
CK_OBJECT_HANDLE client_public(CK_SESSION_HANDLE session, const char *label);

/* Signs and verifies; another message does not verify. */
void client_round_trip(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
                       CK_OBJECT_HANDLE public_key, unsigned int seed);
void client_count(const char *what, unsigned int number);

struct client_command {
    const char *name;
    void (*run)(unsigned int count);
};
/* MODULE COMMAND [COUNT]: the last one has no name. */
int client_main(int argc, char **argv, const struct client_command *commands);

/* All of stdin or a file, and to stdout. */
size_t client_read(const char *path, CK_BYTE *data, size_t room);
void client_write(const CK_BYTE *data, size_t size);

#endif
