/*
 * Builds GGUF bytes for tests, independent of the writer under test. A builder holds the parts of
 * a file; gb_finish joins them. Fields of the header can be overridden to make wrong files.
 */
#ifndef HASTEN_TESTS_GGUF_BUILDER_H
#define HASTEN_TESTS_GGUF_BUILDER_H

#include "base/memory.h"
#include "formats/gguf.h"

struct gb {
    struct hs_buffer keys, records, data, whole;
    uint64_t key_count, record_count;
    uint32_t version;
    uint32_t alignment;
};

static inline void gb_number(struct hs_buffer *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        hs_buffer_append(to, &byte, 1);
    }
}

static inline void gb_string(struct hs_buffer *to, const char *text)
{
    gb_number(to, strlen(text), 8);
    hs_buffer_append(to, text, strlen(text));
}

static inline void gb_key(struct gb *gb, const char *key, enum gguf_type type)
{
    gb->key_count++;
    gb_string(&gb->keys, key);
    gb_number(&gb->keys, type, 4);
}

static inline void gb_scalar(struct gb *gb, const char *key, enum gguf_type type, uint64_t bits,
                             int bytes)
{
    gb_key(gb, key, type);
    gb_number(&gb->keys, bits, bytes);
}

static inline void gb_text(struct gb *gb, const char *key, const char *value)
{
    gb_key(gb, key, GGUF_STRING);
    gb_string(&gb->keys, value);
}

static inline void gb_array(struct gb *gb, const char *key, enum gguf_type element, uint64_t count)
{
    gb_key(gb, key, GGUF_ARRAY);
    gb_number(&gb->keys, element, 4);
    gb_number(&gb->keys, count, 8);
}

/* A record with everything given. */
static inline void gb_record(struct gb *gb, const char *name, uint32_t dims, const uint64_t *shape,
                             uint32_t type, uint64_t offset)
{
    gb->record_count++;
    gb_string(&gb->records, name);
    gb_number(&gb->records, dims, 4);
    for (uint32_t i = 0; i < dims; i++)
        gb_number(&gb->records, shape[i], 8);
    gb_number(&gb->records, type, 4);
    gb_number(&gb->records, offset, 8);
}

static inline void gb_pad(struct gb *gb, struct hs_buffer *to)
{
    uint32_t alignment = gb->alignment ? gb->alignment : 32;
    while (to->size_bytes % alignment)
        hs_buffer_append(to, "", 1);
}

/* A tensor of 2 dimensions with data counting up from `first`. */
static inline void gb_tensor(struct gb *gb, const char *name, uint32_t type, uint64_t columns,
                             uint64_t rows, size_t size_bytes)
{
    uint64_t shape[2] = {columns, rows};
    gb_pad(gb, &gb->data);
    gb_record(gb, name, 2, shape, type, gb->data.size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        uint8_t byte = (uint8_t)(i + gb->record_count);
        hs_buffer_append(&gb->data, &byte, 1);
    }
}

/* Joins the parts into gb->whole. */
static inline void gb_finish(struct gb *gb)
{
    hs_buffer_clear(&gb->whole);
    hs_buffer_append(&gb->whole, "GGUF", 4);
    gb_number(&gb->whole, gb->version ? gb->version : 3, 4);
    gb_number(&gb->whole, gb->record_count, 8);
    gb_number(&gb->whole, gb->key_count, 8);
    hs_buffer_append(&gb->whole, gb->keys.data, gb->keys.size_bytes);
    hs_buffer_append(&gb->whole, gb->records.data, gb->records.size_bytes);
    gb_pad(gb, &gb->whole);
    hs_buffer_append(&gb->whole, gb->data.data, gb->data.size_bytes);
}

static inline void gb_free(struct gb *gb)
{
    hs_buffer_free(&gb->keys);
    hs_buffer_free(&gb->records);
    hs_buffer_free(&gb->data);
    hs_buffer_free(&gb->whole);
    *gb = (struct gb){0};
}

/* A tensor's data; the caller's (hs_free). NULL when it cannot be read. */
static inline uint8_t *gb_data(const struct gguf_file *file, const struct gguf_tensor *tensor)
{
    uint8_t *data = hs_alloc(tensor->size_bytes);
    if (data && gguf_read(file, tensor, 0, data, tensor->size_bytes, NULL) != HASTEN_OK) {
        hs_free(data);
        return NULL;
    }
    return data;
}

/* Whether size_bytes of a tensor's data at `first` are these. */
static inline bool gb_data_is(const struct gguf_file *file, const struct gguf_tensor *tensor,
                              const void *bytes, size_t size_bytes)
{
    uint8_t *data = gb_data(file, tensor);
    bool same = data && size_bytes <= tensor->size_bytes && memcmp(data, bytes, size_bytes) == 0;
    hs_free(data);
    return same;
}

/* Byte `at` of a tensor's data; -1 when it cannot be read. */
static inline int gb_byte(const struct gguf_file *file, int tensor, size_t at)
{
    uint8_t byte;
    return gguf_read(file, &file->tensors[tensor], at, &byte, 1, NULL) == HASTEN_OK ? byte : -1;
}

/* Joins, opens, keeps no file: the status, with the record filled. Frees the builder. The bytes are
 * copied to a block of exactly their size, so that sanitizers see every read past the end. */
static inline enum hasten_status gb_status(struct gb *gb, struct hs_error *error)
{
    struct gguf_file *file = NULL;
    gb_finish(gb);
    char *exact = hs_alloc(gb->whole.size_bytes);
    memcpy(exact, gb->whole.data, gb->whole.size_bytes);
    enum hasten_status status = gguf_open_memory(exact, gb->whole.size_bytes, error, &file);
    if (file)
        gguf_close(&file);
    hs_free(exact);
    gb_free(gb);
    return status;
}

#endif
