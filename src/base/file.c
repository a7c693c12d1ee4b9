/*
 * Readers, whole-file reading and the atomic writer, over plain POSIX calls.
 *
 * The writer collects small writes in one buffer and hands large ones straight to the kernel; it
 * appears under its final name by rename(2), which readers see as all or nothing, and syncs the
 * file before and the folder after, so that a crash leaves the old file or the whole new one.
 * Invariant: after a failure the partial file is gone and every later call repeats that failure.
 * EINTR is retried, short reads and writes are continued. Threads: an object belongs to one.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

#define WRITER_BUFFER_BYTES ((size_t)64 * 1024)
#define READ_FIRST_BYTES    ((size_t)16 * 1024)
#define PARTIAL_NAME_TRIES  100

/* --- errors --- */

struct errno_row {
    int code;
    enum hasten_status status;
    const char *hint;
};

static const struct errno_row errno_rows[] = {
    {ENOENT, HASTEN_NOT_FOUND, "check the path"},
    {ENOTDIR, HASTEN_NOT_FOUND, "check the path: a part of it is a file, not a folder"},
    {ENOSPC, HASTEN_IO, "free space on that file system, or choose another folder"},
    {EDQUOT, HASTEN_IO, "free space within your disk quota, or choose another folder"},
    {EFBIG, HASTEN_IO, "raise the limit on the size of files (ulimit -f)"},
    {EACCES, HASTEN_IO, "check the permissions of the path and of the folders above it"},
    {EPERM, HASTEN_IO, "check the permissions of the path and of the folders above it"},
    {EROFS, HASTEN_IO, "choose a folder on a file system that can be written"},
    {EMFILE, HASTEN_IO, "close files, or raise the limit on open files (ulimit -n)"},
    {EISDIR, HASTEN_INVALID_ARGUMENT, "name a file, not a folder"},
    {ENAMETOOLONG, HASTEN_INVALID_ARGUMENT, "use a shorter path"},
    {ENOMEM, HASTEN_OUT_OF_MEMORY, "free memory"},
    {EIO, HASTEN_IO, "check the disk"},
};

/* Fills the record from an errno value: "cannot <what>: <reason>", place = path. */
static enum hasten_status fail_errno(struct hs_error *error, int code, const char *what,
                                     const char *path)
{
    enum hasten_status status = HASTEN_IO;
    const char *hint = NULL;
    for (size_t i = 0; i < sizeof errno_rows / sizeof errno_rows[0]; i++) {
        if (errno_rows[i].code == code) {
            status = errno_rows[i].status;
            hint = errno_rows[i].hint;
        }
    }
    char reason[128];
    hs_fail(error, status, hint, "cannot %s: %s", what, strerror_r(code, reason, sizeof reason));
    hs_error_at(error, "%s", path);
    return status;
}

static enum hasten_status fail_at(struct hs_error *error, enum hasten_status status,
                                  const char *hint, const char *message, const char *path)
{
    hs_fail(error, status, hint, "%s", message);
    hs_error_at(error, "%s", path);
    return status;
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int file;
    do
        file = open(path, flags | O_CLOEXEC, mode);
    while (file < 0 && errno == EINTR);
    return file;
}

/* --- reading at any place --- */

struct hs_file_reader {
    int file;
    uint64_t size_bytes;
    char path[]; /* for messages */
};

/* Size of an open file that can be read at any place. */
static enum hasten_status regular_size(int file, const char *path, struct hs_error *error,
                                       uint64_t *size_out)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return fail_errno(error, errno, "look at the file", path);
    if (S_ISDIR(info.st_mode))
        return fail_at(error, HASTEN_INVALID_ARGUMENT, "name a file, not a folder",
                       "this is a folder", path);
    if (!S_ISREG(info.st_mode))
        return fail_at(error, HASTEN_INVALID_ARGUMENT, "copy the data into a regular file first",
                       "this is not a regular file", path);
    if (info.st_size == 0)
        return fail_at(error, HASTEN_INVALID_ARGUMENT, "write or download the file again",
                       "the file is empty", path);
    *size_out = (uint64_t)info.st_size;
    return HASTEN_OK;
}

