/*
 * Models outside the catalog files: hf:OWNER/NAME..., https://HOST/....gguf.
 *
 * Such a model has no SHA-256 and no size beforehand; its file lies in models/ under a path that is
 * its name (remote.h), so what was fetched is found again by reading the folders: opening the
 * catalog lists it. A name without a file is asked of the hub once; the answer is kept as a link
 * models/hf/OWNER/NAME/REVISION/.choice[-QUANT] beside the files when the model has been fetched.
 * Split models are fetched and removed whole; any of their parts names them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "catalog/http_download.h"
#include "catalog/remote.h"

#define DEPTH_MOST 16
#define FOUND_MOST 4096

static enum hasten_status no_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a model's name");
}

bool ct_is_remote(const char *name)
{
    return strncmp(name, "hf:", 3) == 0 || strncmp(name, "https:", 6) == 0 ||
           strncmp(name, "http:", 5) == 0;
}

/* Path of a part of a model (index 1..); the caller's. */
static char *part_path(const struct ct_model *model, int index)
{
    char *path = ct_path(model);
    if (path)
        ct_split_set(path, index);
    return path;
}

bool ct_remote_size(const struct ct_model *model, uint64_t *size_bytes_out)
{
    int count = ct_split_count(model->file_name);
    uint64_t total = 0;
    for (int i = 1; i <= count; i++) {
        struct stat info;
        char *path = part_path(model, i);
        bool present = path && stat(path, &info) == 0 && S_ISREG(info.st_mode);
        hs_free(path);
        if (!present)
            return false;
        total += (uint64_t)info.st_size;
    }
    *size_bytes_out = total;
    return count > 0;
}

/* ---- What is there ---- */

static int by_name(const void *a, const void *b)
{
    const struct ct_model *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static enum hasten_status add_found(struct ct_catalog *catalog, const char *place,
                                    struct hs_error *error)
{
    struct ct_model model = {.description = "", .source_count = 1};
    if (ct_split_count(place) > 1 && !strstr(place, "-00001-of-"))
        return HASTEN_OK;
    model.file_name = hs_arena_strndup(&catalog->arena, place, strlen(place));
    model.name = model.file_name ? ct_remote_name_at(&catalog->arena, place) : NULL;
    if (!model.name || !ct_remote_size(&model, &model.size_bytes))
        return HASTEN_OK; /* not one of ours */
    model.sources[0] = model.name;
    struct ct_model *slot = ct_model_new(catalog);
    if (!slot)
        return no_memory(error);
    *slot = model;
    return HASTEN_OK;
}

/* NOLINTNEXTLINE(misc-no-recursion): depth is capped */
static enum hasten_status find_below(struct ct_catalog *catalog, const char *models,
                                     const char *place, int depth, struct hs_error *error)
{
    enum hasten_status status = HASTEN_OK;
    char *folder = ct_text("%s/%s", models, place);
    DIR *dir = folder && depth < DEPTH_MOST ? opendir(folder) : NULL;
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry && status == HASTEN_OK;
         entry = readdir(dir)) {
        struct stat info;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &info, 0) != 0)
            continue;
        char *below = ct_text("%s/%s", place, entry->d_name);
        if (!below)
            status = no_memory(error);
        else if (S_ISDIR(info.st_mode))
            status = find_below(catalog, models, below, depth + 1, error);
        else if (S_ISREG(info.st_mode) && catalog->count < FOUND_MOST)
            status = add_found(catalog, below, error);
        hs_free(below);
    }
    if (dir)
        closedir(dir);
    hs_free(folder);
    return status;
}

enum hasten_status ct_remote_find_all(struct ct_catalog *catalog, struct hs_error *error)
{
    static const char *const roots[] = {"hf", "http", "https"};
    char *home = ct_home();
    if (!home)
        return HASTEN_OK;
    char *models = ct_text("%s/models", home);
    int first = catalog->count;
    enum hasten_status status = models ? HASTEN_OK : no_memory(error);
    for (int i = 0; i < 3 && status == HASTEN_OK; i++)
        status = find_below(catalog, models, roots[i], 0, error);
    if (status == HASTEN_OK && catalog->count > first)
        qsort(catalog->models + first, (size_t)(catalog->count - first), sizeof(*catalog->models),
              by_name);
    hs_free(models);
    hs_free(home);
    return status;
}

