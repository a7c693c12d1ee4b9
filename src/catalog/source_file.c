/* Source kind file: a file of this machine (a mirror on a share, a USB stick). Relative paths begin
 * at the user's folder. The file is copied, so that the cache stands on its own. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/catalog_internal.h"

const char *ct_file_check(const char *text)
{
    return text[0] ? NULL : "file: needs a path";
}

static enum hasten_status fail_errno(struct hs_error *error, const char *what, const char *path)
{
    char reason[128];
    int code = errno;
    enum hasten_status status = code == ENOENT || code == ENOTDIR ? HASTEN_NOT_FOUND : HASTEN_IO;
    (void)hs_fail(error, status, "check the source's path in the catalog", "cannot %s %s: %s", what,
                  path, strerror_r(code, reason, sizeof(reason)));
    return status;
}

static enum hasten_status copy(int file, const char *path, struct ct_sink *sink,
                               struct hs_error *error)
{
    enum hasten_status status = HASTEN_OK;
    char *piece = hs_alloc(CT_PIECE_BYTES);
    if (!piece)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the download");
    while (status == HASTEN_OK) {
        ssize_t got = read(file, piece, CT_PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            break;
        status = got < 0 ? fail_errno(error, "read", path)
                         : ct_sink_write(sink, piece, (size_t)got, error);
    }
    hs_free(piece);
    return status;
}

enum hasten_status ct_file_copy(const struct ct_pull *pull, const char *path, struct ct_sink *sink,
                                struct hs_error *error)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return fail_errno(error, "open", path);
    enum hasten_status status;
    if (fstat(file, &info) != 0)
        status = fail_errno(error, "look at", path);
    else if (!S_ISREG(info.st_mode))
        status = hs_fail(error, HASTEN_IO, NULL, "%s is not a regular file", path);
    else if (pull->part_count == 1 && (uint64_t)info.st_size != pull->model->size_bytes)
        status = hs_fail(error, HASTEN_CORRUPT_INPUT, NULL,
                         "the file has %lld bytes, the catalog says %llu", (long long)info.st_size,
                         (unsigned long long)pull->model->size_bytes);
    else
        status = copy(file, path, sink, error);
    close(file);
    return status;
}

enum hasten_status ct_file_fetch(const struct ct_pull *pull, const char *text, struct ct_sink *sink,
                                 struct hs_error *error)
{
    char *path = text[0] == '/' ? hs_strdup(text) : ct_text("%s/%s", pull->home, text);
    if (!path)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    enum hasten_status status = ct_file_copy(pull, path, sink, error);
    hs_free(path);
    return status;
}
