/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys of the guest's own: what libvks sends and believes, and what a person reads and answers. The transport is this
 * file's, in place of the one to the kernel; commands run in a process of their own, where stdin is a terminal or not.
 */
#define _GNU_SOURCE /* memfd_create */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../check.h"
#include "commands.h"
#include "io.h"
#include "transport.h"

#define ID_OWN   "0a000000000000000000000000000000"
#define ID_OTHER "0b000000000000000000000000000000"
#define OPS_OWN  (1ull << VKS_OP_SIGN | 1ull << VKS_OP_ROTATE | 1ull << VKS_OP_DESTROY)

/* Answers list with two keys, and whatever else as the test says. */
struct fake {
    int error;
    uint32_t status, output_bytes, key_version;
    uint8_t output[VKS_KEY_ID_BYTES];
    unsigned int calls; /* other than list */
    struct vks_request_head seen;
    struct vks_generate_request seen_input;
};

static struct fake *fake; /* shared with the processes of commands */

static void list_answer(struct vks_ioc_request *request)
{
    static const struct vks_key_entry entries[] = {
        {{0x0a}, 1, VKS_KEY_TYPE_EC_P256, VKS_KEY_STATE_DEACTIVATED, 0, OPS_OWN, 2, "mine\x1b"},
        {{0x0a}, 2, VKS_KEY_TYPE_EC_P256, VKS_KEY_STATE_ACTIVE, 1, OPS_OWN, 2, "mine\x1b"},
        {{0x0b}, 1, VKS_KEY_TYPE_EC_P256, VKS_KEY_STATE_ACTIVE, 1, 1ull << VKS_OP_SIGN, 2, "granted"},
    };
    static const struct vks_list_head head = {.entry_count = 3};
    uint8_t *output = (uint8_t *)(uintptr_t)request->output_ptr;

    memcpy(output, &head, sizeof(head));
    memcpy(output + sizeof(head), entries, sizeof(entries));
    request->status = VKS_STATUS_OK;
    request->result.output_bytes = htole32(sizeof(head) + sizeof(entries));
}

static int fake_submit(void *context, struct vks_ioc_request *request)
{
    if (le32toh(request->head.opcode) == VKS_OPCODE(VKS_OP_LIST)) {
        list_answer(request);
        return 0;
    }
    fake->calls++;
    fake->seen = request->head;
    if (le32toh(request->head.input_bytes) == sizeof(fake->seen_input))
        memcpy(&fake->seen_input, (const void *)(uintptr_t)request->input_ptr, sizeof(fake->seen_input));
    if (le32toh(request->head.output_bytes) == sizeof(fake->output))
        memcpy((void *)(uintptr_t)request->output_ptr, fake->output, sizeof(fake->output));
    request->status = fake->status;
    request->result.output_bytes = htole32(fake->output_bytes);
    request->result.key_version = htole32(fake->key_version);
    return fake->error;
}

static void fake_close(void *context)
{
}

static const struct vks_transport transport = {.submit = fake_submit, .close = fake_close};
static struct vks_device device = {.transport = &transport};

/* In place of the library's own: vks_open() comes here. */
int vks_kernel_open(const char *path, struct vks_device *opened)
{
    opened->transport = &transport;
    return 0;
}

static const struct {
    const char *label;
    bool is_valid;
} labels[] = {
    {"a", true},
    {"0", true},
    {"Web-1.key_2", true},
    {"a--", true},
    {"012345678901234567890123456789012345678901234567890123456789012", true},
    {"0123456789012345678901234567890123456789012345678901234567890123", false},
    {"", false},
    {".a", false},
    {"_a", false},
    {"-a", false},
    {"a b", false},
    {"a/b", false},
    {"a\n", false},
    {"a@", false},
    {"a\xc3\xa4", false},
    {"\xc3\xa4", false},
};

