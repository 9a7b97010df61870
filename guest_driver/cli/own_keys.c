/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands on keys of the guest's own: generate, rotate, destroy. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "session.h"

/* What an answer means here, where the library's words for every operation would say less. */
static const struct {
    const char *command;
    int error;
    const char *text;
    const char *hint;
} answers[] = {
    {"generate", VKS_STATUS_DENIED, "this guest may have no keys of its own",
     "the host's operator may allow some: vmm-keystore guest set GUEST --own-keys N"},
    {"generate", VKS_STATUS_LIMIT, "this guest has as many keys of its own as it may have",
     "'vks destroy KEY' makes room; the host's operator may allow more"},
    {"generate", VKS_STATUS_INPUT_SIZE, "the label is too long: with the guest's name it may have 62 bytes",
     "'vks info' shows the name"},
    {"generate", VKS_STATUS_UNAVAILABLE, "the host cannot make keys now",
     "try again; the host's operator knows what is wrong"},
    {"rotate", VKS_STATUS_DENIED, "the key is not this guest's own",
     "'vks list' shows which are; others are rotated by the host's operator"},
    {"rotate", VKS_STATUS_LIMIT, "the key has as many versions as a guest may make",
     "'vks generate' makes another key; the host's operator may destroy old versions of this one"},
    {"rotate", VKS_STATUS_UNAVAILABLE, "the host cannot make keys now",
     "try again; the host's operator knows what is wrong"},
    {"destroy", VKS_STATUS_DENIED, "the key is not this guest's own",
     "'vks list' shows which are; others are destroyed by the host's operator"},
    {"destroy", VKS_STATUS_UNAVAILABLE, "the host cannot destroy keys now",
     "try again; the host's operator knows what is wrong"},
};

static int complain_answer(const char *command, int error)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (answers[i].error == error && strcmp(answers[i].command, command) == 0)
            return complain_words(command, answers[i].text, answers[i].hint);
    }
    return complain(command, error);
}

static int complain_type(uint32_t type)
{
    char text[80];

    snprintf(text, sizeof(text), "this host makes no keys of type %s for guests", vks_key_type_name(type));
    return complain_words("generate", text, "'vks generate --help' lists the types; older hosts make none");
}

static void print_made(const struct options *options, const char *label, const char *id)
{
    if (options->given & OPTION_JSON) {
        printf("{\"label\": ");
        json_text(label);
        printf(", \"type\": \"%s\", \"id\": \"%s\"}\n", vks_key_type_name(options->type), id);
    } else {
        print_text(label);
        printf("  %s  %s\n", vks_key_type_name(options->type), id);
    }
}

int command_generate(const struct options *options)
{
    const char *label = options->operands[0];
    char id[2 * VKS_KEY_ID_BYTES + 1];
    uint8_t key_id[VKS_KEY_ID_BYTES];
    struct vks_device *device;
    int error;

    if (!vks_label_is_valid(label))
        return complain_words("generate", "this is no label for a key",
                              "letters, digits, '.', '_' and '-', the first a letter or digit, at most 61 in all");
    error = vks_open(options->device, &device);
    if (error)
        return complain("generate", error);
    error = vks_generate(device, options->type, label, key_id);
    vks_close(device);
    if (error == VKS_STATUS_UNSUPPORTED)
        return complain_type(options->type);
    if (error)
        return complain_answer("generate", error);
    hex_text(key_id, sizeof(key_id), id);
    print_made(options, label, id);
    return 0;
}

static void print_rotated(const struct options *options, const struct vks_key *key, uint32_t version)
{
    char id[2 * VKS_KEY_ID_BYTES + 1];

    hex_text(key->id, sizeof(key->id), id);
    if (options->given & OPTION_JSON) {
        printf("{\"label\": ");
        json_text(key->label);
        printf(", \"version\": %" PRIu32 ", \"id\": \"%s\"}\n", version, id);
    } else {
        print_text(key->label);
        printf("  version %" PRIu32 "  %s\n", version, id);
    }
}

int command_rotate(const struct options *options)
{
    struct session session;
    uint32_t version = 0;
    int error;

    if (!session_begin(options, false, &session))
        return 1;
    error = vks_rotate(session.device, session.key.id, &version);
    if (!error)
        print_rotated(options, &session.key, version);
    session_end(&session);
    return error ? complain_answer("rotate", error) : 0;
}

/* By label and id: the key may have been named by either. */
static bool is_confirmed(const struct vks_key *key)
{
    char id[2 * VKS_KEY_ID_BYTES + 1];
    char warning[120];

    hex_text(key->id, sizeof(key->id), id);
    snprintf(warning, sizeof(warning), "(%s) with all its versions? this cannot be undone", id);
    return confirm("destroy key", key->label, warning);
}

int command_destroy(const struct options *options)
{
    bool is_asked = !(options->given & OPTION_YES);
    struct session session;
    char text[200];
    int error;

    if (is_asked && !isatty(STDIN_FILENO)) {
        snprintf(text, sizeof(text), "will not destroy key %.80s with all its versions without being asked to twice",
                 options->operands[0]);
        return complain_words("destroy", text, "add --yes");
    }
    if (!session_begin(options, false, &session))
        return 1;
    /* No question about what would be refused. */
    error = vks_key_is_own(&session.key) ? 0 : VKS_STATUS_DENIED;
    if (!error && is_asked && !is_confirmed(&session.key)) {
        session_end(&session);
        return complain_words("destroy", "nothing was changed", NULL);
    }
    if (!error)
        error = vks_destroy(session.device, session.key.id);
    session_end(&session);
    return error ? complain_answer("destroy", error) : 0;
}
