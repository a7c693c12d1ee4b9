/*
 * Status codes and the error record.
 *
 * Every function that can fail returns enum hasten_status; outputs come last as *_out and stay
 * untouched on failure. The code says what kind of failure it was; message, hint and place go into
 * an error record of the caller. Every call clears the record first, so that it tells about the
 * last one. A NULL record is allowed everywhere: only the detail is lost. The library never prints,
 * exits or aborts.
 *
 * Text rules: the message is one factual line without final period ("tensor 'x' ends at byte 12,
 * file has 10"); the hint says what to do ("download the file again"), the place where it happened
 * ("model.gguf, tensor table"); both may be empty. Texts are UTF-8 and end with a 0 byte.
 *
 * Threads: a record belongs to one thread at a time. ABI: codes keep their numbers and the record
 * its layout for as long as the library keeps its soname; new codes are added at the end.
 */
#ifndef HASTEN_STATUS_H
#define HASTEN_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In front of every public function: all other symbols of the shared library are hidden. */
#if defined(__GNUC__)
#define HASTEN_API      __attribute__((visibility("default")))
#define HASTEN_MUST_USE __attribute__((warn_unused_result))
#else
#define HASTEN_API
#define HASTEN_MUST_USE
#endif

/* code, text name, exit code that a program ends with (0 success, 1 failed, 2 wrong usage) */
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

struct hasten_error {
    enum hasten_status status;
    char message[320];
    char hint[256];
    char place[256];
};

/* Text name of a code ("corrupt_input"); "unknown" for a value outside the table. Any thread. */
HASTEN_API const char *hasten_status_name(enum hasten_status status);

#ifdef __cplusplus
}
#endif
#endif
