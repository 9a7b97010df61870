/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret stacks: code that handles keys spills them to its stack, so its stack is secret memory with guard pages.
 *
 * A thread on a secret stack can not be joined (its exit wakes joiners by a shared futex, EFAULT on secret memory): it
 * is detached and says so through a flag in ordinary memory. Its stack lives as long as the process.
 */
#ifndef VKS_SECRET_STACK_H
#define VKS_SECRET_STACK_H

#include <pthread.h>
#include <stdbool.h>

enum vks_secret_stack_limit {
    VKS_SECRET_STACK_BYTES = 256 << 10,
};

/* In ordinary memory, alive as long as the process. */
struct vks_secret_thread {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
    void (*run)(void *argument);
    void *argument;
};

/* Run *run* in this thread, on a secret stack, and give back its result; a negative errno if there is no stack. */
__attribute__((warn_unused_result)) int vks_secret_call(int (*run)(void *argument), void *argument);
/* Start a detached thread on a secret stack. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_secret_thread_start(struct vks_secret_thread *thread,
                                                                void (*run)(void *argument), void *argument);
/* True once *run* returned; libcrypto's per-thread state is freed by then. */
bool vks_secret_thread_done(struct vks_secret_thread *thread);
void vks_secret_thread_wait(struct vks_secret_thread *thread);

#endif
