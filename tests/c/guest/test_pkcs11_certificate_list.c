/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of a folder: which are taken, in what order, what they are called, and what of them stays. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../check.h"
#include "certificate_list.h"
#include "small_certificate.h"

static char folder[] = "/tmp/certificates-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put_base64(FILE *file, const uint8_t *data, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits =
            (uint32_t)data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);

        fputc(letters[bits >> 18], file);
        fputc(letters[bits >> 12 & 63], file);
        fputc(i + 1 < size ? letters[bits >> 6 & 63] : '=', file);
        fputc(i + 2 < size ? letters[bits & 63] : '=', file);
    }
}

static void put_pem(FILE *file, const uint8_t *der, size_t size)
{
    fputs("-----BEGIN CERTIFICATE-----\n", file);
    put_base64(file, der, size);
    fputs("\n-----END CERTIFICATE-----\n", file);
}

/* Certificates with these serial numbers; one of 0 is broken. */
static void put_file(const char *name, unsigned int count, ...)
{
    FILE *file = fopen(path_of(name), "w");
    va_list serials;

    CHECK(name, file);
    va_start(serials, count);
    for (unsigned int i = 0; i < count; i++) {
        unsigned int serial = va_arg(serials, unsigned int);
        uint8_t der[sizeof(small_certificate)];

        memcpy(der, small_certificate, sizeof(der));
        der[SMALL_VERSION_AT + 4] = (uint8_t)(serial >> 8);
        der[SMALL_SERIAL_AT + 2] = (uint8_t)serial;
        der[0] = serial ? der[0] : 0x31;
        put_pem(file, der, sizeof(der));
    }
    va_end(serials);
    CHECK_EQUAL(name, fclose(file), 0);
}

static struct certificate_list *make(const struct certificate_list *old, uint64_t *last)
{
    struct certificate_list *list = certificate_list_make(folder, old, last);

    CHECK("list", list);
    return list;
}

static uint8_t serial_of(const struct certificate_list *list, size_t at)
{
    return ((const uint8_t *)list->entries[at].certificate.serial_number.data)[2];
}

static void expect(const struct certificate_list *list, size_t at, const char *label, uint8_t serial)
{
    CHECK(label, at < list->count);
    if (strcmp(list->entries[at].label, label) != 0)
        fprintf(stderr, "%s instead of %s\n", list->entries[at].label, label);
    CHECK(label, strcmp(list->entries[at].label, label) == 0);
    CHECK_EQUAL(label, serial_of(list, at), serial);
}

static void test_files(void)
{
    struct certificate_list *list;
    uint64_t last = 0;

    put_file("b.pem", 3, 2, 0, 3);
    put_file("a.tls.crt", 1, 1);
    put_file("c.pem", 2, 1, 4); /* the first again */
    put_file("d\n.pem", 1, 5);
    put_file("broken.pem", 1, 0);
    put_file("not.txt", 1, 6);
    put_file(".hidden.pem", 1, 7);
    put_file("target", 1, 8);
    CHECK_EQUAL("link", symlink("target", path_of("e.pem")), 0);
    CHECK_EQUAL("loop", symlink("loop.pem", path_of("loop.pem")), 0);
    CHECK_EQUAL("nowhere", symlink("/nowhere", path_of("nowhere.pem")), 0);
    CHECK_EQUAL("pipe", mkfifo(path_of("pipe.pem"), 0600), 0);
    CHECK_EQUAL("folder", mkdir(path_of("folder.pem"), 0700), 0);
    CHECK_EQUAL("device", symlink("/dev/zero", path_of("zero.pem")), 0);
    put_file("huge.pem", 1, 9);
    CHECK_EQUAL("huge", truncate(path_of("huge.pem"), (off_t)1 << 40), 0);
    put_file("large.pem", 1, 10);
    CHECK_EQUAL("large", truncate(path_of("large.pem"), CERTIFICATE_FILE_BYTES_MAX), 0);
    put_file("larger.pem", 1, 11);
    CHECK_EQUAL("larger", truncate(path_of("larger.pem"), CERTIFICATE_FILE_BYTES_MAX + 1), 0);
    list = make(NULL, &last);
    expect(list, 0, "a.tls", 1);
    expect(list, 1, "b", 2);
    expect(list, 2, "b-3", 3);
    expect(list, 3, "c-2", 4);
    expect(list, 4, "d_", 5);
    expect(list, 5, "e", 8);
    expect(list, 6, "large", 10);
    CHECK_EQUAL("all", list->count, 7);
    CHECK_EQUAL("numbered", last, 7);
    certificate_list_free(list);
}

/* A certificate keeps its number in whatever file it is, and no number comes twice. */
static void test_numbers(void)
{
    struct certificate_list *before, *after, *again;
    uint64_t last = 0, gone;

    put_file("a.pem", 1, 1);
    put_file("b.pem", 1, 2);
    before = make(NULL, &last);
    gone = before->entries[0].number;
    CHECK("not 0", gone && before->entries[1].number);
    CHECK_EQUAL("renamed over", rename(path_of("b.pem"), strdupa(path_of("a.pem"))), 0);
    put_file("c.pem", 1, 3);
    after = make(before, &last);
    CHECK_EQUAL("count", after->count, 2);
    CHECK_EQUAL("stays", after->entries[0].number, before->entries[1].number);
    CHECK("gone", !certificate_list_by_number(after, gone));
    CHECK("there", certificate_list_by_number(after, 3) == &after->entries[1]);
    put_file("b.pem", 1, 1);
    again = make(after, &last);
    CHECK_EQUAL("who comes back is another", again->entries[1].number, 4);
    certificate_list_free(before);
    certificate_list_free(after);
    certificate_list_free(again);
}

