/*
 * GGUF reader: checks a whole file before anything of it is used.
 *
 * Layout (docs/gguf.md of ggml): magic, version, tensor count, key count, keys, tensor records,
 * padding, tensor data; all little endian. Everything is read through a bounded cursor. A count is
 * believed only after it was compared with the bytes that follow (a key takes at least 14 bytes, a
 * tensor record 25, an element of a string array 8), so memory stays a small multiple of the file
 * size. Strings and values are views into the head, which need() loads as the cursor gets on
 * (gguf_source.c): the cursor spans the whole file, but only loaded bytes may be looked at.
 *
 * Invariants after success: names are unique and free of control characters; every tensor has
 * 0..4 dimensions >= 1, rows that are whole blocks, data inside the file, aligned, overlapping no
 * other tensor's; bools are 0 or 1. One thread opens; lookups are thread-safe.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/gguf_internal.h"
#include "formats/gguf_sniff.h"

#define ENTRY_BYTES_LEAST  14 /* key length, 1 byte of key, type, 1 byte of value */
#define TENSOR_BYTES_LEAST 25 /* name length, 1 byte of name, dims, type, offset */
#define SNIFFED_BYTES      4096
#define ENTRIES_MOST       (1u << 20)
#define TEXTS_MOST         (1u << 24) /* strings in one array */

static const char download_again[] = "the file is incomplete or damaged: download it again";
static const char another_source[] = "take the file from another source";

struct extent {
    uint64_t offset; /* from the start of the data part */
    size_t tensor;
};

struct reader {
    struct gguf_file *file;
    struct gguf_lookup *lookup;
    struct hs_cursor cursor;
    struct hs_error *error;
    const char *part;          /* what is being read, for the place of errors */
    const struct hs_str *name; /* its name once known, else NULL */
    struct extent *extents;    /* [tensor_count] */
};

static const struct {
    const char *name;
    size_t bytes; /* 0: not of fixed size */
} value_types[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *gguf_type_name(enum gguf_type type)
{
    return (unsigned)type < GGUF_TYPE_COUNT ? value_types[type].name : "unknown";
}

/* Fails with a place that says file, table and name. */
static enum hasten_status reject(const struct reader *reader, enum hasten_status status,
                                 const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static enum hasten_status reject(const struct reader *reader, enum hasten_status status,
                                 const char *hint, const char *format, ...)
{
    char message[320];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    (void)hs_fail(reader->error, status, hint, "%s", message);
    const char *path = reader->file->path ? reader->file->path : "memory";
    if (reader->name && reader->name->data) {
        int shown = reader->name->size_bytes < GGUF_NAME_SHOWN ? (int)reader->name->size_bytes
                                                               : GGUF_NAME_SHOWN;
        (void)hs_error_at(reader->error, "%s, %s '%.*s'", path, reader->part, shown,
                          reader->name->data);
    } else {
        (void)hs_error_at(reader->error, "%s, %s", path, reader->part);
    }
    return status;
}

static enum hasten_status out_of_memory(const struct reader *reader)
{
    return reject(reader, HASTEN_OUT_OF_MEMORY, "free memory", "out of memory");
}

/* Loads so many more bytes, which the file has. */
static enum hasten_status load(const struct reader *reader, size_t bytes)
{
    enum hasten_status status =
        gguf_source_need(&reader->lookup->source, reader->cursor.at + bytes, reader->error);
    if (status != HASTEN_OK)
        (void)hs_error_at(reader->error, "%s", reader->file->path);
    return status;
}

/* Checks that `needed` more bytes are there, and loads them. */
static enum hasten_status need(const struct reader *reader, uint64_t needed, const char *what)
{
    uint64_t left = hs_cursor_left(&reader->cursor);
    if (needed <= left)
        return load(reader, (size_t)needed);
    return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                  "file of %zu bytes ends inside %s, at least %llu bytes are missing",
                  reader->cursor.size_bytes, what, (unsigned long long)(needed - left));
}

static enum hasten_status read_u32(struct reader *reader, const char *what, uint32_t *value_out)
{
    HS_TRY(need(reader, 4, what));
    *value_out = hs_cursor_u32(&reader->cursor);
    return HASTEN_OK;
}

static enum hasten_status read_u64(struct reader *reader, const char *what, uint64_t *value_out)
{
    HS_TRY(need(reader, 8, what));
    *value_out = hs_cursor_u64(&reader->cursor);
    return HASTEN_OK;
}

static enum hasten_status read_text(struct reader *reader, const char *what,
                                    struct hs_str *text_out)
{
    uint64_t size_bytes;
    HS_TRY(read_u64(reader, what, &size_bytes));
    HS_TRY(need(reader, size_bytes, what));
    text_out->data = (const char *)hs_cursor_take(&reader->cursor, size_bytes);
    text_out->size_bytes = (size_t)size_bytes;
    return HASTEN_OK;
}

static enum hasten_status read_name(struct reader *reader, size_t bytes_most,
                                    struct hs_str *name_out)
{
    struct hs_str name;
    uint64_t number;
    size_t start = reader->cursor.at;
    HS_TRY(read_u64(reader, "a name", &number));
    if (number == 0 || number > bytes_most)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "name of %llu bytes at byte %zu, allowed are 1 to %zu",
                      (unsigned long long)number, start, bytes_most);
    HS_TRY(need(reader, number, "a name"));
    name.data = (const char *)hs_cursor_take(&reader->cursor, number);
    name.size_bytes = (size_t)number;
    if (!gguf_name_ok(name, bytes_most))
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "name at byte %zu has control characters", start);
    *name_out = name;
    return HASTEN_OK;
}

