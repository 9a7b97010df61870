/* SPDX-License-Identifier: BSD-3-Clause */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

void findings_add(struct findings *findings, bool is_ok, const char *hint, const char *format, ...)
{
    struct finding *finding;
    va_list arguments;

    if (findings->count == FINDINGS_MAX)
        return;
    finding = &findings->list[findings->count++];
    finding->is_ok = is_ok;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
    snprintf(finding->hint, sizeof(finding->hint), "%s", hint);
}
