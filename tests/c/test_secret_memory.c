/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory: what is in it is not found by a look at the process, not inherited, wiped when freed, and fenced by
 * guard pages. Each case runs in a child of its own, because a process has one arena and some cases have to die.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "crypto_process.h"
#include "key_generate.h"
#include "key_kind.h"
#include "operation.h"
#include "secret_arena.h"
#include "secret_map.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    PATTERN_BYTES = 32,
    EXIT_SEGV = 42,
    KEYS_USED = 4, /* by use_all */
    CHUNK = 1 << 16,
};

static void on_segv(int signal_number)
{
    _exit(signal_number == SIGSEGV || signal_number == SIGBUS ? EXIT_SEGV : 1);
}

static int run_child(void (*run)(void))
{
    pid_t pid = fork();
    int status = 0;

    CHECK("fork", pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    CHECK_EQUAL("wait", waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_ok(const char *name, void (*run)(void))
{
    int status = run_child(run);

    CHECK(name, WIFEXITED(status));
    CHECK_EQUAL(name, WEXITSTATUS(status), 0);
}

/* A memory fault, seen by a handler of our own (under ASan too). */
static void expect_fault(const char *name, void (*run)(void))
{
    int status = run_child(run);

    CHECK(name, WIFEXITED(status));
    CHECK_EQUAL(name, WEXITSTATUS(status), EXIT_SEGV);
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_handler = on_segv};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* Pages that root cannot read through /proc are skipped; the pattern is given inverted, so that it is no find itself.
 */
static int found_in_process(const uint8_t inverted[PATTERN_BYTES])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    uint8_t *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long start, end;
    char line[512];
    int found = 0;

    CHECK("proc", maps && memory >= 0 && chunk != MAP_FAILED);
    while (fgets(line, sizeof(line), maps)) {
        CHECK_EQUAL("maps line", sscanf(line, "%lx-%lx", &start, &end), 2);
        /* Not the copy that is searched in, the kernel's pages, the terabytes of a sanitizer's shadow. */
        if ((uint8_t *)start == chunk || strstr(line, "[v") || end - start > 1ul << 27)
            continue;
        for (unsigned long at = start; at < end; at += CHUNK - PATTERN_BYTES) {
            ssize_t got = pread(memory, chunk, end - at < CHUNK ? end - at : CHUNK, (off_t)at);

            for (ssize_t i = 0; i + PATTERN_BYTES <= got; i++) {
                int same = 0;

                while (same < PATTERN_BYTES && (chunk[i + same] ^ inverted[same]) == 0xff)
                    same++;
                found += same == PATTERN_BYTES;
            }
        }
    }
    munmap(chunk, CHUNK);
    close(memory);
    fclose(maps);
    return found;
}

/* Random bytes straight into place, and their inversion to look for. */
static void plant(uint8_t *place, uint8_t inverted[PATTERN_BYTES])
{
    int fd = open("/dev/urandom", O_RDONLY);

    CHECK_EQUAL("random", read(fd, place, PATTERN_BYTES), PATTERN_BYTES);
    close(fd);
    for (int i = 0; i < PATTERN_BYTES; i++)
        inverted[i] = (uint8_t)~place[i];
}

static void start(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
}

/* Asked of the kernel itself: the weaker kind is no excuse where it has the better one. */
static int has_memfd_secret(void)
{
    int fd = (int)syscall(SYS_memfd_secret, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void case_kind(void)
{
    enum vks_secret_memory want = has_memfd_secret() ? VKS_SECRET_MEMORY_MEMFD : VKS_SECRET_MEMORY_MLOCK;
    struct vks_secret_map map;
    int fd;

    CHECK_EQUAL("map", vks_secret_map_create(&map, 1), 0);
    CHECK_EQUAL("kind of a map", map.memory, want);
    vks_secret_map_wipe(&map);
    CHECK_EQUAL("map", vks_secret_map_create_fd(&map, 1, &fd), 0);
    CHECK_EQUAL("kind of a page to send", map.memory, want);
    vks_secret_map_wipe(&map);
    start();
    CHECK_EQUAL("kind of the arena", vks_secret_arena_memory(), want);
}

static void case_not_found(void)
{
    uint8_t hidden[PATTERN_BYTES], control[PATTERN_BYTES];
    uint8_t *planted = malloc(PATTERN_BYTES);
    uint8_t *secret;

    start();
    secret = vks_secret_alloc(PATTERN_BYTES);
    CHECK("alloc", secret && planted);
    plant(planted, control);
    plant(secret, hidden);
    CHECK_EQUAL("the planted control is found", found_in_process(control), 1);
    if (vks_secret_arena_memory() == VKS_SECRET_MEMORY_MEMFD)
        CHECK_EQUAL("the secret is not", found_in_process(hidden), 0);
    free(planted);
    vks_secret_free(secret);
}

static int on_stack(void *argument)
{
    volatile uint8_t local[PATTERN_BYTES];
    uint8_t *inverted = argument;

    plant((uint8_t *)(uintptr_t)local, inverted);
    return found_in_process(inverted);
}

struct thread_case {
    uint8_t inverted[PATTERN_BYTES];
    int found;
};

static void on_thread_stack(void *argument)
{
    struct thread_case *of = argument;

    of->found = on_stack(of->inverted);
}

static void case_stacks(void)
{
    static struct vks_secret_thread thread;
    static struct thread_case of;
    uint8_t inverted[PATTERN_BYTES];

    start();
    CHECK_EQUAL("found on an ordinary stack", on_stack(inverted), 1);
    if (!has_memfd_secret())
        return;
    CHECK_EQUAL("not found on a secret stack", vks_secret_call(on_stack, inverted), 0);
    of.found = -1;
    CHECK_EQUAL("thread", vks_secret_thread_start(&thread, on_thread_stack, &of), 0);
    vks_secret_thread_wait(&thread);
    CHECK("thread done", vks_secret_thread_done(&thread));
    CHECK_EQUAL("not found on a thread's secret stack", of.found, 0);
}

static int give_seven(void *argument)
{
    return *(int *)argument + 4;
}

static void case_call_result(void)
{
    int three = 3;

    CHECK_EQUAL("result", vks_secret_call(give_seven, &three), 7);
    CHECK_EQUAL("again", vks_secret_call(give_seven, &three), 7);
}

static void case_guard_behind(void)
{
    struct vks_secret_map map;

    CHECK_EQUAL("map", vks_secret_map_create(&map, 5000), 0);
    memset(map.bytes, 1, map.size_bytes);
    catch_faults();
    ((volatile uint8_t *)map.bytes)[map.size_bytes] = 1;
}

static void case_guard_before(void)
{
    struct vks_secret_map map;

    CHECK_EQUAL("map", vks_secret_map_create(&map, 5000), 0);
    catch_faults();
    *((volatile uint8_t *)map.bytes - 1) = 1;
}

static int overflow_stack(void *argument)
{
    volatile uint8_t *here = (volatile uint8_t *)__builtin_frame_address(0);

    (void)argument;
    for (size_t i = 0; i < 2 * (size_t)VKS_SECRET_STACK_BYTES; i += 512)
        here[-(ptrdiff_t)i - 4096] = 1;
    return 0;
}

static void case_guard_of_stack(void)
{
    static uint8_t handler_stack[1 << 16];
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
    struct sigaction action = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    exit(vks_secret_call(overflow_stack, NULL));
}

static uint8_t *inherited;

static void touch_inherited(void)
{
    catch_faults();
    exit(*(volatile uint8_t *)inherited);
}

static void case_fork(void)
{
    start();
    inherited = vks_secret_alloc(PATTERN_BYTES);
    memset(inherited, 7, PATTERN_BYTES);
    expect_fault("a child does not have the memory", touch_inherited);
    CHECK_EQUAL("the parent still does", inherited[3], 7);
}

__attribute__((no_sanitize("address"))) static int all_zero(const volatile uint8_t *bytes, size_t count)
{
    uint8_t any = 0;

    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

static void case_blocks(void)
{
    size_t used;
    uint8_t *block;

    start();
    used = vks_secret_arena_usage().used_bytes;
    for (size_t size = 1; size < 200000; size = size * 5 / 4 + 1) {
        block = vks_secret_alloc(size);
        CHECK("aligned", block && (uintptr_t)block % 16 == 0);
        CHECK("zero", all_zero(block, size));
        memset(block, 0x5a, size);
        block = OPENSSL_realloc(block, size + 100);
        CHECK("realloc keeps", block && block[0] == 0x5a && block[size - 1] == 0x5a);
        block = OPENSSL_realloc(block, size / 2 + 1);
        CHECK("realloc shrinks", block && block[size / 2] == 0x5a);
        vks_secret_free(block);
        CHECK("wiped but for the list's pointer", all_zero(block + 8, size / 2 + 1 > 8 ? size / 2 - 7 : 0));
    }
    CHECK_EQUAL("all back", vks_secret_arena_usage().used_bytes, used);
    CHECK("too large", vks_secret_alloc((size_t)1 << 40) == NULL);
    CHECK("wraps", vks_secret_alloc(SIZE_MAX) == NULL);
}

static void case_full(void)
{
    static void *blocks[1 << 12];
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_AES_256, .material_bytes = 32};
    const uint8_t material[32] = {1};
    struct vks_key *key;
    void *rest[64];
    uint32_t count = 0;
    uint32_t more = 0;

    start();
    while (count < 1 << 12 && (blocks[count] = vks_secret_alloc(30000)) != NULL)
        count++;
    CHECK("full within the limit", count > 10 && count < 1 << 12);
    for (size_t size = 30000; size > 0 && more < 64; size /= 2)
        while (more < 64 && (rest[more] = vks_secret_alloc(size)) != NULL)
            more++;
    CHECK_EQUAL("a key does not fit", vks_key_load(&slot, material, &key), -ENOMEM);
    while (more)
        vks_secret_free(rest[--more]);
    while (count)
        vks_secret_free(blocks[--count]);
    CHECK_EQUAL("now it does", vks_key_load(&slot, material, &key), 0);
    vks_key_unref(key);
}

static void case_double_free(void)
{
    void *block;

    start();
    block = vks_secret_alloc(100);
    vks_secret_free(block);
    signal(SIGABRT, SIG_DFL);
    vks_secret_free(block);
}

static void case_foreign_free(void)
{
    static uint8_t not_ours[64];

    start();
    signal(SIGABRT, SIG_DFL);
    vks_secret_free(not_ours);
}

static void churn(void *argument)
{
    uint8_t *blocks[64] = {NULL};
    size_t sizes[64] = {0};
    uint32_t state = *(uint32_t *)argument;

    for (int i = 0; i < 20000; i++) {
        uint32_t slot;

        state = state * 1664525 + 1013904223;
        slot = state >> 26;
        for (size_t k = 0; k < sizes[slot]; k += 97)
            CHECK_EQUAL("content", blocks[slot][k], (uint8_t)slot);
        vks_secret_free(blocks[slot]);
        sizes[slot] = (state >> 8) % 3000 + 1;
        blocks[slot] = vks_secret_alloc(sizes[slot]);
        CHECK("alloc", blocks[slot] != NULL);
        memset(blocks[slot], (int)slot, sizes[slot]);
    }
    for (int slot = 0; slot < 64; slot++)
        vks_secret_free(blocks[slot]);
}

static void case_threads(void)
{
    static struct vks_secret_thread threads[6];
    static uint32_t seeds[] = {1, 2, 3, 4, 5, 6};
    size_t used = 0;

    start();
    /* The first round also pays for libcrypto's list of threads. */
    for (int round = 0; round < 2; round++) {
        for (int i = 3 * round; i < 3 * round + 3; i++)
            CHECK_EQUAL("thread", vks_secret_thread_start(&threads[i], churn, &seeds[i]), 0);
        for (int i = 3 * round; i < 3 * round + 3; i++)
            vks_secret_thread_wait(&threads[i]);
        if (round)
            CHECK_EQUAL("all back", vks_secret_arena_usage().used_bytes, used);
        used = vks_secret_arena_usage().used_bytes;
    }
}

static int report[2];
static void *public_block;

/* Make a key, load and use it; its secret bytes are then in no page that can be read, in either byte order. */
static void use_and_search(uint32_t type, uint32_t op, uint32_t secret_offset)
{
    struct vks_key_slot slot = {.type = type};
    uint8_t inverted[PATTERN_BYTES], reversed[PATTERN_BYTES], output[96];
    struct vks_operation operation = {.op = op, .output = output, .output_bytes_max = sizeof(output)};
    struct vks_key *key;
    uint8_t *material;
    size_t bytes;

    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(type), &material, &bytes), 0);
    for (int i = 0; i < PATTERN_BYTES; i++) {
        inverted[i] = (uint8_t)~material[secret_offset + (uint32_t)i];
        reversed[PATTERN_BYTES - 1 - i] = inverted[i];
    }
    CHECK_EQUAL("tell the parent", write(report[1], inverted, sizeof(inverted)), PATTERN_BYTES);
    slot.material_bytes = (uint32_t)bytes;
    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
    CHECK_EQUAL("use", vks_operation_run(key, &operation, VKS_LANE_FAST), VKS_STATUS_OK);
    if (vks_secret_arena_memory() == VKS_SECRET_MEMORY_MEMFD) {
        CHECK_EQUAL("key not found after use", found_in_process(inverted), 0);
        CHECK_EQUAL("nor as libcrypto's numbers", found_in_process(reversed), 0);
    }
    vks_secret_free(material);
    vks_key_unref(key);
}

static int use_all(void *argument)
{
    (void)argument;
    use_and_search(VKS_KEY_TYPE_HMAC_SHA256, VKS_OP_MAC, 0);
    use_and_search(VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, 0);
    use_and_search(VKS_KEY_TYPE_ED25519, VKS_OP_SIGN, 16);
    use_and_search(VKS_KEY_TYPE_EC_P256, VKS_OP_SIGN, 36);
    return 0;
}

static void forked_worker(void)
{
    uint8_t *moved;

    CHECK_EQUAL("after fork", vks_crypto_after_fork(0), 0);
    CHECK_EQUAL("used once", vks_crypto_after_fork(0), -EBUSY);
    moved = OPENSSL_realloc(public_block, 200);
    CHECK("moved and kept", moved != public_block && moved[99] == 9);
    CHECK_EQUAL("the shared page was not written", ((uint8_t *)public_block)[99], 9);
    vks_secret_free(moved);
    CHECK_EQUAL("worker", vks_secret_call(use_all, NULL), 0);
}

static void case_zygote(void)
{
    uint8_t keys[2][KEYS_USED][PATTERN_BYTES];

    CHECK_EQUAL("start", vks_crypto_start_public(), 0);
    CHECK_EQUAL("no secret memory yet", vks_secret_arena_memory(), 0);
    CHECK_EQUAL("warm up", vks_crypto_warm_up(), 0);
    public_block = vks_secret_alloc(100);
    memset(public_block, 9, 100);
    CHECK_EQUAL("pipe", pipe(report), 0);
    for (int i = 0; i < 2; i++) {
        expect_ok("worker", forked_worker);
        CHECK_EQUAL("keys", read(report[0], keys[i], sizeof(keys[i])), sizeof(keys[i]));
    }
    for (int k = 0; k < KEYS_USED; k++)
        CHECK("children do not share randomness", memcmp(keys[0][k], keys[1][k], PATTERN_BYTES) != 0);
}

static void case_too_late(void)
{
    void *block = OPENSSL_malloc(1);

    CHECK_EQUAL("after libcrypto allocated", vks_secret_arena_install(), -EBUSY);
    OPENSSL_free(block);
}

static void case_pages_by_fd(void)
{
    struct vks_secret_map made, mapped;
    int fd, plain;

    CHECK_EQUAL("make", vks_secret_map_create_fd(&made, 100, &fd), 0);
    memset(made.bytes, 3, 100);
    CHECK_EQUAL("open", vks_secret_map_open(&mapped, fd, made.size_bytes, made.memory), 0);
    CHECK("same page", mapped.bytes != made.bytes && mapped.bytes[99] == 3);
    vks_secret_map_wipe(&mapped);
    CHECK("wiped for both", all_zero(made.bytes, made.size_bytes));
    CHECK_EQUAL("size too large", vks_secret_map_open(&mapped, fd, 2 * made.size_bytes, made.memory), -EPROTO);
    CHECK_EQUAL("no whole pages", vks_secret_map_open(&mapped, fd, 100, made.memory), -EPROTO);
    CHECK_EQUAL("nothing", vks_secret_map_open(&mapped, fd, 0, made.memory), -EPROTO);
    CHECK_EQUAL("size wraps", vks_secret_map_open(&mapped, fd, SIZE_MAX - 4095, made.memory), -EPROTO);
    CHECK_EQUAL("unknown kind", vks_secret_map_open(&mapped, fd, made.size_bytes, (enum vks_secret_memory)3), -EPROTO);
    plain = memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL("resize", ftruncate(plain, 4096), 0);
    CHECK_EQUAL("not secret", vks_secret_map_open(&mapped, plain, 4096, VKS_SECRET_MEMORY_MEMFD), -EPROTO);
    CHECK_EQUAL("may shrink", vks_secret_map_open(&mapped, plain, 4096, VKS_SECRET_MEMORY_MLOCK), -EPROTO);
    CHECK_EQUAL("seal", fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_EQUAL("sealed", vks_secret_map_open(&mapped, plain, 4096, VKS_SECRET_MEMORY_MLOCK), 0);
    vks_secret_map_wipe(&mapped);
    vks_secret_map_wipe(&made);
    vks_secret_map_wipe(&made);
}

int main(void)
{
    int status;

    expect_ok("the best kind there is", case_kind);
    expect_ok("secrets are not found in the process", case_not_found);
    expect_ok("nor on secret stacks", case_stacks);
    expect_ok("call gives the result back", case_call_result);
    expect_fault("guard page behind", case_guard_behind);
    expect_fault("guard page before", case_guard_before);
    expect_fault("guard page of a stack", case_guard_of_stack);
    expect_ok("fork does not inherit", case_fork);
    expect_ok("blocks", case_blocks);
    expect_ok("full arena", case_full);
    expect_ok("threads", case_threads);
    expect_ok("zygote and its children", case_zygote);
    expect_ok("too late", case_too_late);
    expect_ok("pages by descriptor", case_pages_by_fd);
    status = run_child(case_double_free);
    CHECK("double free aborts", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = run_child(case_foreign_free);
    CHECK("free of a foreign block aborts", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return 0;
}