static enum hasten_status add_name(const struct reader *reader, struct gguf_index *index,
                                   const void *records, size_t stride, size_t number)
{
    switch (gguf_index_add(index, records, stride, number)) {
    case GGUF_INDEX_ADDED:
        return HASTEN_OK;
    case GGUF_INDEX_DUPLICATE:
        return reject(reader, HASTEN_CORRUPT_INPUT, another_source, "the name occurs twice");
    default:
        return reject(reader, HASTEN_LIMIT, another_source,
                      "too many names with the same hash value");
    }
}

/* ---- Metadata ---- */

static enum hasten_status check_type(const struct reader *reader, uint32_t type)
{
    if (type >= GGUF_TYPE_COUNT)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "value type %u is unknown, the format has 0 to %d", type,
                      GGUF_TYPE_COUNT - 1);
    return HASTEN_OK;
}

static enum hasten_status check_bools(const struct reader *reader, const uint8_t *data,
                                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (data[i] > 1)
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                          "bool has value %u, only 0 and 1 are allowed", data[i]);
    return HASTEN_OK;
}

/* Fills views as long as strings are whole in what is loaded, and returns how many were;
 * vocabularies are most of what opening a file has to read, so this loop makes no calls. */
static size_t scan_texts(struct hs_cursor *cursor, size_t loaded, struct hs_str *texts,
                         size_t count)
{
    const uint8_t *at = cursor->data + cursor->at;
    size_t left = loaded - cursor->at, i;
    for (i = 0; i < count && left >= 8; i++) {
        uint64_t size_bytes = (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 |
                              (uint64_t)at[3] << 24 | (uint64_t)at[4] << 32 |
                              (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
        if (size_bytes > left - 8)
            break;
        texts[i] = (struct hs_str){(const char *)at + 8, (size_t)size_bytes};
        at += 8 + size_bytes;
        left -= 8 + (size_t)size_bytes;
    }
    (void)hs_cursor_take(cursor, loaded - cursor->at - left);
    return i;
}

static enum hasten_status read_texts(struct reader *reader, struct gguf_entry *entry)
{
    uint64_t left = hs_cursor_left(&reader->cursor);
    if (entry->count > left / 8)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "array of %llu strings, but only %llu bytes follow",
                      (unsigned long long)entry->count, (unsigned long long)left);
    if (entry->count > TEXTS_MOST)
        return reject(reader, HASTEN_LIMIT, another_source,
                      "array of %llu strings, the limit is %u", (unsigned long long)entry->count,
                      TEXTS_MOST);
    size_t count = (size_t)entry->count;
    struct hs_str *texts = hs_arena_alloc(&reader->file->arena, count ? count : 1, sizeof(*texts));
    if (!texts)
        return out_of_memory(reader);
    for (size_t i = 0; i < count;) {
        i += scan_texts(&reader->cursor, reader->lookup->source.loaded_bytes, texts + i, count - i);
        if (i < count) /* one that is not whole: loads more of the file, or fails */
            HS_TRY(read_text(reader, "an array of strings", &texts[i++]));
    }
    entry->texts = texts;
    return HASTEN_OK;
}

static enum hasten_status read_array(struct reader *reader, struct gguf_entry *entry)
{
    uint32_t element;
    HS_TRY(read_u32(reader, "an array", &element));
    HS_TRY(check_type(reader, element));
    entry->element = (enum gguf_type)element;
    HS_TRY(read_u64(reader, "an array", &entry->count));
    if (entry->element == GGUF_ARRAY)
        return reject(reader, HASTEN_UNSUPPORTED, another_source,
                      "arrays of arrays are not supported");
    size_t start = reader->cursor.at;
    entry->data = reader->cursor.data + start;
    if (entry->element == GGUF_STRING) {
        HS_TRY(read_texts(reader, entry));
        entry->data_bytes = reader->cursor.at - start;
        return HASTEN_OK;
    }
    size_t bytes = value_types[element].bytes;
    if (entry->count > hs_cursor_left(&reader->cursor) / bytes)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "array of %llu %s values, but only %zu bytes follow",
                      (unsigned long long)entry->count, value_types[element].name,
                      hs_cursor_left(&reader->cursor));
    entry->data_bytes = (size_t)entry->count * bytes;
    HS_TRY(load(reader, entry->data_bytes));
    (void)hs_cursor_take(&reader->cursor, entry->data_bytes);
    if (entry->element == GGUF_BOOL)
        return check_bools(reader, entry->data, entry->data_bytes);
    return HASTEN_OK;
}

