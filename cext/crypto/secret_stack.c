/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks in secret memory. Knows threads and contexts; must not know what runs on them. */
#include "secret_stack.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "secret_map.h"

#if defined(__SANITIZE_ADDRESS__)
#define STACK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_ASAN 1
#endif
#endif
#ifdef STACK_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct call {
    int (*run)(void *argument);
    void *argument;
    int result;
    ucontext_t caller;
    ucontext_t callee;
#ifdef STACK_ASAN
    void *fake_stack;
    const void *caller_stack;
    size_t caller_stack_bytes;
#endif
};

/* makecontext passes ints only; the call that is being entered. */
static __thread struct call *entering;

static void call_enter(void)
{
    struct call *call = entering;

#ifdef STACK_ASAN
    __sanitizer_finish_switch_fiber(NULL, &call->caller_stack, &call->caller_stack_bytes);
#endif
    call->result = call->run(call->argument);
#ifdef STACK_ASAN
    __sanitizer_start_switch_fiber(NULL, call->caller_stack, call->caller_stack_bytes);
#endif
    /* Returns into uc_link. */
}

int vks_secret_call(int (*run)(void *argument), void *argument)
{
    struct call call = {.run = run, .argument = argument};
    struct vks_secret_map stack;
    int error = vks_secret_map_create(&stack, VKS_SECRET_STACK_BYTES);

    if (error)
        return error;
    if (getcontext(&call.callee) != 0) {
        error = -errno;
        goto out;
    }
    call.callee.uc_stack.ss_sp = stack.bytes;
    call.callee.uc_stack.ss_size = stack.size_bytes;
    call.callee.uc_link = &call.caller;
    makecontext(&call.callee, call_enter, 0);
    entering = &call;
#ifdef STACK_ASAN
    __sanitizer_start_switch_fiber(&call.fake_stack, stack.bytes, stack.size_bytes);
#endif
    error = swapcontext(&call.caller, &call.callee) == 0 ? 0 : -errno;
#ifdef STACK_ASAN
    __sanitizer_finish_switch_fiber(call.fake_stack, NULL, NULL);
#endif
    if (error == 0)
        error = call.result;
out:
    vks_secret_map_wipe(&stack);
    return error;
}

static void *thread_enter(void *argument)
{
    struct vks_secret_thread *thread = argument;

    thread->run(thread->argument);
    OPENSSL_thread_stop();
    pthread_mutex_lock(&thread->lock);
    thread->done = true;
    pthread_cond_broadcast(&thread->finished);
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

int vks_secret_thread_start(struct vks_secret_thread *thread, void (*run)(void *argument), void *argument)
{
    struct vks_secret_map stack;
    pthread_attr_t attr;
    pthread_t id;
    int error = vks_secret_map_create(&stack, VKS_SECRET_STACK_BYTES);

    if (error)
        return error;
    memset(thread, 0, sizeof(*thread));
    thread->run = run;
    thread->argument = argument;
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->finished, NULL);
    error = -pthread_attr_init(&attr);
    if (error)
        goto out;
    error = -pthread_attr_setstack(&attr, stack.bytes, stack.size_bytes);
    if (error == 0)
        error = -pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (error == 0)
        error = -pthread_create(&id, &attr, thread_enter, thread);
    pthread_attr_destroy(&attr);
out:
    if (error)
        vks_secret_map_wipe(&stack);
    return error;
}

bool vks_secret_thread_done(struct vks_secret_thread *thread)
{
    bool done;

    pthread_mutex_lock(&thread->lock);
    done = thread->done;
    pthread_mutex_unlock(&thread->lock);
    return done;
}

void vks_secret_thread_wait(struct vks_secret_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    while (!thread->done)
        pthread_cond_wait(&thread->finished, &thread->lock);
    pthread_mutex_unlock(&thread->lock);
}
