/*
 * Private to the catalog room: the parsed catalog, the folders of the cache, a running pull, the
 * sink that every source writes to, and the table of source kinds.
 *
 * To add a source kind: write source_KIND.c with a check and a fetch function and add its line to
 * ct_source_kinds in catalog_pull.c. A fetch hands the file's bytes to the sink in order, in pieces
 * of any size, and knows nothing about sums, cache paths or renaming. It fetches one part of a
 * source; the parts of a file follow each other into one sink. A kind that can go on with a file
 * where an earlier pull stopped has fetch_to instead and verifies itself.
 */
#ifndef HASTEN_CATALOG_INTERNAL_H
#define HASTEN_CATALOG_INTERNAL_H

#include <signal.h>

#include "base/bytes.h"
#include "catalog/catalog.h"

#define CT_SHA256_HEX  64
#define CT_PIECE_BYTES ((size_t)1 << 20) /* read and hashed at once */

struct ct_catalog {
    struct hs_arena arena; /* all texts */
    struct ct_model *models;
    int count, capacity;
};

/* ---- catalog.c ---- */

/* A zeroed entry at the end of the catalog; NULL when out of memory. Moves the others. */
struct ct_model *ct_model_new(struct ct_catalog *catalog);

/* ---- catalog_ini.c ---- */

/* Merges a catalog file's text into the catalog; entries replace those of the same name that
 * another file brought. */
HS_MUST_USE enum hasten_status ct_ini_parse(struct ct_catalog *catalog, const char *file_name,
                                            const char *text, size_t size_bytes,
                                            struct hs_error *error);

/* ---- catalog_folder.c: paths; results are the caller's (hs_free) ---- */

/* The user's folder; NULL when the environment names none or out of memory. */
char *ct_home(void);
HS_MUST_USE enum hasten_status ct_no_home(struct hs_error *error);
char *ct_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Removes a folder and all in it, not following links; a missing one is fine. */
void ct_remove_tree(const char *path);
/* Bytes of all regular files below a folder. */
uint64_t ct_tree_bytes(const char *path);
/* Removes files of a folder whose names begin with prefix. */
void ct_remove_prefixed(const char *folder, const char *prefix);
/* Opens and locks a lock file: its descriptor, -1 with errno (EWOULDBLOCK: somebody holds it). */
int ct_lock(const char *path);
/* Removes NAME.pull folders of a folder whose NAME.lock nobody holds. */
void ct_remove_stale(const char *folder);

/* ---- sha256.c ---- */

struct ct_sha256;
struct ct_sha256 *ct_sha256_new(void); /* NULL: out of memory */
bool ct_sha256_add(struct ct_sha256 *sha, const void *data, size_t size_bytes);
/* Lower-case hex digits and a final 0. */
bool ct_sha256_finish(struct ct_sha256 *sha, char hex_out[CT_SHA256_HEX + 1]);
void ct_sha256_free(struct ct_sha256 *sha);

/* ---- catalog_pull.c ---- */

struct ct_pull {
    const struct ct_model *model;
    ct_progress_fn progress;
    void *context;
    char *home;              /* the user's folder */
    char *folder;            /* temporary folder of this pull, exists while sources run */
    const char *what;        /* for progress, NULL: "downloading" */
    int part_count;          /* of the source that is being fetched */
    uint64_t part_start;     /* bytes of the file that the parts before this one gave */
    sigset_t watched, saved; /* signals that cancel the pull; mask to restore */
};

/* Reports progress; false: stop (the caller cancelled, or SIGINT, SIGTERM or SIGHUP is pending).
 * total 0: unknown. */
bool ct_pull_progress(const struct ct_pull *pull, const char *what, uint64_t done, uint64_t total);
/* The same with the size that the catalog says. */
bool ct_pull_continues(const struct ct_pull *pull, const char *what, uint64_t done);
enum hasten_status ct_cancelled(struct hs_error *error);

struct ct_sink;
/* Takes the next bytes of the model's file. Fails when more come than the catalog says. */
HS_MUST_USE enum hasten_status ct_sink_write(struct ct_sink *sink, const void *data,
                                             size_t size_bytes, struct hs_error *error);

struct ct_source_kind {
    const char *name;
    /* NULL when the text after "name:" is well formed, else what is wrong with it. */
    const char *(*check)(const char *text);
    enum hasten_status (*fetch)(const struct ct_pull *pull, const char *text, struct ct_sink *sink,
                                struct hs_error *error);
    /* Instead of fetch: makes the file `path` of the whole part ("name:text"), complete and
     * verified as far as pull->model says, and resumable. */
    enum hasten_status (*fetch_to)(const struct ct_pull *pull, const char *part, const char *path,
                                   struct hs_error *error);
};

/* Kind of a part and the text after its colon; NULL when unknown. */
const struct ct_source_kind *ct_source_kind_of(const char *part, const char **text_out);
/* Takes the next part off a source's text: its bytes, the rest in *rest; {NULL, 0} at the end. */
struct hs_str ct_next_part(const char **rest);
int ct_count_parts(const char *source);

/* ---- sources ---- */

const char *ct_file_check(const char *text);
enum hasten_status ct_file_fetch(const struct ct_pull *pull, const char *text, struct ct_sink *sink,
                                 struct hs_error *error);
/* Hands a file's bytes to the sink. */
enum hasten_status ct_file_copy(const struct ct_pull *pull, const char *path, struct ct_sink *sink,
                                struct hs_error *error);
const char *ct_pypi_check(const char *text);
enum hasten_status ct_pypi_fetch(const struct ct_pull *pull, const char *text, struct ct_sink *sink,
                                 struct hs_error *error);

const char *ct_https_check(const char *text);
const char *ct_hf_check(const char *text);
enum hasten_status ct_https_fetch(const struct ct_pull *pull, const char *part, const char *path,
                                  struct hs_error *error);

/* ---- catalog_remote.c: models outside the catalog files (sha256 NULL) ---- */

/* Adds what lies in the cache. */
HS_MUST_USE enum hasten_status ct_remote_find_all(struct ct_catalog *catalog,
                                                  struct hs_error *error);
HS_MUST_USE enum hasten_status ct_remote_lookup(struct ct_catalog *catalog, const char *name,
                                                const struct ct_ask *ask, struct hs_error *error,
                                                const struct ct_model **model_out);
/* All parts are there: their bytes. */
bool ct_remote_size(const struct ct_model *model, uint64_t *size_bytes_out);
/* Fetches what is missing, with the lock held. */
HS_MUST_USE enum hasten_status ct_remote_fetch(struct ct_pull *pull, struct hs_error *error);
/* Removes all parts; false with errno's code (ENOENT: nothing was there). */
bool ct_remote_remove(const struct ct_model *model, int *code_out);

/* ---- catalog_process.c ---- */

struct ct_process {
    char *const *argv; /* argv[0] is the path of the program */
    char *const *envp;
    bool (*continues)(void *context); /* called about ten times a second; false kills it */
    void *context;
    const sigset_t *mask; /* signal mask of the child */
    int exit_code;        /* out: 0..255, 128 + signal */
    char output[2048];    /* out: end of what it wrote to stdout and stderr */
};

/* Path of a program in PATH (hs_free), NULL when there is none. */
char *ct_find_program(const char *name);
/* Runs a program with stdin empty to its end. IO: could not start; CANCELLED: continues said no,
 * the process and its group are gone then. */
HS_MUST_USE enum hasten_status ct_process_run(struct ct_process *process, struct hs_error *error);

#endif
