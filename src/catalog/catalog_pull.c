/*
 * Pulling a model: one pull of a file at a time, sources in order, one sink that verifies.
 *
 * A pull holds the lock $HOME_FOLDER/tmp/FILE.lock; a second one waits and then finds the file
 * there. Under the lock FILE.pull (temporary folder) and models/FILE.part-* belong to this pull, so
 * leftovers of killed pulls can be removed without guessing. The file appears in models/ by rename,
 * after its size and SHA-256 were compared with the catalog's.
 *
 * Signals: SIGINT, SIGTERM and SIGHUP are blocked for the calling thread while it pulls, unless
 * they are ignored, and looked for at every progress step; then the pull is cancelled and cleaned
 * up, and the signal takes its course when the mask is restored. No handler is installed. In a
 * program of several threads another thread may take the signal; then the program's own handler
 * decides, and what a killed pull leaves behind is removed by the next.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "catalog/catalog_internal.h"
#include "catalog/http_download.h"

static const struct ct_source_kind ct_source_kinds[] = {
    {"pypi", ct_pypi_check, ct_pypi_fetch, NULL},    {"file", ct_file_check, ct_file_fetch, NULL},
    {"https", ct_https_check, NULL, ct_https_fetch}, {"http", ct_https_check, NULL, ct_https_fetch},
    {"hf", ct_hf_check, NULL, ct_https_fetch},
};

const struct ct_source_kind *ct_source_kind_of(const char *part, const char **text_out)
{
    for (size_t i = 0; i < sizeof(ct_source_kinds) / sizeof(ct_source_kinds[0]); i++) {
        size_t length = strlen(ct_source_kinds[i].name);
        if (strncmp(part, ct_source_kinds[i].name, length) == 0 && part[length] == ':') {
            *text_out = part + length + 1;
            return &ct_source_kinds[i];
        }
    }
    return NULL;
}

struct hs_str ct_next_part(const char **rest)
{
    const char *start = *rest;
    if (!start)
        return (struct hs_str){NULL, 0};
    const char *joint = strstr(start, CT_PART_JOINT);
    *rest = joint ? joint + strlen(CT_PART_JOINT) : NULL;
    return (struct hs_str){start, joint ? (size_t)(joint - start) : strlen(start)};
}

int ct_count_parts(const char *source)
{
    int count = 0;
    while (ct_next_part(&source).data)
        count++;
    return count;
}

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the download");
}

enum hasten_status ct_cancelled(struct hs_error *error)
{
    return hs_fail(error, HASTEN_CANCELLED, NULL, "the download was cancelled");
}

/* ---- Signals and progress ---- */

static const int watched_signals[] = {SIGINT, SIGTERM, SIGHUP};
#define WATCHED_COUNT (sizeof(watched_signals) / sizeof(watched_signals[0]))

