/*
 * Split models: NAME-00001-of-0000N.gguf and the files after it, as one gguf_file.
 *
 * Form (what llama.cpp's gguf-split writes): every file is a whole GGUF file with keys split.no
 * (from 0), split.count and split.tensors.count (of all files); the first holds all other keys too.
 * Each file is opened and checked by itself as any other, so this file only has to see that they
 * belong together: same counts, numbers in order, the promised number of tensors, no name twice.
 * Tables are joined into the first file, views stay in the head they came from.
 *
 * Counts are believed only after the files were opened; names of files come from the path that the
 * caller gave, never from metadata. One thread.
 */
#include <stdio.h>

#include "formats/gguf_internal.h"

#define NUMBER_KEY   "split.no"
#define COUNT_KEY    "split.count"
#define TENSORS_KEY  "split.tensors.count"
#define PARTS_MOST   65535 /* numbers in files are 16 bits wide */
#define SUFFIX_BYTES 32

static const char download_again[] =
    "the parts are mixed up or of different models: download them again";

struct split {
    uint64_t number; /* from 0 */
    uint64_t count;
    uint64_t tensors; /* of all parts */
};

static enum hasten_status out_of_memory(struct hs_error *error)
{
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a split model");
}

/* Sets the place and passes the status on. */
static enum hasten_status in_file(const struct gguf_file *file, enum hasten_status status,
                                  struct hs_error *error)
{
    (void)hs_error_at(error, "%s", file->path ? file->path : "memory");
    return status;
}

static enum hasten_status read_split(const struct gguf_file *file, struct split *split,
                                     struct hs_error *error)
{
    const struct {
        const char *key;
        uint64_t *value;
        uint64_t most;
    } keys[] = {{COUNT_KEY, &split->count, PARTS_MOST},
                {NUMBER_KEY, &split->number, PARTS_MOST - 1},
                {TENSORS_KEY, &split->tensors, GGUF_TENSORS_MOST}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!gguf_get_u64(file, keys[i].key, keys[i].value) || *keys[i].value > keys[i].most)
            return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                           "key '%s' of a split model is missing or no number from 0 to %llu",
                           keys[i].key, (unsigned long long)keys[i].most);
    if (split->number >= split->count)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                       "the file says that it is part %llu of %llu",
                       (unsigned long long)split->number + 1, (unsigned long long)split->count);
    return HASTEN_OK;
}

/* ---- Names ---- */

/* "-00002-of-00003.gguf"; returns its length. */
static size_t suffix_of(uint64_t number, uint64_t count, char suffix[SUFFIX_BYTES])
{
    return (size_t)snprintf(suffix, SUFFIX_BYTES, "-%05u-of-%05u.gguf", (unsigned)number + 1,
                            (unsigned)count);
}

/* Bytes of the path before its suffix; false when it does not end in that of the part. */
static bool find_stem(const char *path, const struct split *split, size_t *bytes_out)
{
    char suffix[SUFFIX_BYTES];
    size_t length = strlen(path), ending = suffix_of(split->number, split->count, suffix);
    if (length <= ending || strcmp(path + length - ending, suffix) != 0)
        return false;
    *bytes_out = length - ending;
    return true;
}

/* Path of a part beside the one given; the caller's (hs_free). */
static char *path_of(const char *path, size_t stem_bytes, uint64_t number, uint64_t count)
{
    char suffix[SUFFIX_BYTES];
    size_t ending = suffix_of(number, count, suffix);
    char *whole = hs_alloc(stem_bytes + ending + 1);
    if (whole) {
        memcpy(whole, path, stem_bytes);
        memcpy(whole + stem_bytes, suffix, ending + 1);
    }
    return whole;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum hasten_status not_the_first(const struct gguf_file *file, const struct split *split,
                                        struct hs_error *error)
{
    char hint[256] = "open the first part";
    size_t stem_bytes;
    if (find_stem(file->path, split, &stem_bytes)) {
        char *first = path_of(file->path, stem_bytes, 0, split->count);
        if (!first)
            return out_of_memory(error);
        (void)snprintf(hint, sizeof(hint), "open the first part: %s", base_name(first));
        hs_free(first);
    }
    return hs_fail(error, HASTEN_INVALID_ARGUMENT, hint,
                   "the file is part %llu of %llu of a split model",
                   (unsigned long long)split->number + 1, (unsigned long long)split->count);
}

static enum hasten_status wrong_name(const struct split *split, struct hs_error *error)
{
    char suffix[SUFFIX_BYTES];
    (void)suffix_of(0, split->count, suffix);
    return hs_fail(error, HASTEN_INVALID_ARGUMENT,
                   "give the parts the names that they were published with",
                   "the file is the first of %llu parts, but its name does not end in '%s'",
                   (unsigned long long)split->count, suffix);
}

/* ---- Parts ---- */

static bool same_architecture(const struct gguf_file *file, const struct gguf_file *part)
{
    struct hs_str a, b;
    return !gguf_get_text(file, "general.architecture", &a) ||
           !gguf_get_text(part, "general.architecture", &b) || hs_str_equal(a, b);
}

static enum hasten_status check_part(const struct gguf_file *file, const struct split *expected,
                                     const struct gguf_file *part, struct hs_error *error)
{
    struct split split;
    HS_TRY(read_split(part, &split, error));
    if (split.number != expected->number || split.count != expected->count)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                       "expected is part %llu of %llu, the file says that it is part %llu of %llu",
                       (unsigned long long)expected->number + 1,
                       (unsigned long long)expected->count, (unsigned long long)split.number + 1,
                       (unsigned long long)split.count);
    if (split.tensors != expected->tensors || !same_architecture(file, part))
        return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                       "the file is part of another model: %llu tensors in all parts, expected "
                       "are %llu of the same architecture",
                       (unsigned long long)split.tensors, (unsigned long long)expected->tensors);
    return HASTEN_OK;
}