enum hasten_status hs_file_reader_open(const char *path, struct hs_error *error,
                                       struct hs_file_reader **reader_out)
{
    uint64_t size_bytes = 0;
    /* O_NONBLOCK: opening a pipe must fail below, not wait for its writer. */
    int file = open_retrying(path, O_RDONLY | O_NONBLOCK, 0);
    if (file < 0)
        return fail_errno(error, errno, "open the file", path);
    enum hasten_status status = regular_size(file, path, error, &size_bytes);
    size_t path_bytes = strlen(path) + 1;
    struct hs_file_reader *reader = NULL;
    if (status == HASTEN_OK) {
        reader = hs_alloc(sizeof *reader + path_bytes);
        if (!reader)
            status =
                fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a reader", path);
    }
    if (status != HASTEN_OK) {
        close(file);
        return status;
    }
    reader->file = file;
    reader->size_bytes = size_bytes;
    memcpy(reader->path, path, path_bytes);
    *reader_out = reader;
    return HASTEN_OK;
}

void hs_file_reader_close(struct hs_file_reader **reader)
{
    if (!*reader)
        return;
    close((*reader)->file);
    hs_free(*reader);
    *reader = NULL;
}

uint64_t hs_file_reader_size(const struct hs_file_reader *reader)
{
    return reader->size_bytes;
}

enum hasten_status hs_file_reader_read(const struct hs_file_reader *reader, uint64_t first,
                                       void *target, size_t size_bytes, struct hs_error *error)
{
    char *at = target;
    while (size_bytes > 0) {
        ssize_t got = pread(reader->file, at, size_bytes, (off_t)first);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(error, errno, "read the file", reader->path);
        if (got == 0)
            return fail_at(error, HASTEN_IO,
                           "leave the file alone while it is read, or get it again",
                           "the file became shorter while it was read", reader->path);
        at += got;
        first += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return HASTEN_OK;
}

/* --- whole files --- */

/* Reads to the end into *buffer (capacity kept one above the content for the final 0). */
static enum hasten_status read_all(int file, const char *path, size_t limit_bytes,
                                   struct hs_error *error, struct hs_buffer *buffer)
{
    static const char no_memory[] = "no memory for the file's content";
    for (;;) {
        if (buffer->capacity_bytes - buffer->size_bytes < 2) {
            size_t capacity;
            char *data = NULL;
            if (hs_size_mul(buffer->capacity_bytes, 2, &capacity))
                data = hs_realloc(buffer->data, capacity, 1);
            if (!data)
                return fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory", no_memory, path);
            buffer->data = data;
            buffer->capacity_bytes = capacity;
        }
        size_t space = buffer->capacity_bytes - buffer->size_bytes - 1;
        ssize_t got = read(file, buffer->data + buffer->size_bytes, space);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(error, errno, "read the file", path);
        if (got == 0)
            return HASTEN_OK;
        buffer->size_bytes += (size_t)got;
        if (buffer->size_bytes > limit_bytes) {
            hs_fail(error, HASTEN_LIMIT, "use a smaller file", "the file is longer than %zu bytes",
                    limit_bytes);
            hs_error_at(error, "%s", path);
            return HASTEN_LIMIT;
        }
    }
}

/* First capacity: the size of a regular file, so that it is read at once, else a guess. */
static size_t first_capacity(int file, size_t limit_bytes)
{
    struct stat info;
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
        (uint64_t)info.st_size <= limit_bytes && (uint64_t)info.st_size < SIZE_MAX - 2)
        return (size_t)info.st_size + 2; /* the final 0 and a byte that finds the end */
    return READ_FIRST_BYTES;
}