static void watch_signals(struct ct_pull *pull)
{
    sigemptyset(&pull->watched);
    for (size_t i = 0; i < WATCHED_COUNT; i++) {
        struct sigaction action;
        if (sigaction(watched_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&pull->watched, watched_signals[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &pull->watched, &pull->saved);
}

static bool signal_pending(const struct ct_pull *pull)
{
    sigset_t pending;
    if (sigpending(&pending) != 0)
        return false;
    for (size_t i = 0; i < WATCHED_COUNT; i++)
        if (sigismember(&pull->watched, watched_signals[i]) &&
            !sigismember(&pull->saved, watched_signals[i]) &&
            sigismember(&pending, watched_signals[i]))
            return true;
    return false;
}

bool ct_pull_progress(const struct ct_pull *pull, const char *what, uint64_t done, uint64_t total)
{
    if (signal_pending(pull))
        return false;
    return !pull->progress ||
           pull->progress(pull->context, what, total && done > total ? total : done, total);
}

bool ct_pull_continues(const struct ct_pull *pull, const char *what, uint64_t done)
{
    return ct_pull_progress(pull, what, done, pull->model->size_bytes);
}

/* ---- Sink ---- */

struct ct_sink {
    const struct ct_pull *pull;
    struct hs_file_writer *writer; /* NULL: only verifying */
    struct ct_sha256 *sha;
    const char *what; /* for progress */
    uint64_t done;
};

static enum hasten_status sink_open(struct ct_sink *sink, const struct ct_pull *pull,
                                    const char *path, struct hs_error *error)
{
    *sink = (struct ct_sink){.pull = pull, .what = path ? "unpacking" : "verifying"};
    sink->sha = ct_sha256_new();
    if (!sink->sha)
        return out_of_memory(error);
    return path ? hs_file_writer_open(path, error, &sink->writer) : HASTEN_OK;
}

static void sink_close(struct ct_sink *sink)
{
    hs_file_writer_abort(&sink->writer);
    ct_sha256_free(sink->sha);
    sink->sha = NULL;
}

enum hasten_status ct_sink_write(struct ct_sink *sink, const void *data, size_t size_bytes,
                                 struct hs_error *error)
{
    if (size_bytes > sink->pull->model->size_bytes - sink->done)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, NULL,
                       "the file is longer than the %llu bytes that the catalog says",
                       (unsigned long long)sink->pull->model->size_bytes);
    if (!ct_sha256_add(sink->sha, data, size_bytes))
        return hs_fail(error, HASTEN_INTERNAL, NULL, "libcrypto cannot compute SHA-256");
    if (sink->writer)
        HS_TRY(hs_file_writer_write(sink->writer, data, size_bytes, error));
    sink->done += size_bytes;
    return ct_pull_continues(sink->pull, sink->what, sink->done) ? HASTEN_OK : ct_cancelled(error);
}

static enum hasten_status sink_finish(struct ct_sink *sink, struct hs_error *error)
{
    const struct ct_model *model = sink->pull->model;
    char sum[CT_SHA256_HEX + 1];
    if (sink->done != model->size_bytes)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, "download it again",
                       "the file has %llu bytes, the catalog says %llu",
                       (unsigned long long)sink->done, (unsigned long long)model->size_bytes);
    if (!ct_sha256_finish(sink->sha, sum))
        return hs_fail(error, HASTEN_INTERNAL, NULL, "libcrypto cannot compute SHA-256");
    if (strcmp(sum, model->sha256) != 0)
        return hs_fail(error, HASTEN_CORRUPT_INPUT,
                       "the file was damaged or replaced on the way: download it again",
                       "SHA-256 is %s, the catalog says %s", sum, model->sha256);
    return sink->writer ? hs_file_writer_commit(&sink->writer, error) : HASTEN_OK;
}

/* ---- Sources ---- */

/* A part of a kind that makes files, through the temporary folder. */
static enum hasten_status fetch_through(const struct ct_pull *pull,
                                        const struct ct_source_kind *kind, const char *source,
                                        struct ct_sink *sink, struct hs_error *error)
{
    char *path = ct_text("%s/part", pull->folder);
    enum hasten_status status =
        path ? kind->fetch_to(pull, source, path, error) : out_of_memory(error);
    if (status == HASTEN_OK)
        status = ct_file_copy(pull, path, sink, error);
    hs_free(path);
    return status;
}

static enum hasten_status fetch_part(const struct ct_pull *pull, struct hs_str part,
                                     struct ct_sink *sink, struct hs_error *error)
{
    const char *text;
    enum hasten_status status;
    char *source = hs_strndup(part.data, part.size_bytes);
    if (!source)
        return out_of_memory(error);
    const struct ct_source_kind *kind = ct_source_kind_of(source, &text);
    if (!kind)
        status = hs_fail(error, HASTEN_UNSUPPORTED, NULL, "unknown kind of source");
    else if (kind->fetch_to)
        status = fetch_through(pull, kind, source, sink, error);
    else
        status = kind->fetch(pull, text, sink, error);
    if (status != HASTEN_OK)
        (void)hs_error_at(error, "%s", source);
    hs_free(source);
    return status;
}

/* All parts of a source, in order. What a part left in the temporary folder goes before the next
 * one: a file of many parts needs little more room than one of them. */
static enum hasten_status fetch_parts(struct ct_pull *pull, const char *source,
                                      struct ct_sink *sink, struct hs_error *error)
{
    pull->part_count = ct_count_parts(source);
    for (struct hs_str part = ct_next_part(&source); part.data; part = ct_next_part(&source)) {
        ct_remove_tree(pull->folder);
        HS_TRY(hs_directory_make(pull->folder, error));
        pull->part_start = sink->done;
        HS_TRY(fetch_part(pull, part, sink, error));
    }
    return HASTEN_OK;
}

static enum hasten_status fetch_to_sink(struct ct_pull *pull, const char *source, const char *path,
                                        struct hs_error *error)
{
    struct ct_sink sink;
    enum hasten_status status = sink_open(&sink, pull, path, error);
    if (status == HASTEN_OK)
        status = fetch_parts(pull, source, &sink, error);
    if (status == HASTEN_OK)
        status = sink_finish(&sink, error);
    sink_close(&sink);
    return status;
}

static enum hasten_status try_source(struct ct_pull *pull, const char *source, const char *path,
                                     struct hs_error *error)
{
    const char *text;
    const struct ct_source_kind *kind = ct_source_kind_of(source, &text);
    bool in_place = kind && kind->fetch_to && ct_count_parts(source) == 1;
    pull->part_count = 1;
    pull->part_start = 0;
    enum hasten_status status = in_place ? kind->fetch_to(pull, source, path, error)
                                         : fetch_to_sink(pull, source, path, error);
    if (status != HASTEN_OK)
        (void)hs_error_at(error, "%s", source);
    return status;
}

/* Status that stands for several failures: the one that needs most attention. */
static enum hasten_status graver(enum hasten_status a, enum hasten_status b)
{
    if (a == HASTEN_CORRUPT_INPUT || b == HASTEN_CORRUPT_INPUT)
        return HASTEN_CORRUPT_INPUT;
    return a == HASTEN_NOT_FOUND && b == HASTEN_NOT_FOUND ? HASTEN_NOT_FOUND : HASTEN_IO;
}

static enum hasten_status try_sources(struct ct_pull *pull, const char *path,
                                      struct hs_error *error)
{
    const struct ct_model *model = pull->model;
    struct hs_error last = {0};
    char reasons[320] = "";
    size_t at = 0;
    enum hasten_status worst = HASTEN_NOT_FOUND;
    for (int i = 0; i < model->source_count; i++) {
        hs_error_clear(&last);
        enum hasten_status status = try_source(pull, model->sources[i], path, &last);
        if (status == HASTEN_OK)
            return HASTEN_OK;
        bool final = status == HASTEN_CANCELLED || status == HASTEN_OUT_OF_MEMORY;
        if (final || model->source_count == 1) {
            if (error)
                *error = last;
            return status;
        }
        worst = graver(worst, status);
        size_t room = sizeof(reasons) - at, share = room / (size_t)(model->source_count - i);
        int wrote = snprintf(reasons + at, share, "%s%d: %s", i ? "; " : "", i + 1, last.message);
        at += wrote < (int)share ? (size_t)wrote : share - 1;
    }
    (void)hs_fail(error, worst, last.hint[0] ? last.hint : NULL, "%s", reasons);
    (void)hs_error_at(error, "the %d sources of model '%s'", model->source_count, model->name);
    return worst;
}

/* ---- Lock and folders ---- */

static void wait_a_little(void)
{
    struct timespec time = {.tv_nsec = 100 * 1000 * 1000};
    (void)nanosleep(&time, NULL);
}

/* Takes the lock of the model's file, waiting for another pull of it. */
static enum hasten_status take_lock(const struct ct_pull *pull, const char *path,
                                    struct hs_error *error, int *lock_out)
{
    for (;;) {
        int lock = ct_lock(path), code = errno;
        if (lock >= 0) {
            *lock_out = lock;
            return HASTEN_OK;
        }
        if (code != EWOULDBLOCK) {
            char reason[128];
            (void)hs_fail(error, HASTEN_IO, "set HASTEN_HOME to a folder that can be written",
                          "cannot lock the cache: %s", strerror_r(code, reason, sizeof(reason)));
            (void)hs_error_at(error, "%s", path);
            return HASTEN_IO;
        }
        if (!ct_pull_continues(pull, "waiting for another download of it", 0))
            return ct_cancelled(error);
        wait_a_little();
    }
}

/* Looks whether the file is there with the right content. Fails only when cancelled. */
static enum hasten_status verify(const struct ct_pull *pull, const char *path,
                                 struct hs_error *error, bool *good_out)
{
    struct ct_sink sink;
    *good_out = ct_is_present(pull->model);
    if (!*good_out || !pull->model->sha256) /* nothing to compare with: it came whole */
        return HASTEN_OK;
    enum hasten_status status = sink_open(&sink, pull, NULL, NULL);
    if (status == HASTEN_OK)
        status = ct_file_copy(pull, path, &sink, NULL);
    if (status == HASTEN_OK)
        status = sink_finish(&sink, NULL);
    sink_close(&sink);
    *good_out = status == HASTEN_OK;
    return status == HASTEN_CANCELLED ? ct_cancelled(error) : HASTEN_OK;
}

static enum hasten_status make_folders(const struct ct_pull *pull, struct hs_error *error)
{
    static const char *const names[] = {"models", "tmp"};
    for (int i = 0; i < 2; i++) {
        char *path = ct_text("%s/%s", pull->home, names[i]);
        enum hasten_status status = path ? hs_directory_make(path, error) : out_of_memory(error);
        hs_free(path);
        HS_TRY(status);
    }
    return HASTEN_OK;
}

/* Shows the terms of use before anything is fetched. */
static enum hasten_status show_terms(const struct ct_pull *pull, struct hs_error *error)
{
    const struct ct_model *model = pull->model;
    if (!model->terms)
        return HASTEN_OK;
    if (!pull->progress) {
        char hint[128];
        (void)snprintf(hint, sizeof(hint), "download it where they are shown: hasten pull %s",
                       model->name);
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, hint,
                       "model '%s' has terms of use that must be shown before the download",
                       model->name);
    }
    char *what = ct_text(CT_TERMS_MARK "%s", model->terms);
    if (!what)
        return out_of_memory(error);
    bool go_on = pull->progress(pull->context, what, 0, 0);
    hs_free(what);
    return go_on ? HASTEN_OK : ct_cancelled(error);
}

