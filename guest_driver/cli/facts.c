/* SPDX-License-Identifier: BSD-3-Clause */
/* vks info, vks list. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "io.h"

typedef const char *name_of(uint32_t number);

/* The names of the bits that are set; bits of a newer device that have no name here are left out. */
static void print_mask(uint64_t mask, name_of *name, bool json)
{
    const char *between = "";

    if (json)
        putchar('[');
    for (uint32_t bit = 0; bit < 64; bit++) {
        const char *text = mask >> bit & 1 ? name(bit) : NULL;

        if (!text)
            continue;
        printf(json ? "%s\"%s\"" : "%s%s", between, text);
        between = json ? ", " : ",";
    }
    if (json)
        putchar(']');
    else if (!*between)
        putchar('-');
}

static void print_info(const char *path, const struct vks_device_info *info)
{
    printf("device          %s\nguest           ", path);
    print_text(info->guest_name);
    printf("\nkeys            %" PRIu32 "\n", info->key_count);
    printf("device version  %u.%u.%u\n", info->device_version >> 16, info->device_version >> 8 & 0xff,
           info->device_version & 0xff);
    printf("abi             %u to %u\n", info->abi_version_min, info->abi_version_max);
    printf("input bytes     at most %" PRIu32 "\noperations      ", info->input_bytes_max);
    print_mask(info->op_mask, vks_op_name, false);
    printf("\nmechanisms      ");
    print_mask(info->mechanism_mask, vks_mechanism_name, false);
    putchar('\n');
}

static void print_info_json(const char *path, const struct vks_device_info *info)
{
    printf("{\"device\": ");
    json_text(path);
    printf(", \"guest\": ");
    json_text(info->guest_name);
    printf(", \"key_count\": %" PRIu32 ", \"device_version\": \"%u.%u.%u\"", info->key_count,
           info->device_version >> 16, info->device_version >> 8 & 0xff, info->device_version & 0xff);
    printf(", \"abi_version_min\": %u, \"abi_version_max\": %u", info->abi_version_min, info->abi_version_max);
    printf(", \"input_bytes_max\": %" PRIu32 ", \"output_bytes_max\": %" PRIu32 ", \"aad_bytes_max\": %" PRIu32
           ", \"parameter_bytes_max\": %" PRIu32 ", \"random_bytes_max\": %" PRIu32 ", \"descriptors_max\": %" PRIu32,
           info->input_bytes_max, info->output_bytes_max, info->aad_bytes_max, info->parameter_bytes_max,
           info->random_bytes_max, info->descriptors_max);
    printf(", \"operations\": ");
    print_mask(info->op_mask, vks_op_name, true);
    printf(", \"mechanisms\": ");
    print_mask(info->mechanism_mask, vks_mechanism_name, true);
    puts("}");
}

int command_info(const struct options *options)
{
    struct vks_device_info info;
    struct vks_device *device;
    int error = vks_open(options->device, &device);

    if (error)
        return complain("info", error);
    error = vks_info(device, &info);
    if (!error && options->given & OPTION_JSON)
        print_info_json(vks_path(device), &info);
    else if (!error)
        print_info(vks_path(device), &info);
    vks_close(device);
    return error ? complain("info", error) : 0;
}

static const char *name_or_unknown(const char *name)
{
    return name ? name : "unknown";
}

static void print_keys(const struct vks_key *keys, size_t count)
{
    char id[2 * VKS_KEY_ID_BYTES + 1];
    int label_width = (int)sizeof("LABEL") - 1;

    for (size_t i = 0; i < count; i++) {
        int width = snprintf(NULL, 0, "%s", keys[i].label);

        label_width = width > label_width ? width : label_width;
    }
    printf("%-*s  %-17s  %7s  %-14s  %-32s  OWN  OPERATIONS  MECHANISMS\n", label_width, "LABEL", "TYPE", "VERSION",
           "STATE", "ID");
    for (size_t i = 0; i < count; i++) {
        const struct vks_key *key = &keys[i];

        hex_text(key->id, sizeof(key->id), id);
        print_text(key->label);
        printf("%*s  %-17s  %6" PRIu32 "%c  %-14s  %s  %-3s  ", label_width - snprintf(NULL, 0, "%s", key->label), "",
               name_or_unknown(vks_key_type_name(key->type)), key->version, key->is_current ? '*' : ' ',
               name_or_unknown(vks_key_state_name(key->state)), id, vks_key_is_own(key) ? "yes" : "-");
        print_mask(key->op_mask, vks_op_name, false);
        printf("  ");
        print_mask(key->mechanism_mask, vks_mechanism_name, false);
        putchar('\n');
    }
}

static void print_keys_json(const struct vks_key *keys, size_t count)
{
    char id[2 * VKS_KEY_ID_BYTES + 1];

    putchar('[');
    for (size_t i = 0; i < count; i++) {
        const struct vks_key *key = &keys[i];

        hex_text(key->id, sizeof(key->id), id);
        printf("%s{\"label\": ", i ? ",\n " : "");
        json_text(key->label);
        printf(", \"id\": \"%s\", \"version\": %" PRIu32 ", \"current\": %s, \"type\": \"%s\", \"state\": \"%s\"", id,
               key->version, key->is_current ? "true" : "false", name_or_unknown(vks_key_type_name(key->type)),
               name_or_unknown(vks_key_state_name(key->state)));
        printf(", \"own\": %s, \"operations\": ", vks_key_is_own(key) ? "true" : "false");
        print_mask(key->op_mask, vks_op_name, true);
        printf(", \"mechanisms\": ");
        print_mask(key->mechanism_mask, vks_mechanism_name, true);
        putchar('}');
    }
    puts("]");
}

int command_list(const struct options *options)
{
    struct vks_device *device;
    struct vks_key *keys;
    size_t count;
    int error = vks_open(options->device, &device);

    if (error)
        return complain("list", error);
    error = vks_list(device, &keys, &count);
    vks_close(device);
    if (error)
        return complain("list", error);
    if (options->given & OPTION_JSON)
        print_keys_json(keys, count);
    else
        print_keys(keys, count);
    free(keys);
    return 0;
}
