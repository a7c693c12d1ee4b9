/*
 * Resumable download, see http_download.h.
 *
 * The bytes of the part are hashed once: those of an earlier run before the first request, the rest
 * as they come. A request for the rest carries Range and If-Range with the validator (a strong
 * ETag, else Last-Modified), and a 206 is believed only when its range begins where the part ends,
 * its total is the one known and its ETag is the recorded one; everything else begins the file
 * anew. Without a validator the part is used only when a SHA-256 will judge the result. When the
 * sum of a resumed file is wrong, the file is fetched once more from its first byte.
 *
 * A file whose length nobody says (no Content-Length, no Content-Range, none known) is refused: a
 * cut connection could not be told from its end. Failures count while the part does not grow past
 * its longest so far by at least 1 % or 64 KiB; so a server that cuts every answer is followed to
 * the end, and one that trickles is not. One thread.
 */
#include "catalog/http_download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "catalog/http_client.h"

#define NOTE_BYTES_MOST    1024
#define PROGRESS_BYTES     65536u              /* growth that counts, at most */
#define SPACE_MARGIN_BYTES ((uint64_t)1 << 20) /* left free on the disk */

enum verdict { /* what a callback found, read after the request */
               GOES_ON,
               CANCELLED,
               FAILED,  /* transfer.failure says why; final */
               RESTART, /* the part belongs to another version */
};

struct transfer {
    const struct ct_download *download;
    char *part_path, *note_path;
    int file;
    uint64_t done;    /* bytes in the part, all hashed */
    uint64_t longest; /* most that were ever there, less than what counts as progress */
    uint64_t total;   /* 0 unknown */
    struct ct_sha256 *sha;
    char wanted_sum[CT_SHA256_HEX + 1]; /* "" unknown */
    char validator[192];                /* "" none */
    bool resumed;                       /* bytes of more than one request */
    bool refetched;                     /* begun anew after a wrong sum */
    enum verdict verdict;
    struct hs_error *error;
    enum hasten_status failure;
};

static enum hasten_status no_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the download");
}

static enum hasten_status disk_full(const struct transfer *transfer, uint64_t missing)
{
    hs_fail(transfer->error, HASTEN_IO,
            "free space, or set HASTEN_HOME to a folder on another disk; the download goes on "
            "where it stopped",
            "the disk is full: %" PRIu64 " MB of the file are missing", missing / 1000000 + 1);
    return hs_error_at(transfer->error, "%s", transfer->part_path);
}

static enum hasten_status fail_errno(const struct transfer *transfer, const char *what, int code)
{
    char reason[128];
    if (code == ENOSPC || code == EDQUOT)
        return disk_full(transfer,
                         transfer->total > transfer->done ? transfer->total - transfer->done : 0);
    hs_fail(transfer->error, HASTEN_IO, "check the folder, or set HASTEN_HOME to another one",
            "cannot %s the file: %s", what, strerror_r(code, reason, sizeof(reason)));
    return hs_error_at(transfer->error, "%s", transfer->part_path);
}

/* ---- The part and its note ---- */

bool ct_download_forget(const char *path)
{
    static const char *const suffixes[] = {".part.etag", ".part"};
    bool removed = false;
    for (int i = 0; i < 2; i++) {
        char *name = ct_text("%s%s", path, suffixes[i]);
        removed = name && unlink(name) == 0;
        hs_free(name);
    }
    return removed;
}

static void write_note(const struct transfer *transfer)
{
    char text[NOTE_BYTES_MOST];
    struct hs_file_writer *writer = NULL;
    int length = snprintf(text, sizeof(text), "%s\n%s\n%" PRIu64 "\n",
                          transfer->validator[0] ? transfer->validator : "-",
                          transfer->wanted_sum[0] ? transfer->wanted_sum : "-", transfer->total);
    /* Without a note the part is only worth less: not an error. */
    if (hs_file_writer_open(transfer->note_path, NULL, &writer) != HASTEN_OK)
        return;
    if (hs_file_writer_write(writer, text, (size_t)length, NULL) == HASTEN_OK &&
        hs_file_writer_commit(&writer, NULL) == HASTEN_OK)
        return;
    hs_file_writer_abort(&writer);
}

