/*
 * Status codes and the error record: what the rooms add to the public description.
 *
 * Codes, record and their rules stand in <hasten/status.h>, the only public header that rooms below
 * api may include. Here are the functions that fill a record.
 */
#ifndef HASTEN_BASE_STATUS_H
#define HASTEN_BASE_STATUS_H

#include <hasten/status.h>
#include <stddef.h>

#define HS_MUST_USE HASTEN_MUST_USE

/* Between rooms the public record goes by the short name: the same type, never a copy. */
#define hs_error hasten_error

/* Name of a status code ("corrupt_input"); "unknown" for a value outside the table. */
const char *hs_status_name(enum hasten_status status);

/* Exit code that a program ends with on this status: 0, 1 or 2. */
int hs_status_exit_code(enum hasten_status status);

/* Clears the record to HASTEN_OK and empty texts. NULL is allowed. */
void hs_error_clear(struct hs_error *error);

/*
 * Fills the record (NULL allowed) and returns status, so that callers write
 *     return hs_fail(error, HASTEN_CORRUPT_INPUT, "download it again", "magic is %08x", magic);
 * hint may be NULL. The place is cleared; use hs_error_at to say where. Long texts are cut.
 */
#define hs_fail(error, status, hint, ...)                                                          \
    hs_fail_status((hs_error_set(error, status, hint, __VA_ARGS__), (status)))

/* What hs_fail calls: fills the record. A macro in front, so that compilers see which status comes
 * back (a constant that is not HASTEN_OK) and do not warn about outputs that stay unset. */
void hs_error_set(struct hs_error *error, enum hasten_status status, const char *hint,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
static inline enum hasten_status hs_fail_status(enum hasten_status status)
{
    return status;
}

/* Sets the place if none is set yet (the innermost place wins) and returns error's status. */
enum hasten_status hs_error_at(struct hs_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Returns from the calling function when expr is not HASTEN_OK. One of two control-flow macros. */
#define HS_TRY(expr)                                                                               \
    do {                                                                                           \
        enum hasten_status hs_try_status_ = (expr);                                                \
        if (hs_try_status_ != HASTEN_OK)                                                           \
            return hs_try_status_;                                                                 \
    } while (0)

/* Jumps to label when expr is not HASTEN_OK, with `status` set: the cleanup form of HS_TRY. */
#define HS_TRY_GOTO(status, expr, label)                                                           \
    do {                                                                                           \
        (status) = (expr);                                                                         \
        if ((status) != HASTEN_OK)                                                                 \
            goto label;                                                                            \
    } while (0)

#endif