static enum hasten_status read_entry(struct reader *reader, struct gguf_entry *entry)
{
    uint32_t type;
    HS_TRY(read_name(reader, GGUF_KEY_BYTES_MOST, &entry->key));
    reader->name = &entry->key;
    HS_TRY(read_u32(reader, "a value type", &type));
    HS_TRY(check_type(reader, type));
    entry->type = (enum gguf_type)type;
    entry->element = entry->type;
    entry->count = 1;
    if (entry->type == GGUF_ARRAY)
        return read_array(reader, entry);
    size_t start = reader->cursor.at;
    entry->data = reader->cursor.data + start;
    if (entry->type == GGUF_STRING) {
        HS_TRY(read_text(reader, "a text", &entry->text));
    } else {
        HS_TRY(need(reader, value_types[type].bytes, "a value"));
        (void)hs_cursor_take(&reader->cursor, value_types[type].bytes);
    }
    entry->data_bytes = reader->cursor.at - start;
    if (entry->type == GGUF_BOOL)
        return check_bools(reader, entry->data, 1);
    return HASTEN_OK;
}

static enum hasten_status read_entries(struct reader *reader)
{
    struct gguf_file *file = reader->file;
    size_t count = (size_t)file->entry_count;
    reader->part = "key";
    file->entries = hs_arena_alloc(&file->arena, count + 1, sizeof(*file->entries));
    struct gguf_index *index = &reader->lookup->entries;
    if (!file->entries || !gguf_index_reserve(index, file->entries, sizeof(*file->entries), count))
        return out_of_memory(reader);
    for (size_t i = 0; i < count; i++) {
        reader->name = NULL;
        HS_TRY(read_entry(reader, &file->entries[i]));
        HS_TRY(add_name(reader, index, file->entries, sizeof(*file->entries), i));
    }
    reader->name = NULL;
    return HASTEN_OK;
}

static enum hasten_status read_alignment(struct reader *reader)
{
    uint64_t alignment = GGUF_ALIGNMENT_DEFAULT;
    const struct gguf_entry *entry = gguf_find(reader->file, GGUF_ALIGNMENT_KEY);
    if (entry) {
        reader->name = &entry->key;
        if (!gguf_get_u64(reader->file, GGUF_ALIGNMENT_KEY, &alignment))
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                          "alignment is no whole number");
        if (!gguf_alignment_ok(alignment))
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                          "alignment is %llu, not a power of two from %d to %d",
                          (unsigned long long)alignment, GGUF_ALIGNMENT_LEAST, GGUF_ALIGNMENT_MOST);
        reader->name = NULL;
    }
    reader->file->alignment = (uint32_t)alignment;
    return HASTEN_OK;
}

/* ---- Tensors ---- */

