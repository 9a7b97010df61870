/* SPDX-License-Identifier: BSD-3-Clause */
#include "certificate_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pem.h"

static const struct certificate_entry *find_der(const struct certificate_list *list, struct vks_bytes der)
{
    for (size_t i = 0; list && i < list->count; i++)
        if (list->entries[i].certificate.der.size == der.size && memcmp(list->entries[i].der, der.data, der.size) == 0)
            return &list->entries[i];
    return NULL;
}

static void put_label(struct certificate_entry *entry, const char *name, unsigned int position)
{
    size_t size = (size_t)(strrchr(name, '.') - name);

    memcpy(entry->label, name, size);
    entry->label[size] = '\0';
    /* Programs print it: nothing that a terminal obeys. */
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)entry->label[i] < ' ' || entry->label[i] == 0x7f)
            entry->label[i] = '_';
    if (position > 1)
        snprintf(entry->label + size, sizeof(entry->label) - size, "-%u", position);
}

/* The next entry, without number and label; NULL: no certificate, or one too many. */
static struct certificate_entry *add(struct certificate_list *list, struct vks_bytes der)
{
    struct certificate_entry *entry = &list->entries[list->count];
    struct certificate certificate;

    if (list->count == CERTIFICATES_MAX || der.size > CERTIFICATES_BYTES_MAX - list->bytes)
        return NULL;
    if (!certificate_read(der, &certificate) || find_der(list, der))
        return NULL;
    entry->der = malloc(der.size);
    if (!entry->der)
        return NULL;
    memcpy(entry->der, der.data, der.size);
    certificate_read((struct vks_bytes){entry->der, der.size}, &entry->certificate);
    list->count++;
    list->bytes += der.size;
    return entry;
}

static void add_file(struct certificate_list *list, const struct certificate_files *files, size_t at, uint8_t *der)
{
    char *whole;
    struct pem_text text;
    unsigned int position = 0;
    size_t size;

    whole = certificate_files_read(files, at, &text.size);
    text.at = whole;
    while (whole && pem_next(&text, der, CERTIFICATE_BYTES_MAX, &size)) {
        struct certificate_entry *entry = add(list, (struct vks_bytes){der, size});

        position++;
        if (entry)
            put_label(entry, files->names[at], position);
    }
    free(whole);
}

static void number(struct certificate_list *list, const struct certificate_list *old, uint64_t *last_number)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct certificate_entry *before = find_der(old, list->entries[i].certificate.der);

        list->entries[i].number = before ? before->number : ++*last_number;
    }
}

struct certificate_list *certificate_list_make(const char *path, const struct certificate_list *old,
                                               uint64_t *last_number)
{
    struct certificate_list *list = calloc(1, sizeof(*list));
    uint8_t *der = malloc(CERTIFICATE_BYTES_MAX);
    struct certificate_files files;

    if (certificate_files_open(path, &files) && list && der) {
        list->references = 1;
        for (size_t i = 0; i < files.count; i++)
            add_file(list, &files, i, der);
        number(list, old, last_number);
    } else {
        free(list);
        list = NULL;
    }
    certificate_files_close(&files);
    free(der);
    return list;
}

void certificate_list_free(struct certificate_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i].der);
    free(list);
}

const struct certificate_entry *certificate_list_by_number(const struct certificate_list *list, uint64_t number)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].number == number)
            return &list->entries[i];
    return NULL;
}