/* ---- What a name means ---- */

/* ".choice-q4_k_m" in the folder of the revision, below models/. */
static const char *choice_place(struct ct_catalog *catalog, const struct ct_hf *parts)
{
    char *place = hs_arena_printf(
        &catalog->arena, "hf/%.*s/%.*s/%.*s/.choice%s%.*s", HS_STR(parts->owner),
        HS_STR(parts->name), HS_STR(parts->revision), parts->quant.size_bytes ? "-" : "",
        (int)parts->quant.size_bytes, parts->quant.size_bytes ? parts->quant.data : "");
    for (char *at = place ? strrchr(place, '/') : NULL; at && *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + ('a' - 'A'));
    return place;
}

/* File that was chosen before, in the arena; NULL none. */
static const char *chosen_before(struct ct_catalog *catalog, const char *choice)
{
    char target[512];
    char *home = ct_home(), *path = home ? ct_text("%s/models/%s", home, choice) : NULL;
    ssize_t length = path ? readlink(path, target, sizeof(target)) : -1;
    bool good = length > 0 && length < (ssize_t)sizeof(target) && access(path, F_OK) == 0;
    hs_free(path);
    hs_free(home);
    return good ? hs_arena_strndup(&catalog->arena, target, (size_t)length) : NULL;
}

static enum hasten_status not_chosen(const char *name, struct hs_error *error)
{
    char hint[256];
    (void)snprintf(hint, sizeof(hint), "download it first: hasten pull %.200s", name);
    return hs_fail(error, HASTEN_NOT_FOUND, hint, "model '%s' is not in the cache", name);
}

/* The whole name for one without a file. */
static enum hasten_status choose(struct ct_catalog *catalog, const char *name,
                                 const struct ct_hf *parts, const struct ct_ask *ask,
                                 struct hs_error *error, struct ct_model *model)
{
    model->choice = choice_place(catalog, parts);
    if (!model->choice)
        return no_memory(error);
    const char *file = chosen_before(catalog, model->choice);
    if (!file && !ask)
        return not_chosen(name, error);
    if (!file) {
        struct ct_pull pull = {.progress = ask->progress, .context = ask->context};
        HS_TRY(ct_hub_choose(parts, &pull, &catalog->arena, error, &file));
    }
    bool is_main = hs_str_is(parts->revision, "main");
    model->name =
        hs_arena_printf(&catalog->arena, "hf:%.*s/%.*s%s%.*s/%s", HS_STR(parts->owner),
                        HS_STR(parts->name), is_main ? "" : "@",
                        is_main ? 0 : (int)parts->revision.size_bytes, parts->revision.data, file);
    return model->name ? HASTEN_OK : no_memory(error);
}

static enum hasten_status wrong_name(const char *name, const char *reason, struct hs_error *error)
{
    (void)hs_fail(error, HASTEN_INVALID_ARGUMENT,
                  "write hf:OWNER/NAME, hf:OWNER/NAME:Q4_K_M, hf:OWNER/NAME/FILE.gguf or "
                  "https://HOST/FILE.gguf",
                  "%s", reason);
    return hs_error_at(error, "%s", name);
}

/* Split models go by their first part. */
static enum hasten_status normalize(struct ct_catalog *catalog, struct ct_model *model,
                                    struct hs_error *error)
{
    const char *wrong = ct_remote_check(model->name);
    if (wrong)
        return wrong_name(model->name, wrong, error);
    char *name = hs_arena_strndup(&catalog->arena, model->name, strlen(model->name));
    char *place = ct_remote_place(model->name);
    char *kept = place ? hs_arena_strndup(&catalog->arena, place, strlen(place)) : NULL;
    hs_free(place);
    if (!name || !kept)
        return no_memory(error);
    if (ct_split_count(name) == 0)
        return wrong_name(model->name, "the file's part number is out of range", error);
    ct_split_set(name, 1);
    ct_split_set(kept, 1);
    model->sources[0] = name; /* with the query, if there is one */
    model->file_name = kept;
    model->name = ct_remote_name_at(&catalog->arena, kept);
    return model->name ? HASTEN_OK : wrong_name(name, "the name cannot be a path", error);
}

