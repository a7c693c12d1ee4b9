/*
 * Status names, exit codes and the error record.
 *
 * All texts are cut to their fixed fields; no function here allocates or fails. A cut never leaves
 * half a UTF-8 sequence behind, because records end up in JSON. Threads: a record belongs to one
 * thread, the tables are constant.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STATUS_NAME(code, name, exit_code) name,
static const char *const status_names[] = {HASTEN_STATUS_TABLE(STATUS_NAME)};
#undef STATUS_NAME
#define STATUS_EXIT(code, name, exit_code) exit_code,
static const int status_exits[] = {HASTEN_STATUS_TABLE(STATUS_EXIT)};
#undef STATUS_EXIT

const char *hs_status_name(enum hasten_status status)
{
    return (unsigned)status < HASTEN_STATUS_COUNT ? status_names[status] : "unknown";
}

int hs_status_exit_code(enum hasten_status status)
{
    return (unsigned)status < HASTEN_STATUS_COUNT ? status_exits[status] : 1;
}

/* Drops a UTF-8 sequence that the end of a cut text split. */
static void trim_split_sequence(char *text)
{
    size_t length = strlen(text), start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (length - start < wanted)
        text[start - 1] = 0;
}

__attribute__((format(printf, 3, 0))) static void put_text(char *field, size_t size_bytes,
                                                           const char *format, va_list arguments)
{
    int wanted = vsnprintf(field, size_bytes, format, arguments);
    if (wanted < 0)
        field[0] = 0;
    else if ((size_t)wanted >= size_bytes)
        trim_split_sequence(field);
}

void hs_error_clear(struct hs_error *error)
{
    if (!error)
        return;
    error->status = HASTEN_OK;
    error->message[0] = error->hint[0] = error->place[0] = 0;
}

void hs_error_set(struct hs_error *error, enum hasten_status status, const char *hint,
                  const char *format, ...)
{
    if (!error)
        return;
    /* The texts may be built from the record's own old ones: finish the new ones before storing. */
    struct hs_error fresh = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    put_text(fresh.message, sizeof fresh.message, format, arguments);
    va_end(arguments);
    if (hint) {
        if ((size_t)snprintf(fresh.hint, sizeof fresh.hint, "%s", hint) >= sizeof fresh.hint)
            trim_split_sequence(fresh.hint);
    }
    *error = fresh;
}

enum hasten_status hs_error_at(struct hs_error *error, const char *format, ...)
{
    if (!error)
        return HASTEN_INTERNAL;
    if (!error->place[0]) {
        va_list arguments;
        va_start(arguments, format);
        put_text(error->place, sizeof error->place, format, arguments);
        va_end(arguments);
    }
    return error->status;
}
