/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's whole heap in secret memory: libtss2 and libgfshare allocate what they decrypt or split with
 * malloc, so their programs have one of their own (glibc manual, "Replacing malloc"). What is allocated before
 * vks_heap_begin, by the loader and by constructors, comes from a static buffer and is no secret.
 */
#ifndef VKS_SECRET_HEAP_H
#define VKS_SECRET_HEAP_H

/* Allocate from the secret arena from now on; it must be there. */
void vks_heap_begin(void);

#endif