static void test_labels(void)
{
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        uint8_t id[VKS_KEY_ID_BYTES];

        *fake = (struct fake){.output_bytes = sizeof(id), .output = {1}};
        CHECK_EQUAL(labels[i].label, vks_label_is_valid(labels[i].label), labels[i].is_valid);
        CHECK_EQUAL(labels[i].label, vks_generate(&device, VKS_KEY_TYPE_AES_128, labels[i].label, id),
                    labels[i].is_valid ? 0 : -EINVAL);
        CHECK_EQUAL("none was sent", fake->calls, labels[i].is_valid ? 1 : 0);
    }
}

static const struct {
    const char *name;
    int transport_error;
    uint32_t status, output_bytes;
    uint8_t first;
    int error;
} generated[] = {
    {"a key", 0, 0, 16, 7, 0},
    {"nothing", 0, 0, 0, 7, -EPROTO},
    {"a byte short", 0, 0, 15, 7, -EPROTO},
    {"a byte more", 0, 0, 17, 7, -EPROTO},
    {"the id of no key", 0, 0, 16, 0, -EPROTO},
    {"exists, with an id", 0, VKS_STATUS_EXISTS, 16, 7, VKS_STATUS_EXISTS},
    {"too many", 0, VKS_STATUS_LIMIT, 0, 7, VKS_STATUS_LIMIT},
    {"no answer", -ENODEV, 0, 16, 7, -ENODEV},
};

static void test_generate(void)
{
    for (size_t i = 0; i < sizeof(generated) / sizeof(generated[0]); i++) {
        uint8_t id[VKS_KEY_ID_BYTES] = {0xff};

        *fake = (struct fake){.error = generated[i].transport_error,
                              .status = generated[i].status,
                              .output_bytes = generated[i].output_bytes,
                              .output = {generated[i].first}};
        CHECK_EQUAL(generated[i].name, vks_generate(&device, VKS_KEY_TYPE_ED25519, "web", id), generated[i].error);
        CHECK_EQUAL("the caller's, where there is a key", id[0], generated[i].error ? 0xff : generated[i].first);
        CHECK_EQUAL("opcode", le32toh(fake->seen.opcode), VKS_OPCODE(VKS_OP_GENERATE));
        CHECK_EQUAL("input", le32toh(fake->seen.input_bytes), 72);
        CHECK_EQUAL("area", le32toh(fake->seen.output_bytes), 16);
        CHECK_EQUAL("no more", fake->seen.parameter_bytes | fake->seen.aad_bytes | fake->seen.key_version, 0);
        CHECK_EQUAL("no mechanism, no key", fake->seen.mechanism | fake->seen.flags | fake->seen.key_id[0], 0);
        CHECK_EQUAL("type", le32toh(fake->seen_input.type), VKS_KEY_TYPE_ED25519);
        CHECK("label", strcmp((const char *)fake->seen_input.label, "web") == 0);
        for (size_t at = 3; at < sizeof(fake->seen_input.label); at++)
            CHECK_EQUAL("padded", fake->seen_input.label[at], 0);
        CHECK_EQUAL("once", fake->calls, 1);
    }
}

static const struct {
    const char *name;
    int transport_error;
    uint32_t status, output_bytes, key_version;
    int error;
} changed[] = {
    {"done", 0, 0, 0, 2, 0},
    {"an output that was not asked for", 0, 0, 1, 2, -EPROTO},
    {"suspended", 0, VKS_STATUS_KEY_STATE, 0, 2, VKS_STATUS_KEY_STATE},
    {"not its own", 0, VKS_STATUS_DENIED, 0, 0, VKS_STATUS_DENIED},
    {"no answer", -EIO, 0, 0, 2, -EIO},
};

static void change_check(uint32_t op, const uint8_t id[VKS_KEY_ID_BYTES])
{
    CHECK_EQUAL("opcode", le32toh(fake->seen.opcode), VKS_OPCODE(op));
    CHECK("key", memcmp(fake->seen.key_id, id, VKS_KEY_ID_BYTES) == 0);
    CHECK_EQUAL("no version, no mechanism", fake->seen.key_version | fake->seen.mechanism, 0);
    CHECK_EQUAL("no input", fake->seen.parameter_bytes | fake->seen.aad_bytes | fake->seen.input_bytes, 0);
    CHECK_EQUAL("no area", fake->seen.output_bytes, 0);
    CHECK_EQUAL("once", fake->calls, 1);
}