enum hasten_status ct_remote_lookup(struct ct_catalog *catalog, const char *name,
                                    const struct ct_ask *ask, struct hs_error *error,
                                    const struct ct_model **model_out)
{
    struct ct_hf parts;
    const char *wrong = ct_remote_check(name);
    if (wrong)
        return wrong_name(name, wrong, error);
    struct ct_model *model = hs_arena_alloc(&catalog->arena, 1, sizeof(*model));
    if (!model)
        return no_memory(error);
    *model = (struct ct_model){.name = name, .description = "", .source_count = 1};
    if (strncmp(name, "hf:", 3) == 0 && !ct_hf_parse(name + 3, &parts) && !parts.file.size_bytes)
        HS_TRY(choose(catalog, name, &parts, ask, error, model));
    HS_TRY(normalize(catalog, model, error));
    (void)ct_remote_size(model, &model->size_bytes); /* 0 while it is not there */
    *model_out = model;
    return HASTEN_OK;
}

/* ---- Fetching and removing ---- */

static enum hasten_status make_folder_of(const char *path, struct hs_error *error)
{
    char *folder = hs_strndup(path, (size_t)(strrchr(path, '/') - path));
    enum hasten_status status = folder ? hs_directory_make(folder, error) : no_memory(error);
    hs_free(folder);
    return status;
}

static enum hasten_status fetch_part(struct ct_pull *pull, int index, int count,
                                     struct hs_error *error)
{
    struct stat info;
    char what[64] = "downloading";
    char *path = part_path(pull->model, index), *source = hs_strdup(pull->model->sources[0]);
    enum hasten_status status = path && source ? HASTEN_OK : no_memory(error);
    if (status == HASTEN_OK && !(stat(path, &info) == 0 && S_ISREG(info.st_mode))) {
        if (count > 1)
            (void)snprintf(what, sizeof(what), "downloading part %d of %d", index, count);
        pull->what = what;
        ct_split_set(source, index);
        status = make_folder_of(path, error);
        if (status == HASTEN_OK)
            status = ct_https_fetch(pull, source, path, error);
        if (status != HASTEN_OK)
            (void)hs_error_at(error, "%s", source);
        pull->what = NULL;
    }
    hs_free(path);
    hs_free(source);
    return status;
}

/* Remembers what was chosen. Failing is no error: it is asked again then. */
static void keep_choice(const struct ct_pull *pull)
{
    const char *choice = pull->model->choice, *target = pull->model->file_name;
    for (int slashes = 0; slashes < 4 && target; slashes++) {
        target = strchr(target, '/');
        target = target ? target + 1 : NULL;
    }
    char *path = choice && target ? ct_text("%s/models/%s", pull->home, choice) : NULL;
    if (path && symlink(target, path) != 0 && errno == EEXIST && unlink(path) == 0)
        (void)!symlink(target, path);
    hs_free(path);
}

enum hasten_status ct_remote_fetch(struct ct_pull *pull, struct hs_error *error)
{
    int count = ct_split_count(pull->model->file_name);
    for (int i = 1; i <= count; i++)
        HS_TRY(fetch_part(pull, i, count, error));
    keep_choice(pull);
    return HASTEN_OK;
}

/* Links .choice* of a folder whose files are gone. */
static void remove_dangling(const char *folder)
{
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        if (strncmp(entry->d_name, ".choice", 7) == 0 &&
            faccessat(dirfd(dir), entry->d_name, F_OK, 0) != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

/* Folders above the file that are empty now, up to models/. */
static void remove_empty_above(char *path, const char *file_name)
{
    size_t stop = strlen(path) - strlen(file_name);
    for (char *slash = strrchr(path, '/'); slash && (size_t)(slash - path) > stop;
         slash = strrchr(path, '/')) {
        *slash = 0;
        remove_dangling(path);
        if (rmdir(path) != 0)
            break;
    }
}

bool ct_remote_remove(const struct ct_model *model, int *code_out)
{
    int count = ct_split_count(model->file_name);
    bool any = false;
    *code_out = ENOENT;
    for (int i = 1; i <= count; i++) {
        char *path = part_path(model, i);
        if (path && unlink(path) == 0)
            any = true;
        else if (path && errno != ENOENT && errno != ENOTDIR)
            *code_out = errno;
        if (path)
            any |= ct_download_forget(path);
        if (path && i == count)
            remove_empty_above(path, model->file_name);
        hs_free(path);
    }
    return any && (*code_out == ENOENT);
}