/* Takes a line of the note; "" for "-" and for what does not fit. */
static const char *take_line(const char *at, char *line, size_t size_bytes)
{
    size_t length = strcspn(at, "\n");
    line[0] = 0;
    if (length < size_bytes && !(length == 1 && at[0] == '-')) {
        memcpy(line, at, length);
        line[length] = 0;
    }
    return at[length] ? at + length + 1 : at + length;
}

static bool is_sum(const char *text)
{
    return strlen(text) == CT_SHA256_HEX && strspn(text, "0123456789abcdef") == CT_SHA256_HEX;
}

static void read_note(struct transfer *transfer)
{
    char *text = NULL, number[24], sum[CT_SHA256_HEX + 1];
    size_t size_bytes = 0;
    if (hs_file_read(transfer->note_path, NOTE_BYTES_MOST, NULL, &text, &size_bytes) != HASTEN_OK)
        return;
    const char *at = take_line(text, transfer->validator, sizeof(transfer->validator));
    at = take_line(at, sum, sizeof(sum));
    (void)take_line(at, number, sizeof(number));
    for (char *c = transfer->validator; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) /* it becomes a header line */
            transfer->validator[0] = 0;
    if (!transfer->wanted_sum[0] && is_sum(sum))
        memcpy(transfer->wanted_sum, sum, sizeof(sum));
    uint64_t total = 0;
    for (const char *c = number; *c >= '0' && *c <= '9' && total < INT64_MAX / 16; c++)
        total = total * 10 + (uint64_t)(*c - '0');
    if (!transfer->total)
        transfer->total = total;
    hs_free(text);
}

/* The part is empty again; what the server said about it is forgotten. */
static enum hasten_status begin_anew(struct transfer *transfer)
{
    const struct ct_download *download = transfer->download;
    if (transfer->done && ftruncate(transfer->file, 0) != 0)
        return fail_errno(transfer, "truncate", errno);
    ct_sha256_free(transfer->sha);
    transfer->sha = ct_sha256_new();
    if (!transfer->sha)
        return no_memory(transfer->error);
    transfer->done = 0;
    transfer->total = download->size_bytes;
    transfer->resumed = false;
    transfer->validator[0] = 0;
    (void)snprintf(transfer->wanted_sum, sizeof(transfer->wanted_sum), "%s",
                   download->sha256 ? download->sha256 : "");
    return HASTEN_OK;
}

static bool goes_on(void *context)
{
    struct transfer *transfer = context;
    const struct ct_download *download = transfer->download;
    uint64_t total = transfer->total ? download->start + transfer->total : 0;
    if (ct_pull_progress(download->pull, download->what, download->start + transfer->done, total))
        return true;
    transfer->verdict = CANCELLED;
    return false;
}

