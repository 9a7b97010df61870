/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* secure_getenv */
#include "certificate_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void certificate_folder(char *path, size_t room)
{
    const char *named = secure_getenv("VKS_CERTIFICATES");

    if ((size_t)snprintf(path, room, "%s", named ? named : CERTIFICATE_FOLDER_DEFAULT) >= room)
        *path = '\0';
}

/* Hidden ones are somebody's that is still writing. */
static bool is_wanted(const char *name)
{
    const char *ending = strrchr(name, '.');

    return *name != '.' && strlen(name) < CERTIFICATE_NAME_BYTES && ending &&
           (strcmp(ending, ".pem") == 0 || strcmp(ending, ".crt") == 0);
}

static void insert(struct certificate_files *files, const char *name)
{
    size_t at = files->count;

    while (at > 0 && strcmp(files->names[at - 1], name) > 0)
        at--;
    if (at == CERTIFICATE_FILES_MAX)
        return;
    if (files->count == CERTIFICATE_FILES_MAX)
        files->count--;
    memmove(&files->names[at + 1], &files->names[at], (files->count - at) * sizeof(*files->names));
    memcpy(files->names[at], name, strlen(name) + 1);
    files->count++;
}

bool certificate_files_open(const char *path, struct certificate_files *files)
{
    const struct dirent *entry;
    DIR *folder;
    int listed;

    *files = (struct certificate_files){.folder = -1};
    if (*path)
        files->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->folder < 0)
        return true;
    listed = fcntl(files->folder, F_DUPFD_CLOEXEC, 0);
    folder = listed < 0 ? NULL : fdopendir(listed);
    if (!folder) {
        if (listed >= 0)
            close(listed);
        return true;
    }
    files->names = malloc(CERTIFICATE_FILES_MAX * sizeof(*files->names));
    if (files->names)
        while ((entry = readdir(folder)))
            if (is_wanted(entry->d_name))
                insert(files, entry->d_name);
    closedir(folder);
    return files->names;
}

/* As much as there was when it was opened, or less. */
static char *read_file(int file, size_t size_max, size_t *size)
{
    char *text = malloc(size_max);
    ssize_t got = 1;

    *size = 0;
    while (text && got > 0 && *size < size_max) {
        got = read(file, text + *size, size_max - *size);
        if (got > 0)
            *size += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    if (got >= 0)
        return text;
    free(text);
    return NULL;
}

char *certificate_files_read(const struct certificate_files *files, size_t at, size_t *size)
{
    /* A pipe without a writer would keep whoever opens it. */
    int file = openat(files->folder, files->names[at], O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char *text = NULL;
    struct stat status;

    if (file < 0)
        return NULL;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        status.st_size <= CERTIFICATE_FILE_BYTES_MAX)
        text = read_file(file, (size_t)status.st_size, size);
    close(file);
    return text;
}

void certificate_files_close(struct certificate_files *files)
{
    free(files->names);
    if (files->folder >= 0)
        close(files->folder);
}
