/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills the lowest and the highest vector register, wipes, and looks. With "hold" it fills them and sleeps instead:
 * what a search through another process's registers must find.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "registers.h"

enum { BYTES = 64 };

static const uint8_t pattern[BYTES] = "in the registers of a sleeping thread, where a search finds it";

#ifdef __x86_64__
__attribute__((target("avx512f"))) static void fill_high(void)
{
    __asm__ volatile("vmovdqu64 %0, %%zmm31" ::"m"(pattern) : "xmm31");
}

__attribute__((target("avx512f"))) static void read_high(uint8_t found[BYTES])
{
    __asm__ volatile("vmovdqu64 %%zmm31, (%0)" ::"r"(found) : "memory");
}

static void fill_low(void)
{
    __asm__ volatile("movdqu %0, %%xmm15" ::"m"(pattern) : "xmm15");
}

static void read_low(uint8_t found[BYTES])
{
    __asm__ volatile("movdqu %%xmm15, (%0)" ::"r"(found) : "memory");
}

static void hold(void)
{
    fill_low();
    if (__builtin_cpu_supports("avx512f"))
        fill_high();
    pause();
}

int main(int argc, char **argv)
{
    static const uint8_t zero[BYTES];
    uint8_t found[BYTES] = {0};

    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        hold();
    fill_low();
    read_low(found);
    CHECK("a register is filled", memcmp(found, pattern, 16) == 0);
    vks_registers_wipe();
    read_low(found);
    CHECK("and wiped", memcmp(found, zero, 16) == 0);
    if (!__builtin_cpu_supports("avx512f"))
        return 0;
    fill_high();
    read_high(found);
    CHECK("a wide one is filled", memcmp(found, pattern, BYTES) == 0);
    vks_registers_wipe();
    read_high(found);
    CHECK("and wiped as a whole", memcmp(found, zero, BYTES) == 0);
    return 0;
}
#else
int main(void)
{
    vks_registers_wipe();
    return 0;
}
#endif