static enum hasten_status hash_part(struct transfer *transfer, uint64_t size_bytes)
{
    enum hasten_status status = HASTEN_OK;
    char *piece = hs_alloc(CT_PIECE_BYTES);
    if (!piece)
        return no_memory(transfer->error);
    while (status == HASTEN_OK && transfer->done < size_bytes) {
        ssize_t got = pread(transfer->file, piece, CT_PIECE_BYTES, (off_t)transfer->done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            status = fail_errno(transfer, "read", got < 0 ? errno : EIO);
        else if (!ct_sha256_add(transfer->sha, piece, (size_t)got))
            status =
                hs_fail(transfer->error, HASTEN_INTERNAL, NULL, "libcrypto cannot compute SHA-256");
        else if (transfer->done += (uint64_t)got, !goes_on(transfer))
            status = ct_cancelled(transfer->error);
    }
    hs_free(piece);
    return status;
}

static enum hasten_status open_part(struct transfer *transfer)
{
    struct stat info;
    do
        transfer->file = open(transfer->part_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (transfer->file < 0 && errno == EINTR);
    if (transfer->file < 0)
        return fail_errno(transfer, "create", errno);
    if (fstat(transfer->file, &info) != 0)
        return fail_errno(transfer, "look at", errno);
    HS_TRY(begin_anew(transfer));
    if (info.st_size <= 0)
        return HASTEN_OK;
    read_note(transfer);
    uint64_t held = (uint64_t)info.st_size;
    bool usable = (transfer->validator[0] || transfer->wanted_sum[0]) &&
                  (!transfer->total || held <= transfer->total);
    if (usable) {
        transfer->resumed = true;
        return hash_part(transfer, held);
    }
    transfer->done = held; /* so that it is truncated */
    return begin_anew(transfer);
}

/* ---- Callbacks of a request ---- */

static bool fail_transfer(struct transfer *transfer, enum hasten_status status)
{
    transfer->verdict = FAILED;
    transfer->failure = status;
    return false;
}

/* SHA-256 that a model hub names by an ETag; "" when it is something else. */
static void sum_of_etag(const char *etag, char sum[CT_SHA256_HEX + 1])
{
    const char *at = etag + (etag[0] == '"');
    sum[0] = 0;
    if (strspn(at, "0123456789abcdef") == CT_SHA256_HEX &&
        (!at[CT_SHA256_HEX] || strcmp(at + CT_SHA256_HEX, "\"") == 0)) {
        memcpy(sum, at, CT_SHA256_HEX);
        sum[CT_SHA256_HEX] = 0;
    }
}

static void hub_sum(const struct transfer *transfer, const struct ct_http_answer *answer,
                    char sum[CT_SHA256_HEX + 1])
{
    sum[0] = 0;
    if (!transfer->download->is_hub)
        return;
    sum_of_etag(answer->linked_etag, sum);
    if (!sum[0])
        sum_of_etag(answer->etag, sum);
}

/* Whether a 206 continues the part. */
static bool continues_part(const struct transfer *transfer, const struct ct_http_answer *answer)
{
    char sum[CT_SHA256_HEX + 1];
    const char *validator = transfer->validator;
    if (!answer->has_range || answer->range_first != transfer->done)
        return false;
    if (answer->range_total != UINT64_MAX && transfer->total &&
        answer->range_total != transfer->total)
        return false;
    if (validator[0] == '"' && answer->etag[0] && strcmp(validator, answer->etag) != 0)
        return false;
    hub_sum(transfer, answer, sum);
    return !sum[0] || strcmp(sum, transfer->wanted_sum) == 0;
}

static uint64_t total_of(const struct ct_http_answer *answer, bool is_hub)
{
    if (answer->code == 206)
        return answer->range_total != UINT64_MAX ? answer->range_total : 0;
    if (answer->length != UINT64_MAX)
        return answer->length;
    return is_hub ? answer->linked_size : 0;
}

static enum hasten_status check_total(const struct transfer *transfer, uint64_t said)
{
    const struct ct_download *download = transfer->download;
    struct statvfs disk;
    if (download->size_bytes && said && said != download->size_bytes)
        return hs_fail(transfer->error, HASTEN_CORRUPT_INPUT, NULL,
                       "the server's file has %" PRIu64 " bytes, the catalog says %" PRIu64, said,
                       download->size_bytes);
    if (!transfer->total)
        return hs_fail(transfer->error, HASTEN_IO, "use a server that sends Content-Length",
                       "the server does not say how long the file is, so that its end could not "
                       "be told from a lost connection");
    if (transfer->total > INT64_MAX)
        return hs_fail(transfer->error, HASTEN_CORRUPT_INPUT, NULL, "the length is no file's");
    uint64_t missing = transfer->total - transfer->done;
    if (statvfs(transfer->part_path, &disk) == 0 && disk.f_blocks &&
        (uint64_t)disk.f_bavail * disk.f_frsize < missing + SPACE_MARGIN_BYTES)
        return disk_full(transfer, missing);
    return HASTEN_OK;
}

static bool on_begin(void *context, const struct ct_http_answer *answer)
{
    struct transfer *transfer = context;
    bool is_hub = transfer->download->is_hub;
    uint64_t said = total_of(answer, is_hub);
    if (answer->code == 206 && !continues_part(transfer, answer)) {
        transfer->verdict = RESTART;
        return false;
    }
    if (answer->code == 206) {
        transfer->resumed = true;
    } else {
        enum hasten_status status = begin_anew(transfer); /* the whole file comes */
        if (status != HASTEN_OK)
            return fail_transfer(transfer, status);
        /* A weak ETag does not promise the same bytes. */
        bool strong = answer->etag[0] == '"';
        (void)snprintf(transfer->validator, sizeof(transfer->validator), "%s",
                       strong ? answer->etag : answer->last_modified);
        if (!transfer->wanted_sum[0])
            hub_sum(transfer, answer, transfer->wanted_sum);
    }
    if (!transfer->total)
        transfer->total = said;
    enum hasten_status status = check_total(transfer, said);
    if (status != HASTEN_OK)
        return fail_transfer(transfer, status);
    if (answer->code == 200)
        write_note(transfer);
    return true;
}

static bool on_bytes(void *context, const void *data, size_t size_bytes)
{
    struct transfer *transfer = context;
    const char *at = data;
    if (size_bytes > transfer->total - transfer->done)
        return fail_transfer(transfer, hs_fail(transfer->error, HASTEN_CORRUPT_INPUT, NULL,
                                               "the server sends more than the %" PRIu64
                                               " bytes that the file has",
                                               transfer->total));
    while (size_bytes) {
        ssize_t wrote = write(transfer->file, at, size_bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fail_transfer(transfer, fail_errno(transfer, "write", wrote ? errno : EIO));
        if (!ct_sha256_add(transfer->sha, at, (size_t)wrote))
            return fail_transfer(transfer, hs_fail(transfer->error, HASTEN_INTERNAL, NULL,
                                                   "libcrypto cannot compute SHA-256"));
        at += wrote;
        size_bytes -= (size_t)wrote;
        transfer->done += (uint64_t)wrote;
    }
    return goes_on(transfer);
}

/* ---- Requests ---- */

static void get(struct transfer *transfer, struct ct_http_answer *answer_out)
{
    struct ct_http_request request = {
        .url = transfer->download->url,
        .bearer = transfer->download->bearer,
        .first = transfer->done,
        .validator = transfer->validator[0] ? transfer->validator : NULL,
        .begin = on_begin,
        .body = on_bytes,
        .continues = goes_on,
        .context = transfer,
    };
    transfer->verdict = GOES_ON;
    ct_http_get(&request, answer_out);
}

/* Whether all bytes are there, by what the answer says. */
static bool is_complete(const struct transfer *transfer, const struct ct_http_answer *answer)
{
    if (answer->end == CT_HTTP_ANSWERED && answer->code == 416)
        return answer->has_range && answer->range_total == transfer->done &&
               (!transfer->total || transfer->total == transfer->done);
    return transfer->total && transfer->done == transfer->total &&
           (answer->code == 200 || answer->code == 206);
}

static bool waits(struct transfer *transfer, const struct ct_retry *retry,
                  const struct ct_http_answer *answer)
{
    const struct ct_pull *pull = transfer->download->pull;
    char what[160];
    (void)snprintf(what, sizeof(what), "trying again (%.100s)", answer->reason);
    if (!ct_pull_progress(pull, what, 0, 0))
        return false;
    return ct_retry_wait(retry, answer, goes_on, transfer);
}

static void count_progress(struct transfer *transfer, struct ct_retry *retry)
{
    uint64_t step = transfer->total / 100 < PROGRESS_BYTES ? transfer->total / 100 : PROGRESS_BYTES;
    if (transfer->done > transfer->longest + step) {
        transfer->longest = transfer->done;
        retry->failures = 0;
    }
}

/* Requests until all bytes are there. */
static enum hasten_status fetch_all(struct transfer *transfer)
{
    struct ct_http_answer answer;
    struct ct_retry retry = ct_retry_new();
    if (transfer->total && transfer->done == transfer->total)
        return HASTEN_OK; /* ended between the last byte and the rename */
    for (;;) {
        get(transfer, &answer);
        if (transfer->verdict == CANCELLED)
            return ct_cancelled(transfer->error);
        if (transfer->verdict == FAILED)
            return transfer->failure;
        if (is_complete(transfer, &answer))
            return HASTEN_OK;
        count_progress(transfer, &retry);
        bool anew =
            transfer->verdict == RESTART || (answer.end == CT_HTTP_ANSWERED && answer.code == 416);
        if (anew) {
            HS_TRY(begin_anew(transfer));
            answer = (struct ct_http_answer){.end = CT_HTTP_CUT};
            (void)snprintf(answer.reason, sizeof(answer.reason),
                           "the file on the server is another one now");
        }
        if (!ct_retry_allows(&retry, &answer))
            return ct_http_failed(&answer, transfer->download->is_hub, transfer->error);
        if (!waits(transfer, &retry, &answer))
            return ct_cancelled(transfer->error);
    }
}

/* ---- The end ---- */

static enum hasten_status check_sum(struct transfer *transfer, bool *good_out)
{
    char sum[CT_SHA256_HEX + 1];
    if (!ct_sha256_finish(transfer->sha, sum))
        return hs_fail(transfer->error, HASTEN_INTERNAL, NULL, "libcrypto cannot compute SHA-256");
    *good_out = !transfer->wanted_sum[0] || strcmp(sum, transfer->wanted_sum) == 0;
    if (!*good_out)
        (void)hs_fail(transfer->error, HASTEN_CORRUPT_INPUT,
                      "the file was damaged or replaced on the way: download it again",
                      "SHA-256 is %s, the %s says %s", sum,
                      transfer->download->sha256 ? "catalog" : "server", transfer->wanted_sum);
    return HASTEN_OK;
}

static enum hasten_status publish(const struct transfer *transfer)
{
    int synced;
    do
        synced = fsync(transfer->file);
    while (synced != 0 && errno == EINTR);
    if (synced != 0 && errno != EINVAL) /* EINVAL: nothing that could be synced */
        return fail_errno(transfer, "write", errno);
    if (rename(transfer->part_path, transfer->download->path) != 0)
        return fail_errno(transfer, "rename", errno);
    (void)unlink(transfer->note_path);
    return HASTEN_OK;
}

static enum hasten_status run(struct transfer *transfer)
{
    HS_TRY(open_part(transfer));
    for (;;) {
        bool good;
        HS_TRY(fetch_all(transfer));
        bool resumed = transfer->resumed;
        HS_TRY(check_sum(transfer, &good));
        if (good)
            return publish(transfer);
        if (!resumed || transfer->refetched)
            return HASTEN_CORRUPT_INPUT;
        HS_TRY(begin_anew(transfer));
        hs_error_clear(transfer->error);
        transfer->refetched = true;
        transfer->longest = 0;
    }
}

enum hasten_status ct_download_run(const struct ct_download *download, struct hs_error *error)
{
    struct transfer transfer = {.download = download, .file = -1, .error = error};
    enum hasten_status status;
    transfer.part_path = ct_text("%s.part", download->path);
    transfer.note_path = ct_text("%s.part.etag", download->path);
    status = transfer.part_path && transfer.note_path ? run(&transfer) : no_memory(error);
    if (transfer.file >= 0)
        close(transfer.file);
    if (status == HASTEN_CORRUPT_INPUT || (status != HASTEN_OK && transfer.done == 0))
        (void)ct_download_forget(download->path);
    ct_sha256_free(transfer.sha);
    hs_free(transfer.part_path);
    hs_free(transfer.note_path);
    return status;
}