static enum hasten_status check_dtype(const struct reader *reader, struct gguf_tensor *tensor,
                                      uint32_t type)
{
    if (tn_dtype_from_gguf(type, &tensor->dtype))
        return HASTEN_OK;
    int shown =
        tensor->name.size_bytes < GGUF_NAME_SHOWN ? (int)tensor->name.size_bytes : GGUF_NAME_SHOWN;
    const char *known = gguf_sniff_tensor_type(type);
    return reject(reader, HASTEN_UNSUPPORTED,
                  "take the model in another quantization, e.g. Q4_1, Q4_K_M or Q8_0",
                  "tensor '%.*s' has type %u%s%s%s, which is not supported", shown,
                  tensor->name.data, type, known ? " (" : "", known ? known : "", known ? ")" : "");
}

static enum hasten_status compute_size(const struct reader *reader, struct gguf_tensor *tensor)
{
    size_t rows = 1, row_bytes;
    for (int i = 1; i < tensor->dims; i++)
        if (!hs_size_mul(rows, (size_t)tensor->shape[i], &rows) || rows > INT64_MAX)
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again, "shape is too large");
    const struct tn_dtype_info *info = tn_dtype_info(tensor->dtype);
    if (tensor->shape[0] % info->block)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "rows of %lld elements are no whole blocks of %d (%s)",
                      (long long)tensor->shape[0], info->block, info->name);
    size_t elements;
    if (!hs_size_mul(rows, (size_t)tensor->shape[0], &elements) || elements > INT64_MAX ||
        !tn_row_bytes(tensor->dtype, tensor->shape[0], &row_bytes) ||
        !hs_size_mul(rows, row_bytes, &tensor->size_bytes))
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again, "shape is too large");
    return HASTEN_OK;
}

static enum hasten_status read_tensor(struct reader *reader, struct gguf_tensor *tensor,
                                      uint64_t *offset_out)
{
    uint32_t dims, type;
    HS_TRY(read_name(reader, GGUF_TENSOR_NAME_BYTES_MOST, &tensor->name));
    reader->name = &tensor->name;
    HS_TRY(read_u32(reader, "a tensor record", &dims));
    if (dims > GGUF_DIMS)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "%u dimensions, the format allows %d", dims, GGUF_DIMS);
    tensor->dims = (int)dims;
    for (int i = 0; i < GGUF_DIMS; i++) {
        uint64_t extent = 1;
        if (i < tensor->dims)
            HS_TRY(read_u64(reader, "a tensor record", &extent));
        if (extent == 0 || extent > INT64_MAX)
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again, "dimension %d is %llu", i,
                          (unsigned long long)extent);
        tensor->shape[i] = (int64_t)extent;
    }
    HS_TRY(read_u32(reader, "a tensor record", &type));
    HS_TRY(read_u64(reader, "a tensor record", offset_out));
    HS_TRY(check_dtype(reader, tensor, type));
    HS_TRY(compute_size(reader, tensor));
    if (*offset_out % reader->file->alignment)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "data offset %llu is no multiple of the alignment %u",
                      (unsigned long long)*offset_out, reader->file->alignment);
    return HASTEN_OK;
}

static enum hasten_status read_tensors(struct reader *reader)
{
    struct gguf_file *file = reader->file;
    size_t count = (size_t)file->tensor_count;
    reader->part = "tensor";
    file->tensors = hs_arena_alloc(&file->arena, count + 1, sizeof(*file->tensors));
    reader->extents = hs_calloc(count + 1, sizeof(*reader->extents));
    struct gguf_index *index = &reader->lookup->tensors;
    if (!file->tensors || !reader->extents ||
        !gguf_index_reserve(index, file->tensors, sizeof(*file->tensors), count))
        return out_of_memory(reader);
    for (size_t i = 0; i < count; i++) {
        reader->name = NULL;
        reader->extents[i].tensor = i;
        HS_TRY(read_tensor(reader, &file->tensors[i], &reader->extents[i].offset));
        HS_TRY(add_name(reader, index, file->tensors, sizeof(*file->tensors), i));
    }
    reader->name = NULL;
    return HASTEN_OK;
}

static int by_offset(const void *left, const void *right)
{
    const struct extent *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->tensor < b->tensor ? -1 : 1; /* never equal: a total order */
}

/* Data must end inside the file. The message is about the whole file, since a cut download is the
 * usual reason. */
