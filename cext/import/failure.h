/* SPDX-License-Identifier: Apache-2.0 */
/* How vks-import fails: one line that says what, one that says what to do, an exit code. */
#ifndef VKS_FAILURE_H
#define VKS_FAILURE_H

enum vks_import_exit {
    VKS_IMPORT_DONE = 0,
    VKS_IMPORT_INTERNAL = 1,
    VKS_IMPORT_USAGE = 2,
    VKS_IMPORT_CANNOT_READ = 3,
    VKS_IMPORT_NO_KEY = 4, /* not a key, or none the vault takes */
    VKS_IMPORT_PASSPHRASE = 5,
};

/* Print both lines (*hint* may be NULL) on stderr and give *code* back. Never pass anything out of the key file. */
__attribute__((format(printf, 3, 4))) int vks_import_fail(enum vks_import_exit code, const char *hint,
                                                          const char *format, ...);

#endif
