/* SPDX-License-Identifier: BSD-3-Clause */
/* The passphrase that opens a disk already: from a key file, the terminal or stdin, as cryptsetup takes it. */
#ifndef VKS_LUKS_PASSPHRASE_H
#define VKS_LUKS_PASSPHRASE_H

#include "failure.h"
#include "io.h"

/*
 * All of @key_file ("-": stdin, to its end), or without one a line: of the terminal, which shows it not, or of stdin.
 * buffer_free() wipes it and is the caller's.
 */
LUKS_MUST_CHECK bool passphrase_read(const char *key_file, const char *disk, struct buffer *passphrase,
                                     struct failure *failure);

#endif