enum hasten_status hs_file_read(const char *path, size_t limit_bytes, struct hs_error *error,
                                char **data_out, size_t *size_bytes_out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int file = is_stdin ? STDIN_FILENO : open_retrying(path, O_RDONLY, 0);
    if (file < 0)
        return fail_errno(error, errno, "open the file", name);
    struct hs_buffer buffer = {.capacity_bytes = first_capacity(file, limit_bytes)};
    enum hasten_status status;
    buffer.data = hs_alloc(buffer.capacity_bytes);
    if (buffer.data)
        status = read_all(file, name, limit_bytes, error, &buffer);
    else
        status = fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory",
                         "no memory for the file's content", name);
    if (!is_stdin)
        close(file);
    if (status != HASTEN_OK) {
        hs_buffer_free(&buffer);
        return status;
    }
    buffer.data[buffer.size_bytes] = 0;
    *data_out = buffer.data;
    *size_bytes_out = buffer.size_bytes;
    return HASTEN_OK;
}

/* --- writer --- */

struct hs_file_writer {
    char *path;
    char *partial_path;
    int file;      /* -1 after a failure */
    int failed_by; /* errno of the first failure, 0 while all is well */
    size_t held_bytes;
    char held[WRITER_BUFFER_BYTES];
};

/* Closes and removes the partial file and frees the writer. */
static void writer_destroy(struct hs_file_writer *writer)
{
    if (writer->file >= 0) {
        close(writer->file);
        unlink(writer->partial_path);
    }
    hs_free(writer->path);
    hs_free(writer->partial_path);
    hs_free(writer);
}

/* Remembers the failure and removes the partial file at once: a full disk needs the space. */
static enum hasten_status writer_fail(struct hs_file_writer *writer, int code,
                                      struct hs_error *error)
{
    if (writer->file >= 0) {
        close(writer->file);
        unlink(writer->partial_path);
        writer->file = -1;
        writer->failed_by = code;
    }
    return fail_errno(error, writer->failed_by, "write the file", writer->path);
}