/* With the lock held: clears leftovers, fetches, clears. */
static enum hasten_status pull_locked(struct ct_pull *pull, const char *path,
                                      struct hs_error *error)
{
    bool good;
    HS_TRY(verify(pull, path, error, &good));
    if (good) /* another pull was faster */
        return HASTEN_OK;
    if (!pull->model->sha256)
        return ct_remote_fetch(pull, error);
    HS_TRY(show_terms(pull, error));
    char *models = ct_text("%s/models", pull->home), *tmp = ct_text("%s/tmp", pull->home);
    char *parts = ct_text("%s.part-", pull->model->file_name);
    enum hasten_status status = HASTEN_OUT_OF_MEMORY;
    if (models && tmp && parts) {
        ct_remove_prefixed(models, parts);
        ct_remove_tree(pull->folder);
        ct_remove_stale(tmp);
        status = try_sources(pull, path, error);
        if (status == HASTEN_OK) /* another source's, unfinished */
            (void)ct_download_forget(path);
        ct_remove_tree(pull->folder);
    } else {
        status = out_of_memory(error);
    }
    hs_free(models);
    hs_free(tmp);
    hs_free(parts);
    return status;
}

/* The caller's. Paths with folders, which may be long, go by a sum. */
static char *lock_path_of(const struct ct_pull *pull)
{
    const char *name = pull->model->file_name;
    char sum[CT_SHA256_HEX + 1];
    if (!strchr(name, '/'))
        return ct_text("%s/tmp/%s.lock", pull->home, name);
    struct ct_sha256 *sha = ct_sha256_new();
    bool good = sha && ct_sha256_add(sha, name, strlen(name)) && ct_sha256_finish(sha, sum);
    ct_sha256_free(sha);
    return good ? ct_text("%s/tmp/%s.lock", pull->home, sum) : NULL;
}

