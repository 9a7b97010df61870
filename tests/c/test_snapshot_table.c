/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that are not what they say are refused whole; in a good one every key is found and no other. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "snapshot_table.h"
#include "vmm_keystore.h"

enum {
    COUNT = 4,
    SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW,
};

static struct {
    struct vks_snapshot_head head;
    struct vks_snapshot_key key[COUNT];
} good;

static void make_good(void)
{
    static const struct {
        uint8_t id;
        uint32_t version, current, state;
    } keys[COUNT] = {{1, 1, 0, VKS_KEY_STATE_DESTROYED},
                     {3, 2, 0, VKS_KEY_STATE_DEACTIVATED},
                     {3, 4, 1, VKS_KEY_STATE_ACTIVE},
                     {9, 1, 1, VKS_KEY_STATE_ACTIVE}};

    memset(&good, 0, sizeof(good));
    good.head = (struct vks_snapshot_head){VKS_SNAPSHOT_MAGIC, VKS_SNAPSHOT_VERSION, 5, COUNT, 0, 0, 0, "guest"};
    for (int i = 0; i < COUNT; i++) {
        good.key[i].key_id[15] = keys[i].id;
        good.key[i].version = keys[i].version;
        good.key[i].current = keys[i].current;
        good.key[i].state = keys[i].state;
        good.key[i].type = VKS_KEY_TYPE_ED25519;
        good.key[i].mechanism_mask = UINT64_C(1) << VKS_MECHANISM_ED25519;
        good.key[i].op_mask = UINT64_C(1) << VKS_OP_SIGN;
    }
}

static int read_it(struct snapshot_table **table, size_t file_bytes, uint64_t size_bytes, int seals)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

    CHECK_EQUAL("write", write(fd, &good, sizeof(good)), sizeof(good));
    CHECK_EQUAL("size", ftruncate(fd, (off_t)file_bytes), 0);
    CHECK_EQUAL("seal", fcntl(fd, F_ADD_SEALS, seals), 0);
    error = snapshot_table_read(table, fd, size_bytes, 5);
    close(fd);
    return error;
}

static void check_refused(const char *name)
{
    struct snapshot_table *table = NULL;

    CHECK_EQUAL(name, read_it(&table, sizeof(good), sizeof(good), SEALS), -EPROTO);
    CHECK(name, table == NULL);
    make_good();
}

static void test_good(void)
{
    struct snapshot_table *table = NULL;
    uint8_t id[16] = {0};

    make_good();
    CHECK_EQUAL("read", read_it(&table, sizeof(good), sizeof(good), SEALS), 0);
    CHECK_EQUAL("keys that live", table->guest_key_count, 2);
    for (uint32_t key = 0; key < 12; key++) {
        for (uint32_t version = 0; version < 6; version++) {
            int64_t want = -1;

            for (int i = 0; i < COUNT; i++)
                if (good.key[i].key_id[15] == key &&
                    (version ? good.key[i].version == version : good.key[i].current == 1))
                    want = i;
            id[15] = (uint8_t)key;
            CHECK_EQUAL("find", snapshot_table_find(table, id, version), want);
        }
    }
    id[15] = 3;
    CHECK_EQUAL("highest version", snapshot_table_find(table, id, UINT32_MAX), -1);
    CHECK_EQUAL("behind an entry", snapshot_table_after(table, id, 2), 2);
    CHECK_EQUAL("behind what is not there", snapshot_table_after(table, id, 3), 2);
    CHECK_EQUAL("behind all", snapshot_table_after(table, (const uint8_t[16]){0xff}, 0), COUNT);
    id[15] = 0;
    CHECK_EQUAL("from the start", snapshot_table_after(table, id, 0), 0);
    CHECK_EQUAL("no table", snapshot_table_find(NULL, id, 0), -1);
    snapshot_table_free(table);
    snapshot_table_free(NULL);
}

static void test_file(void)
{
    struct snapshot_table *table = NULL;

    make_good();
    CHECK_EQUAL("may shrink", read_it(&table, sizeof(good), sizeof(good), F_SEAL_WRITE | F_SEAL_GROW), -EPROTO);
    CHECK_EQUAL("may change", read_it(&table, sizeof(good), sizeof(good), F_SEAL_SHRINK | F_SEAL_GROW), -EPROTO);
    CHECK_EQUAL("a byte short", read_it(&table, sizeof(good) - 1, sizeof(good), SEALS), -EPROTO);
    CHECK_EQUAL("a byte long", read_it(&table, sizeof(good) + 1, sizeof(good) + 1, SEALS), -EPROTO);
    CHECK_EQUAL("announced longer", read_it(&table, sizeof(good), sizeof(good) + 168, SEALS), -EPROTO);
    CHECK_EQUAL("half a head", read_it(&table, 40, 40, SEALS), -EPROTO);
    CHECK_EQUAL("no file", snapshot_table_read(&table, -1, sizeof(good), 5), -EPROTO);
    good.head.key_count = 0;
    CHECK_EQUAL("no key", read_it(&table, sizeof(good.head), sizeof(good.head), SEALS), 0);
    CHECK_EQUAL("no key", snapshot_table_find(table, (const uint8_t[16]){0}, 0), -1);
    snapshot_table_free(table);
}

static void test_fields(void)
{
    make_good();
    good.head.magic++;
    check_refused("magic");
    good.head.version++;
    check_refused("version");
    good.head.generation++;
    check_refused("generation");
    good.head.key_count--;
    check_refused("count too small");
    good.head.key_count++;
    check_refused("count too large");
    good.head.key_count = UINT32_MAX;
    check_refused("count huge");
    good.head.guest_name[63] = 'x';
    check_refused("guest name without end");
    good.key[2].version = 2;
    check_refused("same version twice");
    good.key[2].version = 1;
    check_refused("versions out of order");
    good.key[3].key_id[15] = 2;
    check_refused("keys out of order");
    good.key[1].current = 1;
    check_refused("two current versions");
    good.key[3].current = 2;
    check_refused("neither current nor not");
    good.key[0].version = 0;
    check_refused("version 0");
    good.key[0].type = 0;
    check_refused("no type");
    good.key[0].type = VKS_KEY_TYPE_COUNT;
    check_refused("type beyond the last");
    good.key[0].state = VKS_KEY_STATE_COUNT;
    check_refused("state beyond the last");
    good.key[0].op_mask |= UINT64_C(1) << VKS_OP_COUNT;
    check_refused("operation beyond the last");
    good.key[0].mechanism_mask |= UINT64_C(1) << VKS_MECHANISM_AES_GCM;
    check_refused("mechanism of another type");
    good.key[3].uid_count = 9;
    check_refused("uids beyond the array");
    good.key[3].label[63] = 'x';
    check_refused("label without end");
}

int main(void)
{
    test_good();
    test_file();
    test_fields();
    return 0;
}