static void test_rotate_and_destroy(void)
{
    const uint8_t id[VKS_KEY_ID_BYTES] = {1, 2, [15] = 16};

    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
        struct fake answer = {.error = changed[i].transport_error,
                              .status = changed[i].status,
                              .output_bytes = changed[i].output_bytes,
                              .key_version = changed[i].key_version};
        uint32_t version = 99;

        *fake = answer;
        CHECK_EQUAL(changed[i].name, vks_rotate(&device, id, &version), changed[i].error);
        CHECK_EQUAL(changed[i].name, version, changed[i].error ? 99 : changed[i].key_version);
        change_check(VKS_OP_ROTATE, id);
        *fake = answer;
        CHECK_EQUAL(changed[i].name, vks_destroy(&device, id), changed[i].error);
        change_check(VKS_OP_DESTROY, id);
    }
    *fake = (struct fake){.key_version = 0};
    CHECK_EQUAL("no version", vks_rotate(&device, id, &(uint32_t){0}), -EPROTO);
    *fake = (struct fake){.key_version = 0};
    CHECK_EQUAL("no version is none's business", vks_destroy(&device, id), 0);
}

static const struct command commands[] = {
    {"list", {0}, OPTION_JSON, "", NULL, command_list},
    {"generate", {"LABEL"}, OPTION_TYPE | OPTION_JSON, "", NULL, command_generate},
    {"rotate", {"KEY"}, OPTION_JSON, "", NULL, command_rotate},
    {"destroy", {"KEY"}, OPTION_YES, "", NULL, command_destroy},
    {0},
};

#define WORDS_MAX 5
#define NO_HINT   NULL
#define QUESTION  "destroy key mine\\x1b (" ID_OWN ") with all its versions? this cannot be undone; type yes: "
#define RETRY     "try again; the host's operator knows what is wrong"