static enum hasten_status open_part(const struct gguf_file *file, const struct split *expected,
                                    const char *path, struct hs_error *error,
                                    struct gguf_file **part_out)
{
    struct gguf_file *part = NULL;
    enum hasten_status status = gguf_open_one(path, error, &part);
    if (status == HASTEN_NOT_FOUND) {
        (void)hs_fail(error, status, "all parts must lie in one folder: download what is missing",
                      "part %llu of %llu is missing: %s", (unsigned long long)expected->number + 1,
                      (unsigned long long)expected->count, base_name(path));
        (void)hs_error_at(error, "%s", path);
    }
    HS_TRY(status);
    status = check_part(file, expected, part, error);
    if (status != HASTEN_OK) {
        (void)in_file(part, status, error);
        gguf_close(&part);
        return status;
    }
    *part_out = part;
    return HASTEN_OK;
}

static enum hasten_status open_others(struct gguf_file *file, struct split *split,
                                      size_t stem_bytes, struct hs_error *error)
{
    struct gguf_lookup *lookup = file->index;
    lookup->others = hs_calloc((size_t)split->count - 1, sizeof(*lookup->others));
    if (!lookup->others)
        return out_of_memory(error);
    for (uint64_t number = 1; number < split->count; number++) {
        struct split expected = {number, split->count, split->tensors};
        struct gguf_file *part = NULL;
        char *path = path_of(file->path, stem_bytes, number, split->count);
        enum hasten_status status =
            path ? open_part(file, &expected, path, error, &part) : out_of_memory(error);
        hs_free(path);
        HS_TRY(status);
        lookup->others[lookup->other_count++] = part;
        file->size_bytes += part->size_bytes;
    }
    return HASTEN_OK;
}

/* ---- Joining ---- */

static enum hasten_status add_tensors(struct gguf_file *file, int number_of_part,
                                      struct hs_error *error)
{
    struct gguf_lookup *lookup = file->index;
    const struct gguf_file *part = lookup->others[number_of_part - 1];
    for (int64_t i = 0; i < part->tensor_count; i++) {
        struct hs_str name = part->tensors[i].name;
        int shown = name.size_bytes < GGUF_NAME_SHOWN ? (int)name.size_bytes : GGUF_NAME_SHOWN;
        size_t number = (size_t)file->tensor_count;
        file->tensors[number] = part->tensors[i];
        file->tensors[number].part = number_of_part;
        switch (gguf_index_add(&lookup->tensors, file->tensors, sizeof(*file->tensors), number)) {
        case GGUF_INDEX_ADDED:
            file->tensor_count++;
            break;
        case GGUF_INDEX_DUPLICATE:
            return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                           "tensor '%.*s' is in an earlier part too", shown, name.data);
        default:
            return hs_fail(error, HASTEN_LIMIT, "take the file from another source",
                           "too many names with the same hash value");
        }
    }
    return HASTEN_OK;
}

static enum hasten_status join_tensors(struct gguf_file *file, const struct split *split,
                                       struct hs_error *error)
{
    struct gguf_lookup *lookup = file->index;
    uint64_t total = (uint64_t)file->tensor_count;
    for (int i = 0; i < lookup->other_count; i++) /* at most 2^16 files of 2^20 tensors */
        total += (uint64_t)lookup->others[i]->tensor_count;
    if (total != split->tensors)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, download_again,
                       "the parts hold %llu tensors, their metadata says %llu",
                       (unsigned long long)total, (unsigned long long)split->tensors);
    struct gguf_tensor *tensors = hs_arena_alloc(&file->arena, (size_t)total + 1, sizeof(*tensors));
    if (!tensors)
        return out_of_memory(error);
    memcpy(tensors, file->tensors, (size_t)file->tensor_count * sizeof(*tensors));
    file->tensors = tensors;
    if (!gguf_index_reserve(&lookup->tensors, tensors, sizeof(*tensors), (size_t)total))
        return out_of_memory(error);
    for (int i = 0; i < lookup->other_count; i++) {
        enum hasten_status status = add_tensors(file, i + 1, error);
        if (status != HASTEN_OK)
            return in_file(lookup->others[i], status, error);
    }
    return HASTEN_OK;
}

static enum hasten_status join(struct gguf_file *file, struct hs_error *error)
{
    struct split split;
    size_t stem_bytes;
    HS_TRY(read_split(file, &split, error));
    if (split.count == 1)
        return HASTEN_OK;
    if (!file->path)
        return hs_fail(error, HASTEN_UNSUPPORTED, "open the first part by its path",
                       "the bytes are part %llu of %llu of a split model",
                       (unsigned long long)split.number + 1, (unsigned long long)split.count);
    if (split.number != 0)
        return not_the_first(file, &split, error);
    if (!find_stem(file->path, &split, &stem_bytes))
        return wrong_name(&split, error);
    HS_TRY(open_others(file, &split, stem_bytes, error));
    HS_TRY(join_tensors(file, &split, error));
    file->part_count = (int)split.count;
    return HASTEN_OK;
}

enum hasten_status gguf_split_join(struct gguf_file *file, struct hs_error *error)
{
    uint64_t count;
    if (!gguf_find(file, COUNT_KEY) || (gguf_get_u64(file, COUNT_KEY, &count) && count == 0))
        return HASTEN_OK;
    enum hasten_status status = join(file, error);
    return status == HASTEN_OK ? HASTEN_OK : in_file(file, status, error);
}
