/*
 * The catalog itself: reading it, looking names up, finding what a name or a path means.
 *
 * A catalog is constant once opened, but for the memory of what ct_lookup gives, and may then be
 * read by any thread. Paths are computed from the environment at each call.
 */
#include "catalog/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "catalog/catalog_internal.h"
#include "catalog/http_download.h"

#define USER_CATALOG_BYTES_MOST ((size_t)1 << 20)

/* models/catalog.ini, put here by the build (hasten_embed). */
extern const unsigned char ct_builtin_ini[];
extern const unsigned long ct_builtin_ini_bytes;

static enum hasten_status read_user_catalog(struct ct_catalog *catalog, struct hs_error *error)
{
    char *text = NULL, *home = ct_home();
    size_t size_bytes = 0;
    if (!home) /* the built-in catalog can be read without */
        return HASTEN_OK;
    char *path = ct_text("%s/catalog.ini", home);
    hs_free(home);
    if (!path)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    enum hasten_status status =
        hs_file_read(path, USER_CATALOG_BYTES_MOST, error, &text, &size_bytes);
    if (status == HASTEN_OK)
        status = ct_ini_parse(catalog, path, text, size_bytes, error);
    else if (status == HASTEN_NOT_FOUND)
        status = HASTEN_OK;
    if (status == HASTEN_OK)
        hs_error_clear(error);
    hs_free(text);
    hs_free(path);
    return status;
}

enum hasten_status ct_open(struct hs_error *error, struct ct_catalog **catalog_out)
{
    struct ct_catalog *catalog = hs_calloc(1, sizeof(*catalog));
    if (!catalog)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the catalog");
    enum hasten_status status = ct_ini_parse(
        catalog, "built-in catalog.ini", (const char *)ct_builtin_ini, ct_builtin_ini_bytes, error);
    if (status == HASTEN_OK)
        status = read_user_catalog(catalog, error);
    if (status == HASTEN_OK)
        status = ct_remote_find_all(catalog, error);
    if (status != HASTEN_OK) {
        ct_close(&catalog);
        return status;
    }
    *catalog_out = catalog;
    return HASTEN_OK;
}

void ct_close(struct ct_catalog **catalog)
{
    if (!*catalog)
        return;
    hs_arena_free(&(*catalog)->arena);
    hs_free((*catalog)->models);
    hs_free(*catalog);
    *catalog = NULL;
}

struct ct_model *ct_model_new(struct ct_catalog *catalog)
{
    if (catalog->count == catalog->capacity) {
        int capacity = catalog->capacity ? catalog->capacity * 2 : 16;
        void *models = hs_realloc(catalog->models, (size_t)capacity, sizeof(*catalog->models));
        if (!models)
            return NULL;
        catalog->models = models;
        catalog->capacity = capacity;
    }
    struct ct_model *model = &catalog->models[catalog->count++];
    *model = (struct ct_model){0};
    return model;
}

int ct_count(const struct ct_catalog *catalog)
{
    return catalog->count;
}

const struct ct_model *ct_at(const struct ct_catalog *catalog, int index)
{
    return index >= 0 && index < catalog->count ? &catalog->models[index] : NULL;
}

const struct ct_model *ct_find(const struct ct_catalog *catalog, const char *name)
{
    for (int i = 0; i < catalog->count; i++)
        if (strcmp(catalog->models[i].name, name) == 0)
            return &catalog->models[i];
    return NULL;
}

const struct ct_model *ct_default(const struct ct_catalog *catalog)
{
    for (int i = 0; i < catalog->count; i++)
        if (catalog->models[i].is_default)
            return &catalog->models[i];
    return NULL;
}

char *ct_path(const struct ct_model *model)
{
    char *home = ct_home();
    char *path = home ? ct_text("%s/models/%s", home, model->file_name) : NULL;
    hs_free(home);
    return path;
}

bool ct_is_present(const struct ct_model *model)
{
    struct stat info;
    uint64_t size_bytes;
    if (!model->sha256)
        return ct_remote_size(model, &size_bytes);
    char *path = ct_path(model);
    bool present = path && stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
                   (uint64_t)info.st_size == model->size_bytes;
    hs_free(path);
    return present;
}