static enum hasten_status write_all(struct hs_file_writer *writer, const char *data,
                                    size_t size_bytes, struct hs_error *error)
{
    while (size_bytes > 0) {
        ssize_t wrote = write(writer->file, data, size_bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return writer_fail(writer, wrote < 0 ? errno : EIO, error);
        data += wrote;
        size_bytes -= (size_t)wrote;
    }
    return HASTEN_OK;
}

/* Opens PATH.part-PID, or PATH.part-PID-N when a leftover or another writer has that name. */
static int open_partial(struct hs_file_writer *writer, size_t name_bytes)
{
    for (int try = 0; try < PARTIAL_NAME_TRIES; try++) {
        char suffix[16] = "";
        if (try > 0)
            (void)snprintf(suffix, sizeof suffix, "-%d", try);
        (void)snprintf(writer->partial_path, name_bytes, "%s.part-%ld%s", writer->path,
                       (long)getpid(), suffix);
        int file = open_retrying(writer->partial_path, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (file >= 0 || errno != EEXIST)
            return file;
    }
    return -1;
}

enum hasten_status hs_file_writer_open(const char *path, struct hs_error *error,
                                       struct hs_file_writer **writer_out)
{
    if (!path[0])
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "name a file", "the path is empty");
    struct hs_file_writer *writer = hs_calloc(1, sizeof *writer);
    if (!writer)
        return fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a writer", path);
    writer->file = -1;
    size_t name_bytes = strlen(path) + 64;
    writer->path = hs_strdup(path);
    writer->partial_path = hs_alloc(name_bytes);
    if (!writer->path || !writer->partial_path) {
        writer_destroy(writer);
        return fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a writer", path);
    }
    writer->file = open_partial(writer, name_bytes);
    if (writer->file < 0) {
        int code = errno;
        writer_destroy(writer);
        return fail_errno(error, code, "create the file", path);
    }
    *writer_out = writer;
    return HASTEN_OK;
}

static enum hasten_status writer_flush(struct hs_file_writer *writer, struct hs_error *error)
{
    size_t held_bytes = writer->held_bytes;
    writer->held_bytes = 0;
    return write_all(writer, writer->held, held_bytes, error);
}

enum hasten_status hs_file_writer_write(struct hs_file_writer *writer, const void *data,
                                        size_t size_bytes, struct hs_error *error)
{
    if (writer->file < 0)
        return writer_fail(writer, 0, error);
    if (size_bytes > WRITER_BUFFER_BYTES - writer->held_bytes)
        HS_TRY(writer_flush(writer, error));
    if (size_bytes >= WRITER_BUFFER_BYTES)
        return write_all(writer, data, size_bytes, error);
    if (size_bytes > 0)
        memcpy(writer->held + writer->held_bytes, data, size_bytes);
    writer->held_bytes += size_bytes;
    return HASTEN_OK;
}

/* Makes the rename itself durable. Best effort: some file systems cannot sync a folder. */
static void sync_folder_of(struct hs_file_writer *writer)
{
    char *slash = strrchr(writer->path, '/');
    if (slash)
        slash[slash == writer->path ? 1 : 0] = 0; /* "/name" lies in "/" */
    int folder = open_retrying(slash ? writer->path : ".", O_RDONLY | O_DIRECTORY, 0);
    if (folder >= 0) {
        (void)fsync(folder);
        close(folder);
    }
}

static enum hasten_status writer_finish(struct hs_file_writer *writer, struct hs_error *error)
{
    if (writer->file < 0)
        return writer_fail(writer, 0, error);
    HS_TRY(writer_flush(writer, error));
    int code;
    do
        code = fsync(writer->file) == 0 ? 0 : errno;
    while (code == EINTR);
    if (code != 0 && code != EINVAL && code != ENOTSUP) /* those: nothing to sync there */
        return writer_fail(writer, code, error);
    if (rename(writer->partial_path, writer->path) != 0)
        return writer_fail(writer, errno, error);
    /* The data is safe since fsync; close can only report what fsync did. */
    close(writer->file);
    writer->file = -1;
    sync_folder_of(writer);
    return HASTEN_OK;
}

enum hasten_status hs_file_writer_commit(struct hs_file_writer **writer_inout,
                                         struct hs_error *error)
{
    enum hasten_status status = writer_finish(*writer_inout, error);
    writer_destroy(*writer_inout);
    *writer_inout = NULL;
    return status;
}

void hs_file_writer_abort(struct hs_file_writer **writer_inout)
{
    if (*writer_inout)
        writer_destroy(*writer_inout);
    *writer_inout = NULL;
}

/* --- folders --- */

/* Makes one folder whose parent exists; an existing one is fine. */
static enum hasten_status make_one(const char *path, struct hs_error *error)
{
    struct stat info;
    if (mkdir(path, 0755) == 0)
        return HASTEN_OK;
    int code = errno;
    if (stat(path, &info) == 0) { /* mkdir may say EROFS or EACCES of a folder that is there */
        if (S_ISDIR(info.st_mode))
            return HASTEN_OK;
        return fail_at(error, HASTEN_IO, "remove the file, or choose another folder",
                       "cannot make the folder: a file has that name", path);
    }
    return fail_errno(error, code, "make the folder", path);
}

enum hasten_status hs_directory_make(const char *path, struct hs_error *error)
{
    if (!path[0])
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "name a folder", "the path is empty");
    char *prefix = hs_strdup(path);
    if (!prefix)
        return fail_at(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the path", path);
    enum hasten_status status = HASTEN_OK;
    for (char *at = prefix + 1; *at && status == HASTEN_OK; at++) {
        if (*at != '/' || at[-1] == '/')
            continue;
        *at = 0;
        status = make_one(prefix, error);
        *at = '/';
    }
    if (status == HASTEN_OK)
        status = make_one(prefix, error);
    hs_free(prefix);
    return status;
}