static enum hasten_status check_end(struct reader *reader, size_t data_start)
{
    struct gguf_file *file = reader->file;
    size_t last_end = 0;
    for (size_t i = 0; i < (size_t)file->tensor_count; i++) {
        const struct gguf_tensor *tensor = &file->tensors[i];
        size_t end;
        if (reader->extents[i].offset > SIZE_MAX ||
            !hs_size_add(data_start, (size_t)reader->extents[i].offset, &end) ||
            !hs_size_add(end, tensor->size_bytes, &end)) {
            reader->name = &tensor->name;
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                          "data offset %llu is too large",
                          (unsigned long long)reader->extents[i].offset);
        }
        if (end > last_end)
            last_end = end;
    }
    reader->part = "tensor data";
    if (last_end > reader->cursor.size_bytes)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "file has %zu bytes, its tensors need %zu: %zu bytes are missing",
                      reader->cursor.size_bytes, last_end, last_end - reader->cursor.size_bytes);
    return HASTEN_OK;
}

static enum hasten_status place_tensors(struct reader *reader)
{
    struct gguf_file *file = reader->file;
    size_t count = (size_t)file->tensor_count, data_start;
    if (!hs_size_align(reader->cursor.at, file->alignment, &data_start))
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again, "file is too large");
    HS_TRY(check_end(reader, data_start));
    qsort(reader->extents, count, sizeof(*reader->extents), by_offset);
    uint64_t free_from = 0;
    for (size_t i = 0; i < count; i++) {
        const struct extent *extent = &reader->extents[i];
        struct gguf_tensor *tensor = &file->tensors[extent->tensor];
        if (extent->offset < free_from) {
            const struct gguf_tensor *before = &file->tensors[extent[-1].tensor];
            int shown = before->name.size_bytes < GGUF_NAME_SHOWN ? (int)before->name.size_bytes
                                                                  : GGUF_NAME_SHOWN;
            reader->name = &tensor->name;
            return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                          "data overlaps that of tensor '%.*s'", shown, before->name.data);
        }
        free_from = extent->offset + tensor->size_bytes;
        tensor->offset = data_start + extent->offset;
    }
    return HASTEN_OK;
}

/* ---- Header and opening ---- */

static enum hasten_status check_version(struct reader *reader)
{
    uint32_t version = reader->file->version;
    if (version == 2 || version == 3)
        return HASTEN_OK;
    if ((version & 0xffff) == 0 && version != 0)
        return reject(reader, HASTEN_UNSUPPORTED,
                      "take the little-endian file, or convert it with gguf_convert_endian.py",
                      "file is big-endian (version %u byte-swapped)",
                      (version >> 24) | ((version >> 8) & 0xff00));
    return reject(reader, HASTEN_UNSUPPORTED,
                  version == 1 ? "convert the model again: version 1 was replaced in 2023"
                               : "take a newer release of this program, or download the file again",
                  "version %u, supported are 2 and 3", version);
}

static enum hasten_status check_count(const struct reader *reader, uint64_t count, uint64_t most,
                                      size_t bytes_least)
{
    size_t left = hs_cursor_left(&reader->cursor);
    if (count > left / bytes_least)
        return reject(reader, HASTEN_CORRUPT_INPUT, download_again,
                      "header promises %llu %s, but only %zu bytes follow",
                      (unsigned long long)count,
                      bytes_least == ENTRY_BYTES_LEAST ? "keys" : "tensors", left);
    if (count > most)
        return reject(reader, HASTEN_LIMIT, another_source, "%llu %s, the limit is %llu",
                      (unsigned long long)count,
                      bytes_least == ENTRY_BYTES_LEAST ? "keys" : "tensors",
                      (unsigned long long)most);
    return HASTEN_OK;
}

static enum hasten_status read_header(struct reader *reader)
{
    uint64_t tensors, entries;
    struct hs_cursor *cursor = &reader->cursor;
    reader->part = "header";
    HS_TRY(load(reader, cursor->size_bytes < SNIFFED_BYTES ? cursor->size_bytes : SNIFFED_BYTES));
    const char *hint, *guess = gguf_sniff_content(cursor->data, cursor->size_bytes, &hint);
    if (guess)
        return reject(reader, HASTEN_CORRUPT_INPUT, hint, "not a GGUF file: %s", guess);
    HS_TRY(need(reader, 8, "the header"));
    (void)hs_cursor_take(cursor, 4);
    reader->file->version = hs_cursor_u32(cursor);
    HS_TRY(check_version(reader));
    HS_TRY(read_u64(reader, "the header", &tensors));
    HS_TRY(read_u64(reader, "the header", &entries));
    HS_TRY(check_count(reader, entries, ENTRIES_MOST, ENTRY_BYTES_LEAST));
    HS_TRY(check_count(reader, tensors, GGUF_TENSORS_MOST, TENSOR_BYTES_LEAST));
    reader->file->tensor_count = (int64_t)tensors;
    reader->file->entry_count = (int64_t)entries;
    return HASTEN_OK;
}