static const struct {
    const char *words[WORDS_MAX];
    const char *typed; /* on a terminal; NULL: stdin is none */
    uint32_t status;   /* the device's */
    int calls;
    const char *out; /* NULL: it fails */
    const char *complaint, *hint;
} lines[] = {
    {{"generate", "web"}, NULL, 0, 1, "web  ec-p256  07000000000000000000000000000000\n", "", NO_HINT},
    {{"generate", "web", "--type", "aes-128", "--json"},
     NULL,
     0,
     1,
     "{\"label\": \"web\", \"type\": \"aes-128\", \"id\": \"07000000000000000000000000000000\"}\n",
     "",
     NO_HINT},
    {{"generate", "-", "--json"},
     NULL,
     0,
     0,
     NULL,
     "vks: generate: this is no label for a key",
     "letters, digits, '.', '_' and '-', the first a letter or digit, at most 61 in all"},
    {{"generate", "mine"},
     NULL,
     VKS_STATUS_EXISTS,
     1,
     NULL,
     "vks: generate: the guest has a key with this label already",
     "'vks list' shows the keys of this guest"},
    {{"generate", "web"},
     NULL,
     VKS_STATUS_DENIED,
     1,
     NULL,
     "vks: generate: this guest may have no keys of its own",
     "the host's operator may allow some: vmm-keystore guest set GUEST --own-keys N"},
    {{"generate", "web"},
     NULL,
     VKS_STATUS_LIMIT,
     1,
     NULL,
     "vks: generate: this guest has as many keys of its own as it may have",
     "'vks destroy KEY' makes room; the host's operator may allow more"},
    {{"generate", "web", "--type", "rsa-2048"},
     NULL,
     VKS_STATUS_UNSUPPORTED,
     1,
     NULL,
     "vks: generate: this host makes no keys of type rsa-2048 for guests",
     "'vks generate --help' lists the types; older hosts make none"},
    {{"generate", "web"},
     NULL,
     VKS_STATUS_INPUT_SIZE,
     1,
     NULL,
     "vks: generate: the label is too long: with the guest's name it may have 62 bytes",
     "'vks info' shows the name"},
    {{"generate", "web"}, NULL, VKS_STATUS_UNAVAILABLE, 1, NULL, "vks: generate: the host cannot make keys now", RETRY},
    {{"rotate", ID_OWN}, NULL, 0, 1, "mine\\x1b  version 3  " ID_OWN "\n", "", NO_HINT},
    {{"rotate", ID_OWN, "--json"},
     NULL,
     0,
     1,
     "{\"label\": \"mine\\u001b\", \"version\": 3, \"id\": \"" ID_OWN "\"}\n",
     "",
     NO_HINT},
    {{"rotate", "granted"},
     NULL,
     VKS_STATUS_DENIED,
     1,
     NULL,
     "vks: rotate: the key is not this guest's own",
     "'vks list' shows which are; others are rotated by the host's operator"},
    {{"rotate", ID_OWN},
     NULL,
     VKS_STATUS_LIMIT,
     1,
     NULL,
     "vks: rotate: the key has as many versions as a guest may make",
     "'vks generate' makes another key; the host's operator may destroy old versions of this one"},
    {{"rotate", ID_OWN},
     NULL,
     VKS_STATUS_KEY_STATE,
     1,
     NULL,
     "vks: rotate: the key's state does not allow this",
     "'vks list' shows the state"},
    {{"rotate", ID_OWN}, NULL, VKS_STATUS_UNAVAILABLE, 1, NULL, "vks: rotate: the host cannot make keys now", RETRY},
    {{"rotate", "none"},
     NULL,
     0,
     0,
     NULL,
     "vks: rotate: no such key, or not granted to this guest",
     "'vks list' shows the keys of this guest"},
    {{"destroy", ID_OWN},
     NULL,
     0,
     0,
     NULL,
     "vks: destroy: will not destroy key " ID_OWN " with all its versions without being asked to twice",
     "add --yes"},
    {{"destroy", ID_OWN, "--yes"}, NULL, 0, 1, "", "", NO_HINT},
    {{"destroy", ID_OWN, "--yes"}, "no\n", 0, 1, "", "", NO_HINT},
    {{"destroy", ID_OWN}, "yes\n", 0, 1, "", QUESTION, NO_HINT},
    {{"destroy", ID_OWN}, "y\n", 0, 0, NULL, QUESTION "vks: destroy: nothing was changed", NO_HINT},
    {{"destroy", ID_OWN}, "yes, but why\n", 0, 0, NULL, QUESTION "vks: destroy: nothing was changed", NO_HINT},
    {{"destroy", ID_OWN}, "\n", 0, 0, NULL, QUESTION "vks: destroy: nothing was changed", NO_HINT},
    {{"destroy", ID_OWN}, "\x04", 0, 0, NULL, QUESTION "vks: destroy: nothing was changed", NO_HINT},
    {{"destroy", "granted"},
     "yes\n",
     0,
     0,
     NULL,
     "vks: destroy: the key is not this guest's own",
     "'vks list' shows which are; others are destroyed by the host's operator"},
    {{"destroy", ID_OWN, "--yes"},
     NULL,
     VKS_STATUS_KEY_STATE,
     1,
     NULL,
     "vks: destroy: the key's state does not allow this",
     "'vks list' shows the state"},
    {{"destroy", ID_OWN, "--yes"},
     NULL,
     VKS_STATUS_UNAVAILABLE,
     1,
     NULL,
     "vks: destroy: the host cannot destroy keys now",
     RETRY},
};

struct said {
    char out[2000];
    char complaints[2000];
};

static void text_read(int fd, char *text, size_t size)
{
    ssize_t got = pread(fd, text, size - 1, 0);

    CHECK("what it said", got >= 0);
    text[got] = '\0';
    close(fd);
}

