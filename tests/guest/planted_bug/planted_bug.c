// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on demand: loading this module with bug=NAME does the named wrong thing, so that the tests of the harness
 * know that a kernel complaint is noticed. It knows nothing of any device.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *bug = "none";
module_param(bug, charp, 0);

static DEFINE_SPINLOCK(first);
static DEFINE_SPINLOCK(second);

static void slab_out_of_bounds(void)
{
    size_t size = 24;
    char *block = kmalloc(size, GFP_KERNEL);

    if (!block)
        return;
    OPTIMIZER_HIDE_VAR(size);
    block[size] = 1;
    kfree(block);
}

static void use_after_free(void)
{
    char *block = kmalloc(24, GFP_KERNEL);

    if (!block)
        return;
    kfree(block);
    OPTIMIZER_HIDE_VAR(block);
    block[0] = 1;
}

static void lock_inversion(void)
{
    spin_lock(&first);
    spin_lock(&second);
    spin_unlock(&second);
    spin_unlock(&first);
    spin_lock(&second);
    spin_lock(&first);
    spin_unlock(&first);
    spin_unlock(&second);
}

static int __init planted_bug_init(void)
{
    if (!strcmp(bug, "out-of-bounds"))
        slab_out_of_bounds();
    else if (!strcmp(bug, "use-after-free"))
        use_after_free();
    else if (!strcmp(bug, "lock-inversion"))
        lock_inversion();
    else if (!strcmp(bug, "warning"))
        WARN(1, "planted warning\n");
    else if (!strcmp(bug, "panic"))
        panic("planted panic");
    return 0;
}

static void __exit planted_bug_exit(void)
{
}

module_init(planted_bug_init);
module_exit(planted_bug_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Faults on demand, for the tests of a test harness");