static enum hasten_status read_all(struct reader *reader)
{
    HS_TRY(read_header(reader));
    HS_TRY(read_entries(reader));
    HS_TRY(read_alignment(reader));
    HS_TRY(read_tensors(reader));
    return place_tensors(reader);
}

static struct gguf_file *file_new(const char *path)
{
    struct gguf_file *file = hs_calloc(1, sizeof(*file));
    if (!file)
        return NULL;
    file->index = hs_arena_alloc(&file->arena, 1, sizeof(struct gguf_lookup));
    if (path)
        file->path = hs_strdup(path);
    if (!file->index || (path && !file->path))
        gguf_close(&file);
    return file;
}

static enum hasten_status parse(struct gguf_file *file, struct hs_error *error)
{
    struct reader reader = {.file = file, .lookup = file->index, .error = error};
    struct gguf_source *source = &reader.lookup->source;
    reader.cursor = hs_cursor_over(source->head, source->size_bytes);
    file->size_bytes = source->size_bytes;
    file->part_count = 1;
    enum hasten_status status = read_all(&reader);
    hs_free(reader.extents);
    gguf_source_seal(source, reader.cursor.at);
    return status;
}

enum hasten_status gguf_open_one(const char *path, struct hs_error *error,
                                 struct gguf_file **file_out)
{
    struct gguf_file *file = file_new(path);
    if (!file)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "out of memory");
    struct gguf_lookup *lookup = file->index;
    enum hasten_status status = gguf_source_open(&lookup->source, path, error);
    if (status == HASTEN_OK)
        status = parse(file, error);
    if (status != HASTEN_OK) {
        gguf_close(&file);
        return status;
    }
    *file_out = file;
    return HASTEN_OK;
}

enum hasten_status gguf_open(const char *path, struct hs_error *error, struct gguf_file **file_out)
{
    struct gguf_file *file = NULL;
    HS_TRY(gguf_open_one(path, error, &file));
    enum hasten_status status = gguf_split_join(file, error);
    if (status != HASTEN_OK) {
        gguf_close(&file);
        return status;
    }
    *file_out = file;
    return HASTEN_OK;
}

enum hasten_status gguf_open_memory(const void *data, size_t size_bytes, struct hs_error *error,
                                    struct gguf_file **file_out)
{
    struct gguf_file *file = file_new(NULL);
    if (!file)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "out of memory");
    gguf_source_over(&((struct gguf_lookup *)file->index)->source, data, size_bytes);
    enum hasten_status status = parse(file, error);
    if (status == HASTEN_OK)
        status = gguf_split_join(file, error);
    if (status != HASTEN_OK) {
        gguf_close(&file);
        return status;
    }
    *file_out = file;
    return HASTEN_OK;
}

void gguf_close(struct gguf_file **file)
{
    struct gguf_file *closing = *file;
    if (!closing)
        return;
    struct gguf_lookup *lookup = closing->index;
    if (lookup) {
        for (int i = 0; i < lookup->other_count; i++)
            gguf_close(&lookup->others[i]);
        hs_free(lookup->others);
        gguf_index_free(&lookup->entries);
        gguf_index_free(&lookup->tensors);
        gguf_source_close(&lookup->source);
    }
    hs_arena_free(&closing->arena);
    hs_free(closing->path);
    hs_free(closing);
    *file = NULL;
}

const struct gguf_entry *gguf_find(const struct gguf_file *file, const char *key)
{
    const struct gguf_lookup *lookup = file->index;
    int64_t number =
        gguf_index_find(&lookup->entries, file->entries, sizeof(*file->entries), hs_str_of(key));
    return number < 0 ? NULL : &file->entries[number];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *file, const char *name)
{
    const struct gguf_lookup *lookup = file->index;
    int64_t number =
        gguf_index_find(&lookup->tensors, file->tensors, sizeof(*file->tensors), hs_str_of(name));
    return number < 0 ? NULL : &file->tensors[number];
}
