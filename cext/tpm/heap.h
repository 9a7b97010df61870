/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's whole heap in secret memory: libtss2 allocates what it decrypts with malloc, so this program has a
 * malloc of its own (glibc manual, "Replacing malloc"). What is allocated before vks_heap_begin, by the loader and by
 * constructors, comes from a static buffer and is no secret.
 */
#ifndef VKS_HEAP_H
#define VKS_HEAP_H

/* Allocate from the secret arena from now on; it must be there. */
void vks_heap_begin(void);

#endif