static enum hasten_status pull_watched(struct ct_pull *pull, const char *path,
                                       struct hs_error *error)
{
    int lock = -1;
    bool good;
    HS_TRY(verify(pull, path, error, &good));
    if (good) /* also in a cache that cannot be written */
        return HASTEN_OK;
    HS_TRY(make_folders(pull, error));
    char *lock_path = lock_path_of(pull);
    enum hasten_status status =
        lock_path ? take_lock(pull, lock_path, error, &lock) : out_of_memory(error);
    if (status == HASTEN_OK)
        status = pull_locked(pull, path, error);
    if (lock >= 0)
        close(lock);
    hs_free(lock_path);
    return status;
}

enum hasten_status ct_pull(const struct ct_model *model, ct_progress_fn progress, void *context,
                           struct hs_error *error)
{
    struct ct_pull pull = {
        .model = model, .progress = progress, .context = context, .part_count = 1};
    enum hasten_status status;
    char *path = NULL;
    pull.home = ct_home();
    if (!pull.home)
        return ct_no_home(error);
    path = ct_path(model);
    pull.folder = ct_text("%s/tmp/%s.pull", pull.home, model->file_name);
    if (path && pull.folder) {
        watch_signals(&pull);
        status = pull_watched(&pull, path, error);
        (void)pthread_sigmask(SIG_SETMASK, &pull.saved, NULL);
    } else {
        status = out_of_memory(error);
    }
    hs_free(pull.home);
    hs_free(pull.folder);
    hs_free(path);
    return status;
}