static __attribute__((noreturn)) void command_begin(const char *const words[], int in, int out, int complaints)
{
    const char *argv[WORDS_MAX + 2] = {"vks"};
    struct parse_error error;
    struct options options;
    int argc = 1;

    for (; argc <= WORDS_MAX && words[argc - 1]; argc++)
        argv[argc] = words[argc - 1];
    if (dup2(in, 0) || dup2(out, 1) != 1 || dup2(complaints, 2) != 2 ||
        options_parse(argc, argv, commands, &options, &error))
        exit(99);
    options.device = "/dev/keystore0"; /* or it would look for one */
    exit(options.command->run(&options));
}

/* Its exit status. */
static int command_run(const char *const words[], const char *typed, struct said *said)
{
    int out = memfd_create("out", 0), complaints = memfd_create("complaints", 0);
    int in = -1, keyboard = -1, status = 0;
    pid_t pid;

    if (typed) {
        CHECK("terminal", openpty(&keyboard, &in, NULL, NULL, NULL) == 0);
        CHECK("typed", write(keyboard, typed, strlen(typed)) == (ssize_t)strlen(typed));
    } else {
        in = open("/dev/null", O_RDONLY);
    }
    pid = fork();
    CHECK("fork", pid >= 0);
    if (pid == 0)
        command_begin(words, in, out, complaints);
    CHECK("ended", waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    close(in);
    if (keyboard >= 0)
        close(keyboard);
    text_read(out, said->out, sizeof(said->out));
    text_read(complaints, said->complaints, sizeof(said->complaints));
    return WEXITSTATUS(status);
}

static void text_check(const char *name, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fprintf(stderr, "got: %s\nnot: %s\n", got, want);
    CHECK(name, strcmp(got, want) == 0);
}

static void test_lines(void)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *name = lines[i].complaint[0] ? lines[i].complaint : lines[i].words[0];
        char complaints[1000];
        struct said said;

        *fake = (struct fake){.status = lines[i].status, .key_version = 3, .output = {7}};
        if (strcmp(lines[i].words[0], "generate") == 0)
            fake->output_bytes = sizeof(fake->output);
        snprintf(complaints, sizeof(complaints), "%s%s%s%s%s", lines[i].complaint, lines[i].out ? "" : "\n",
                 lines[i].hint ? "hint: " : "", lines[i].hint ? lines[i].hint : "", lines[i].hint ? "\n" : "");
        CHECK_EQUAL(name, command_run(lines[i].words, lines[i].typed, &said), lines[i].out ? 0 : 1);
        text_check(name, said.out, lines[i].out ? lines[i].out : "");
        text_check(name, said.complaints, complaints);
        CHECK_EQUAL(name, fake->calls, lines[i].calls);
    }
}

/* Which are the guest's own, for people and for programs. */
static void test_list(void)
{
    const char *words[WORDS_MAX] = {"list"};
    struct said said;

    CHECK_EQUAL("list", command_run(words, NULL, &said), 0);
    CHECK("head", strstr(said.out, "  ID                                OWN  OPERATIONS  MECHANISMS\n"));
    CHECK("own", strstr(said.out, "2*  active          " ID_OWN "  yes  sign,rotate,destroy  ecdsa-sha256\n"));
    CHECK("older", strstr(said.out, "1   deactivated     " ID_OWN "  yes  sign,rotate,destroy  ecdsa-sha256\n"));
    CHECK("granted", strstr(said.out, "1*  active          " ID_OTHER "  -    sign  ecdsa-sha256\n"));
    words[1] = "--json";
    CHECK_EQUAL("json", command_run(words, NULL, &said), 0);
    CHECK("own", strstr(said.out, "\"own\": true, \"operations\": [\"sign\", \"rotate\", \"destroy\"]"));
    CHECK("granted", strstr(said.out, "\"own\": false, \"operations\": [\"sign\"]"));
}

int main(void)
{
    fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK("mmap", fake != MAP_FAILED);
    test_labels();
    test_generate();
    test_rotate_and_destroy();
    test_lines();
    test_list();
    return 0;
}
