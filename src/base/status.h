/*
 * Status codes and the error record.
 *
 * Every function that can fail returns enum hasten_status; outputs come last as *_out and stay
 * untouched on failure. The code says what kind of failure it was; the detail (message, hint,
 * place) goes into an error record that the caller owns and passes down. A NULL record is allowed
 * everywhere: only the detail is lost. The library never prints, exits or aborts.
 *
 * Text rules: the message is one factual line without final period ("tensor 'x' ends at byte 12,
 * file has 10"); the hint says what to do ("download the file again"); the place says where
 * ("model.gguf, tensor table"). Thread safety: a record belongs to one thread at a time.
 */
#ifndef HASTEN_BASE_STATUS_H
#define HASTEN_BASE_STATUS_H

#include <stddef.h>

/* code, text name, process exit code (0 success, 1 failed, 2 wrong usage) */
#define HASTEN_STATUS_TABLE(X)                                                                     \
    X(HASTEN_OK, "ok", 0)                                                                          \
    X(HASTEN_INVALID_ARGUMENT, "invalid_argument", 2)                                              \
    X(HASTEN_NOT_FOUND, "not_found", 1)                                                            \
    X(HASTEN_UNSUPPORTED, "unsupported", 1)                                                        \
    X(HASTEN_CORRUPT_INPUT, "corrupt_input", 1)                                                    \
    X(HASTEN_OUT_OF_MEMORY, "out_of_memory", 1)                                                    \
    X(HASTEN_IO, "io", 1)                                                                          \
    X(HASTEN_LIMIT, "limit", 1)                                                                    \
    X(HASTEN_AGAIN, "again", 1)                                                                    \
    X(HASTEN_CANCELLED, "cancelled", 1)                                                            \
    X(HASTEN_TIMEOUT, "timeout", 1)                                                                \
    X(HASTEN_INTERNAL, "internal", 1)

#define HASTEN_STATUS_ENUM(code, name, exit_code) code,
enum hasten_status { HASTEN_STATUS_TABLE(HASTEN_STATUS_ENUM) HASTEN_STATUS_COUNT };
#undef HASTEN_STATUS_ENUM

#define HS_MUST_USE __attribute__((warn_unused_result))

struct hs_error {
    enum hasten_status status;
    char message[320];
    char hint[256];
    char place[256];
};

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