/* The first ones, by names. */
static void test_limits(void)
{
    struct certificate_list *list;
    uint64_t last = 0;
    char name[32];

    for (unsigned int i = 300; i > 0; i--) {
        snprintf(name, sizeof(name), "%03u.pem", i);
        put_file(name, 1, 0x200 | i);
    }
    list = make(NULL, &last);
    CHECK_EQUAL("files", list->count, CERTIFICATES_MAX);
    expect(list, 0, "001", 1);
    expect(list, 255, "256", 0);
    certificate_list_free(list);
    for (unsigned int i = 1; i < 257; i++) {
        snprintf(name, sizeof(name), "%03u.pem", i);
        put_file(name, 2, 0x200 | i, 0x500 | i);
    }
    list = make(NULL, &last);
    CHECK_EQUAL("certificates", list->count, CERTIFICATES_MAX);
    expect(list, 255, "128-2", 128);
    certificate_list_free(list);
}

#define LARGE_VALUE_BYTES 60000
#define LARGE_BYTES       (LARGE_VALUE_BYTES + 134)

static uint8_t *put(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static uint8_t *put_head(uint8_t *at, uint8_t tag, size_t size)
{
    return put(at, (const uint8_t[]){tag, 0x82, (uint8_t)(size >> 8), (uint8_t)size}, 4);
}

/* The small one with one large extension instead of its own. */
static void make_large(uint8_t der[LARGE_BYTES], uint8_t serial)
{
    uint8_t *at = put_head(put_head(der, 0x30, LARGE_VALUE_BYTES + 130), 0x30, LARGE_VALUE_BYTES + 115);

    at = put(at, small_certificate + SMALL_VERSION_AT, SMALL_EXTENSIONS_AT - SMALL_VERSION_AT);
    der[8 + SMALL_SERIAL_AT - SMALL_VERSION_AT + 2] = serial;
    at = put_head(put_head(at, 0xa3, LARGE_VALUE_BYTES + 17), 0x30, LARGE_VALUE_BYTES + 13);
    at = put(put_head(at, 0x30, LARGE_VALUE_BYTES + 9), "\x06\x03\x2a\x03\x04", 5);
    at = put_head(at, 0x04, LARGE_VALUE_BYTES);
    memset(at, 0, LARGE_VALUE_BYTES);
    put(at + LARGE_VALUE_BYTES, small_certificate + sizeof(small_certificate) - 11, 11);
}

/* What does not fit is passed over, smaller ones behind it are not. */
static void test_bytes(void)
{
    static uint8_t der[LARGE_BYTES];
    struct certificate_list *list;
    uint64_t last = 0;
    char name[32];

    for (unsigned int i = 0; i < 72; i += 12) {
        FILE *file;

        snprintf(name, sizeof(name), "%02u.pem", i);
        file = fopen(path_of(name), "w");
        CHECK(name, file);
        for (unsigned int j = 0; j < 12; j++) {
            make_large(der, (uint8_t)(i + j));
            put_pem(file, der, sizeof(der));
        }
        CHECK_EQUAL(name, fclose(file), 0);
    }
    put_file("small.pem", 1, 1);
    list = make(NULL, &last);
    CHECK_EQUAL("count", list->count, CERTIFICATES_BYTES_MAX / LARGE_BYTES + 1);
    expect(list, list->count - 1, "small", 1);
    CHECK("bytes", list->bytes <= CERTIFICATES_BYTES_MAX);
    certificate_list_free(list);
}

static void test_folders(void)
{
    struct certificate_list *list;
    uint64_t last = 0;

    CHECK("no folder", (list = certificate_list_make("/nowhere/at/all", NULL, &last)));
    CHECK_EQUAL("no folder", list->count, 0);
    certificate_list_free(list);
    CHECK("none named", (list = certificate_list_make("", NULL, &last)));
    CHECK_EQUAL("none named", list->count, 0);
    certificate_list_free(list);
    CHECK("a file", (list = certificate_list_make("/etc/passwd", NULL, &last)));
    CHECK_EQUAL("a file", list->count, 0);
    certificate_list_free(list);
}

static void test_environment(void)
{
    char path[16];

    CHECK_EQUAL("name", setenv("VKS_CERTIFICATES", "/some/where", 1), 0);
    certificate_folder(path, sizeof(path));
    CHECK("named", strcmp(path, "/some/where") == 0);
    CHECK_EQUAL("name", setenv("VKS_CERTIFICATES", "", 1), 0);
    certificate_folder(path, sizeof(path));
    CHECK("none", strcmp(path, "") == 0);
    CHECK_EQUAL("name", setenv("VKS_CERTIFICATES", "/some/where/else", 1), 0);
    certificate_folder(path, sizeof(path));
    CHECK("cut names are none", strcmp(path, "") == 0);
}

static void remove_folder(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    CHECK_EQUAL(command, system(command), 0);
}

static void in_folder(void (*test)(void))
{
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    CHECK("folder", mkdtemp(folder));
    test();
    remove_folder();
}

int main(void)
{
    in_folder(test_files);
    in_folder(test_numbers);
    in_folder(test_limits);
    in_folder(test_bytes);
    test_folders();
    test_environment();
    return 0;
}
