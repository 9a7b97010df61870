/* SPDX-License-Identifier: Apache-2.0 */
/* Our copy of the message: what was checked here does not change any more. */
#include "errand.h"

#include <stdbool.h>
#include <string.h>

/* As they are announced, one after the other, with nothing behind them. */
static bool lengths_fit(const struct vks_handler_run *run, uint32_t rest_bytes)
{
    const uint32_t lengths[] = {run->program_bytes, run->id_bytes, run->kind_bytes, run->line_bytes};

    for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        /* Subtract, never add: their sum may wrap. */
        if (lengths[i] > rest_bytes)
            return false;
        rest_bytes -= lengths[i];
    }
    return rest_bytes == 0;
}

static bool is_path(const uint8_t *text, uint32_t size_bytes)
{
    return size_bytes > 0 && size_bytes <= VKS_HANDLER_PATH_BYTES_MAX && text[0] == '/' && !memchr(text, 0, size_bytes);
}

static bool is_word(const uint8_t *text, uint32_t size_bytes)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

    if (size_bytes == 0 || size_bytes > VKS_HANDLER_WORD_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < size_bytes; i++)
        if (!memchr(allowed, text[i], sizeof(allowed) - 1))
            return false;
    return true;
}

/* One line with its end; JSON has no other control character (RFC 8259, 7). */
static bool is_line(const uint8_t *text, uint32_t size_bytes)
{
    if (size_bytes < 2 || text[size_bytes - 1] != '\n')
        return false;
    for (uint32_t i = 0; i < size_bytes - 1; i++)
        if (text[i] < ' ')
            return false;
    return true;
}

/* *name* and *value* as one string; there is room, and no byte of either is a zero. */
static void join(char *entry, const char *name, const uint8_t *value, uint32_t value_bytes)
{
    size_t name_bytes = strlen(name);

    memcpy(entry, name, name_bytes);
    memcpy(entry + name_bytes, value, value_bytes);
    entry[name_bytes + value_bytes] = 0;
}

const char *vks_errand_read(const struct vks_ipc_message *message, struct vks_errand *errand)
{
    const struct vks_handler_run *run = vks_ipc_body(message);
    const uint8_t *program, *id, *kind, *line;

    if (message->head.type != VKS_HANDLER_RUN || message->head.error != 0 || message->head.reserved != 0)
        return "it is no order to run a program";
    if (!lengths_fit(run, vks_ipc_body_bytes(message) - (uint32_t)sizeof(*run)))
        return "its lengths do not add up";
    program = (const uint8_t *)(run + 1);
    id = program + run->program_bytes;
    kind = id + run->id_bytes;
    line = kind + run->kind_bytes;
    if (!is_path(program, run->program_bytes))
        return "the program is no absolute path";
    if (!is_word(id, run->id_bytes))
        return "the event's id is no word";
    if (!is_word(kind, run->kind_bytes))
        return "the event's kind is no word";
    if (!is_line(line, run->line_bytes))
        return "the event is no line of text";
    join(errand->program, "", program, run->program_bytes);
    join(errand->event_id, VKS_ERRAND_ID_NAME, id, run->id_bytes);
    join(errand->event_kind, VKS_ERRAND_KIND_NAME, kind, run->kind_bytes);
    errand->line = line;
    errand->line_bytes = run->line_bytes;
    return NULL;
}