static bool remove_files(const struct ct_model *model, const char *path, int *code_out)
{
    if (!model->sha256)
        return ct_remote_remove(model, code_out);
    bool removed = unlink(path) == 0;
    *code_out = errno;
    return ct_download_forget(path) || removed;
}

enum hasten_status ct_remove(const struct ct_model *model, struct hs_error *error)
{
    char *path = ct_path(model);
    if (!path)
        return ct_no_home(error);
    enum hasten_status status = HASTEN_OK;
    int code = 0;
    if (!remove_files(model, path, &code)) {
        char reason[128];
        if (code == ENOENT || code == ENOTDIR)
            status = hs_fail(error, HASTEN_NOT_FOUND, NULL, "model '%s' is not in the cache",
                             model->name);
        else
            status =
                hs_fail(error, HASTEN_IO, "check the permissions of the folder",
                        "cannot remove the file: %s", strerror_r(code, reason, sizeof(reason)));
        (void)hs_error_at(error, "%s", path);
    }
    hs_free(path);
    return status;
}

/* ---- Names and paths ---- */

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

static bool is_path(const char *name)
{
    static const char suffix[] = ".gguf";
    size_t length = strlen(name), ending = sizeof(suffix) - 1;
    return strchr(name, '/') || (length >= ending && strcmp(name + length - ending, suffix) == 0) ||
           is_file(name);
}

/* "did you mean", or the names there are. */
static enum hasten_status unknown_name(const struct ct_catalog *catalog, const char *name,
                                       struct hs_error *error)
{
    char hint[256] = "";
    const char **names = hs_alloc((size_t)catalog->count * sizeof(*names));
    for (int i = 0; names && i < catalog->count; i++)
        names[i] = catalog->models[i].name;
    const char *near = names ? hs_nearest(name, names, catalog->count) : NULL;
    if (near) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
    } else {
        int at = snprintf(hint, sizeof(hint), "give the path of a .gguf file, or one of:");
        for (int i = 0; i < catalog->count && at < (int)sizeof(hint); i++)
            at += snprintf(hint + at, sizeof(hint) - (size_t)at, " %s", catalog->models[i].name);
    }
    hs_free(names);
    return hs_fail(error, HASTEN_NOT_FOUND, hint,
                   "no model of the name '%s' in the catalog, and no such file", name);
}

static enum hasten_status resolve_path(const char *name, struct hs_error *error, char **path_out)
{
    char *path = hs_strdup(name);
    if (!path)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    *path_out = path;
    return HASTEN_OK;
}

static enum hasten_status not_pulled(const struct ct_model *model, struct hs_error *error)
{
    char hint[128];
    (void)snprintf(hint, sizeof(hint), "download it first: hasten pull %s", model->name);
    return hs_fail(error, HASTEN_NOT_FOUND, hint, "model '%s' is not in the cache", model->name);
}

enum hasten_status ct_lookup(struct ct_catalog *catalog, const char *name, const struct ct_ask *ask,
                             struct hs_error *error, const struct ct_model **model_out)
{
    if (ct_is_remote(name))
        return ct_remote_lookup(catalog, name, ask, error, model_out);
    const struct ct_model *model = ct_find(catalog, name);
    if (!model)
        return unknown_name(catalog, name, error);
    *model_out = model;
    return HASTEN_OK;
}

enum hasten_status ct_resolve(struct ct_catalog *catalog, const char *name, bool pull_missing,
                              ct_progress_fn progress, void *context, struct hs_error *error,
                              char **path_out)
{
    const struct ct_ask ask = {progress, context};
    const struct ct_model *model = NULL;
    if (!ct_is_remote(name) && is_path(name))
        return resolve_path(name, error, path_out);
    HS_TRY(ct_lookup(catalog, name, pull_missing ? &ask : NULL, error, &model));
    char *path = ct_path(model);
    if (!path)
        return ct_no_home(error);
    enum hasten_status status = HASTEN_OK;
    if (!ct_is_present(model))
        status = pull_missing ? ct_pull(model, progress, context, error) : not_pulled(model, error);
    if (status != HASTEN_OK) {
        hs_free(path);
        return status;
    }
    *path_out = path;
    return HASTEN_OK;
}
