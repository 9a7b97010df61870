/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to vks-handler: one that is spoilt in any way is refused, with the reason, before anything is run. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "errand.h"

static struct vks_ipc_message message;
static struct vks_errand errand;

struct text {
    const char *bytes;
    uint32_t size_bytes;
};

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

/* A message of exactly these parts, so that the sanitizer sees who reads behind them. */
static void fill(const struct text parts[4])
{
    struct vks_handler_run run = {parts[0].size_bytes, parts[1].size_bytes, parts[2].size_bytes, parts[3].size_bytes};
    uint8_t *next = message.bytes + sizeof(message.head);

    memset(&message, 0, sizeof(message));
    memcpy(next, &run, sizeof(run));
    next += sizeof(run);
    for (int i = 0; i < 4; i++) {
        memcpy(next, parts[i].bytes, parts[i].size_bytes);
        next += parts[i].size_bytes;
    }
    message.head.type = VKS_HANDLER_RUN;
    message.head.size_bytes = (uint32_t)(next - message.bytes);
}

static void check_refused(const char *name, const char *want)
{
    const char *got = vks_errand_read(&message, &errand);

    CHECK(name, got != NULL);
    if (strcmp(got, want) != 0) {
        fprintf(stderr, "%s: '%s', not '%s'\n", name, got, want);
        exit(1);
    }
}

static const struct text good[4] = {TEXT("/bin/x"), TEXT("0af-9Z"), TEXT("budget-low"),
                                    TEXT("{\"a\": \"\xc3\xa9\"}\n")};

static void test_good(void)
{
    static char path[VKS_HANDLER_PATH_BYTES_MAX], word[VKS_HANDLER_WORD_BYTES_MAX];
    const struct text largest[4] = {{path, sizeof(path)}, {word, sizeof(word)}, {word, sizeof(word)}, TEXT("1\n")};

    fill(good);
    CHECK("good", vks_errand_read(&message, &errand) == NULL);
    CHECK_EQUAL("program", strcmp(errand.program, "/bin/x"), 0);
    CHECK_EQUAL("id", strcmp(errand.event_id, "VMM_KEYSTORE_EVENT_ID=0af-9Z"), 0);
    CHECK_EQUAL("kind", strcmp(errand.event_kind, "VMM_KEYSTORE_EVENT_KIND=budget-low"), 0);
    CHECK_EQUAL("line bytes", errand.line_bytes, good[3].size_bytes);
    CHECK_EQUAL("line", memcmp(errand.line, good[3].bytes, errand.line_bytes), 0);
    memset(path, '/', sizeof(path));
    memset(word, 'a', sizeof(word));
    fill(largest);
    CHECK("largest", vks_errand_read(&message, &errand) == NULL);
    CHECK_EQUAL("largest path", strlen(errand.program), VKS_HANDLER_PATH_BYTES_MAX);
    CHECK_EQUAL("largest word", strlen(errand.event_id), strlen(VKS_ERRAND_ID_NAME) + VKS_HANDLER_WORD_BYTES_MAX);
}

static void test_parts(void)
{
    static char path[VKS_HANDLER_PATH_BYTES_MAX + 1], word[VKS_HANDLER_WORD_BYTES_MAX + 1];
    static const struct {
        const char *name;
        int part;
        struct text text;
        const char *want;
    } cases[] = {
        {"no program", 0, TEXT(""), "the program is no absolute path"},
        {"relative program", 0, TEXT("bin/x"), "the program is no absolute path"},
        {"zero in the program", 0, TEXT("/bin\0x"), "the program is no absolute path"},
        {"long program", 0, {path, sizeof(path)}, "the program is no absolute path"},
        {"no id", 1, TEXT(""), "the event's id is no word"},
        {"zero in the id", 1, TEXT("a\0b"), "the event's id is no word"},
        {"newline in the id", 1, TEXT("a\n"), "the event's id is no word"},
        {"another variable in the id", 1, TEXT("a=b"), "the event's id is no word"},
        {"long id", 1, {word, sizeof(word)}, "the event's id is no word"},
        {"no kind", 2, TEXT(""), "the event's kind is no word"},
        {"blank in the kind", 2, TEXT("a b"), "the event's kind is no word"},
        {"high byte in the kind", 2, TEXT("\xe9"), "the event's kind is no word"},
        {"long kind", 2, {word, sizeof(word)}, "the event's kind is no word"},
        {"no line", 3, TEXT(""), "the event is no line of text"},
        {"empty line", 3, TEXT("\n"), "the event is no line of text"},
        {"line without its end", 3, TEXT("{}"), "the event is no line of text"},
        {"two lines", 3, TEXT("{}\n{}\n"), "the event is no line of text"},
        {"zero in the line", 3, TEXT("{\0}\n"), "the event is no line of text"},
        {"zero behind the line", 3, TEXT("{}\n\0"), "the event is no line of text"},
    };

    memset(path, '/', sizeof(path));
    memset(word, 'a', sizeof(word));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text parts[4];

        memcpy(parts, good, sizeof(parts));
        parts[cases[i].part] = cases[i].text;
        fill(parts);
        check_refused(cases[i].name, cases[i].want);
    }
}

static void test_lengths(void)
{
    static const struct {
        const char *name;
        int part;
        uint32_t size_bytes;
    } cases[] = {
        {"program to the end", 0, UINT32_MAX},
        {"program one longer", 0, 7},
        {"id one shorter", 1, 5},
        {"kind past the message", 2, VKS_IPC_BYTES_MAX},
        {"line one longer", 3, 13},
        {"line one shorter", 3, 11},
        {"sum wraps", 3, UINT32_MAX - 20},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fill(good);
        memcpy(message.bytes + sizeof(message.head) + (size_t)cases[i].part * sizeof(uint32_t), &cases[i].size_bytes,
               sizeof(uint32_t));
        check_refused(cases[i].name, "its lengths do not add up");
    }
    fill(good);
    ((uint32_t *)(void *)(message.bytes + sizeof(message.head)))[0] += UINT32_C(1) << 31;
    ((uint32_t *)(void *)(message.bytes + sizeof(message.head)))[1] += UINT32_C(1) << 31;
    check_refused("sum of two wraps", "its lengths do not add up");
    fill(good);
    message.head.size_bytes++;
    check_refused("byte behind it", "its lengths do not add up");
}

static void test_heads(void)
{
    fill(good);
    message.head.type = VKS_WORKER_TOKEN;
    check_refused("another type", "it is no order to run a program");
    fill(good);
    message.head.error = -1;
    check_refused("an error", "it is no order to run a program");
    fill(good);
    message.head.reserved = 1;
    check_refused("reserved", "it is no order to run a program");
}

int main(void)
{
    test_good();
    test_parts();
    test_lengths();
    test_heads();
    return 0;
}
