/*
 * Standard output and error.
 *
 * Every byte goes through stdio's stdout, whose errors are kept: main checks once at the end that
 * everything arrived, so a full disk or a closed pipe never passes for success. A stream that the
 * caller closed is replaced, lest a model file gets its number and is written into.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "text/text_utf8.h"

static int output_errno; /* first failure, 0: none */

void cli_output_open(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    /* stdout and stderr are opened for reading: writing to a closed stream stays an error. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDONLY);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL); /* a file beyond ulimit -f is an error to report */
    json_set_alloc_funcs(hs_alloc, hs_free);
}

static bool keep_result(bool ok)
{
    if (!ok && !output_errno)
        output_errno = errno ? errno : EIO;
    return !output_errno;
}

bool cli_write(const char *text, size_t size_bytes)
{
    return keep_result(size_bytes == 0 || fwrite(text, size_bytes, 1, stdout) == 1);
}

void cli_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    keep_result(vfprintf(stdout, format, arguments) >= 0);
    va_end(arguments);
}

bool cli_flush(void)
{
    return keep_result(fflush(stdout) == 0);
}

enum hasten_status cli_output_check(struct hs_error *error)
{
    if (cli_flush())
        return HASTEN_OK;
    const char *hint = output_errno == ENOSPC  ? "free space where the output goes"
                       : output_errno == EPIPE ? "the program reading it has ended"
                                               : NULL;
    (void)hs_fail(error, HASTEN_IO, hint, "cannot write to standard output: %s",
                  strerror(output_errno));
    return hs_error_at(error, "standard output");
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    char line[512];
    va_list arguments;
    if (cli->json)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "note: %s\n", line);
}

/* --- JSON --- */

json_t *cli_json_text(struct hs_str text)
{
    json_t *value = json_stringn(text.data ? text.data : "", text.size_bytes);
    if (value)
        return value;
    struct hs_buffer clean = {0};
    for (size_t at = 0; at < text.size_bytes;) {
        int length;
        char bytes[4];
        uint32_t point = tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        hs_buffer_append(&clean, bytes, (size_t)tx_utf8_put(point, bytes));
        at += (size_t)length;
    }
    if (!clean.failed)
        value = json_stringn(clean.data, clean.size_bytes);
    hs_buffer_free(&clean);
    return value;
}

static int dump_to_stdout(const char *text, size_t size_bytes, void *context)
{
    (void)context;
    return cli_write(text, size_bytes) ? 0 : -1;
}

enum hasten_status cli_print_json(struct cli *cli, json_t *value)
{
    size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(12);
    if (!value)
        return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the output");
    int failed = json_dump_callback(value, dump_to_stdout, NULL, flags);
    json_decref(value);
    if (failed && !output_errno)
        return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the output");
    (void)cli_write("\n", 1);
    return HASTEN_OK;
}

static void print_error_json(const struct hs_error *error)
{
    json_t *value = json_pack(
        "{s:{s:o,s:o,s:o}}", "error", "message", cli_json_text(hs_str_of(error->message)), "hint",
        cli_json_text(hs_str_of(error->hint)), "place", cli_json_text(hs_str_of(error->place)));
    if (value && json_dumpf(value, stderr, JSON_COMPACT) == 0)
        fputc('\n', stderr);
    json_decref(value);
}

void cli_print_error(const struct hs_error *error, bool json)
{
    if (json) {
        print_error_json(error);
        return;
    }
    fprintf(stderr, "error: %s\n",
            error->message[0] ? error->message : hs_status_name(error->status));
    if (error->hint[0])
        fprintf(stderr, "hint: %s\n", error->hint);
    if (error->place[0])
        fprintf(stderr, "at: %s\n", error->place);
}

/* --- text --- */

enum hasten_status cli_print_buffer(struct cli *cli, struct hs_buffer *buffer)
{
    bool failed = buffer->failed;
    if (!failed)
        (void)cli_write(buffer->data ? buffer->data : "", buffer->size_bytes);
    hs_buffer_free(buffer);
    if (failed)
        return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the output");
    return HASTEN_OK;
}

const char *cli_size_text(uint64_t size_bytes, char *text)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)size_bytes;
    int unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(text, 24, "%.*f %s", unit ? 1 : 0, value, units[unit]);
    return text;
}
