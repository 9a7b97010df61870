/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "failure.h"

bool fail(struct failure *failure, int error, const char *hint, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(failure->text, sizeof(failure->text), format, arguments);
    va_end(arguments);
    snprintf(failure->hint, sizeof(failure->hint), "%s", hint ? hint : "");
    failure->error = error;
    return false;
}
