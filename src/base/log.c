/*
 * Log hook: formats a line on the stack (cut at 1 KiB) and hands it over.
 *
 * The hook is set before other threads run, so it needs no synchronisation afterwards.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define LOG_LINE_BYTES 1024

static hs_log_fn log_fn;
static void *log_context;
static enum hs_log_level log_level;

void hs_log_set(hs_log_fn fn, void *context, enum hs_log_level level)
{
    log_fn = fn;
    log_context = context;
    log_level = level;
}

void hs_log(enum hs_log_level level, const char *format, ...)
{
    if (!log_fn || level > log_level)
        return;
    char line[LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length >= 0)
        log_fn(log_context, level, line);
}
