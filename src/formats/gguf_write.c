/*
 * GGUF writer, version 3: metadata and tensor records are collected in memory, tensor data streams
 * through the atomic file writer.
 *
 * Tensor records come before the data in the file and hold offsets, so all tensors are declared
 * before the first data; sizes follow from the declarations and are checked against what comes.
 * Data of each tensor, the last too, is padded to the alignment (32 unless a general.alignment key
 * was put before the first declaration): readers exist that read the padding. After a failure the
 * writer refuses further calls; only abort or finish (which then fails) are left. One thread.
 */
#include "formats/gguf_internal.h"

struct declared {
    struct hs_str name;
    size_t size_bytes;
};

struct gguf_writer {
    struct hs_file_writer *out;
    struct hs_arena names;
    struct hs_buffer metadata;
    struct hs_buffer records; /* tensor records */
    struct hs_str *keys;
    size_t key_count, key_capacity;
    struct gguf_index key_index;
    struct declared *tensors;
    size_t tensor_count, tensor_capacity;
    struct gguf_index tensor_index;
    uint32_t alignment;
    uint64_t data_bytes; /* declared so far, padded */
    bool started;        /* header is written, data may come */
    bool failed;
    size_t current;      /* tensor that gets data */
    size_t current_done; /* bytes it has */
};

static enum hasten_status misuse(struct hs_error *error, const char *message)
{
    return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "%s", message);
}

static enum hasten_status out_of_memory(struct gguf_writer *writer, struct hs_error *error)
{
    writer->failed = true;
    return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory");
}

enum hasten_status gguf_writer_open(const char *path, struct hs_error *error,
                                    struct gguf_writer **writer_out)
{
    struct gguf_writer *writer = hs_calloc(1, sizeof(*writer));
    if (!writer)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory");
    writer->alignment = GGUF_ALIGNMENT_DEFAULT;
    enum hasten_status status = hs_file_writer_open(path, error, &writer->out);
    if (status != HASTEN_OK) {
        gguf_writer_abort(&writer);
        return status;
    }
    *writer_out = writer;
    return HASTEN_OK;
}

void gguf_writer_abort(struct gguf_writer **writer)
{
    struct gguf_writer *closing = *writer;
    if (!closing)
        return;
    hs_file_writer_abort(&closing->out);
    hs_arena_free(&closing->names);
    hs_buffer_free(&closing->metadata);
    hs_buffer_free(&closing->records);
    gguf_index_free(&closing->key_index);
    gguf_index_free(&closing->tensor_index);
    hs_free(closing->keys);
    hs_free(closing->tensors);
    hs_free(closing);
    *writer = NULL;
}

/* ---- Encoding ---- */

static void append_number(struct hs_buffer *buffer, uint64_t value, int bytes)
{
    uint8_t encoded[8];
    for (int i = 0; i < bytes; i++)
        encoded[i] = (uint8_t)(value >> (8 * i));
    hs_buffer_append(buffer, encoded, (size_t)bytes);
}

static void append_text(struct hs_buffer *buffer, struct hs_str text)
{
    append_number(buffer, text.size_bytes, 8);
    hs_buffer_append(buffer, text.data, text.size_bytes);
}

/* Doubles an array when it is full. */
static bool grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *larger = hs_realloc(*items, wanted, item_bytes);
    if (!larger)
        return false;
    *items = larger;
    *capacity = wanted;
    return true;
}

static enum hasten_status check_new_name(const struct gguf_writer *writer, struct hs_str name,
                                         size_t bytes_most, struct hs_error *error)
{
    if (writer->failed)
        return misuse(error, "the writer has failed before");
    if (writer->started)
        return misuse(error, "metadata and tensors must come before the first tensor data");
    if (!gguf_name_ok(name, bytes_most))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "name of %zu bytes is empty, too long or has control characters",
                       name.size_bytes);
    return HASTEN_OK;
}

static enum hasten_status name_taken(struct hs_error *error, struct hs_str name)
{
    return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "name '%.*s' is already there",
                   (int)(name.size_bytes < 96 ? name.size_bytes : 96), name.data);
}

/* ---- Metadata ---- */

/* Registers the key and appends key and type. */
static enum hasten_status begin_entry(struct gguf_writer *writer, struct hs_str key,
                                      enum gguf_type type, struct hs_error *error)
{
    HS_TRY(check_new_name(writer, key, GGUF_KEY_BYTES_MOST, error));
    if (gguf_index_find(&writer->key_index, writer->keys, sizeof(*writer->keys), key) >= 0)
        return name_taken(error, key);
    void *keys = writer->keys;
    if (!grow(&keys, writer->key_count, &writer->key_capacity, sizeof(*writer->keys)))
        return out_of_memory(writer, error);
    writer->keys = keys;
    char *copy = hs_arena_strndup(&writer->names, key.data, key.size_bytes);
    if (!copy || !gguf_index_reserve(&writer->key_index, writer->keys, sizeof(*writer->keys),
                                     writer->key_count + 1))
        return out_of_memory(writer, error);
    writer->keys[writer->key_count] = (struct hs_str){copy, key.size_bytes};
    if (gguf_index_add(&writer->key_index, writer->keys, sizeof(*writer->keys),
                       writer->key_count) != GGUF_INDEX_ADDED)
        return name_taken(error, key);
    writer->key_count++;
    append_text(&writer->metadata, key);
    append_number(&writer->metadata, type, 4);
    return HASTEN_OK;
}

static enum hasten_status end_entry(struct gguf_writer *writer, struct hs_error *error)
{
    return writer->metadata.failed ? out_of_memory(writer, error) : HASTEN_OK;
}

/* The alignment key rules the padding of what is written. */
static enum hasten_status take_alignment(struct gguf_writer *writer, uint64_t alignment,
                                         struct hs_error *error)
{
    if (writer->tensor_count)
        return misuse(error, GGUF_ALIGNMENT_KEY " must come before the first tensor");
    if (!gguf_alignment_ok(alignment))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "alignment is %llu, not a power of two from %d to %d",
                       (unsigned long long)alignment, GGUF_ALIGNMENT_LEAST, GGUF_ALIGNMENT_MOST);
    writer->alignment = (uint32_t)alignment;
    return HASTEN_OK;
}

enum hasten_status gguf_put_u32(struct gguf_writer *writer, const char *key, uint32_t value,
                                struct hs_error *error)
{
    if (strcmp(key, GGUF_ALIGNMENT_KEY) == 0)
        HS_TRY(take_alignment(writer, value, error));
    HS_TRY(begin_entry(writer, hs_str_of(key), GGUF_U32, error));
    append_number(&writer->metadata, value, 4);
    return end_entry(writer, error);
}

enum hasten_status gguf_put_f32(struct gguf_writer *writer, const char *key, float value,
                                struct hs_error *error)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    HS_TRY(begin_entry(writer, hs_str_of(key), GGUF_F32, error));
    append_number(&writer->metadata, bits, 4);
    return end_entry(writer, error);
}

enum hasten_status gguf_put_bool(struct gguf_writer *writer, const char *key, bool value,
                                 struct hs_error *error)
{
    HS_TRY(begin_entry(writer, hs_str_of(key), GGUF_BOOL, error));
    append_number(&writer->metadata, value, 1);
    return end_entry(writer, error);
}

enum hasten_status gguf_put_text(struct gguf_writer *writer, const char *key, struct hs_str value,
                                 struct hs_error *error)
{
    HS_TRY(begin_entry(writer, hs_str_of(key), GGUF_STRING, error));
    append_text(&writer->metadata, value);
    return end_entry(writer, error);
}

enum hasten_status gguf_put_texts(struct gguf_writer *writer, const char *key,
                                  const struct hs_str *values, uint64_t count,
                                  struct hs_error *error)
{
    HS_TRY(begin_entry(writer, hs_str_of(key), GGUF_ARRAY, error));
    append_number(&writer->metadata, GGUF_STRING, 4);
    append_number(&writer->metadata, count, 8);
    for (uint64_t i = 0; i < count; i++)
        append_text(&writer->metadata, values[i]);
    return end_entry(writer, error);
}

enum hasten_status gguf_put_entry(struct gguf_writer *writer, const struct gguf_entry *entry,
                                  struct hs_error *error)
{
    if (hs_str_is(entry->key, GGUF_ALIGNMENT_KEY)) {
        if (entry->type != GGUF_U32)
            return misuse(error, GGUF_ALIGNMENT_KEY " must be a u32");
        struct hs_cursor cursor = hs_cursor_over(entry->data, entry->data_bytes);
        HS_TRY(take_alignment(writer, hs_cursor_u32(&cursor), error));
    }
    HS_TRY(begin_entry(writer, entry->key, entry->type, error));
    if (entry->type == GGUF_ARRAY) {
        append_number(&writer->metadata, entry->element, 4);
        append_number(&writer->metadata, entry->count, 8);
    }
    hs_buffer_append(&writer->metadata, entry->data, entry->data_bytes);
    return end_entry(writer, error);
}

/* ---- Tensors ---- */

static bool size_of(enum tn_dtype dtype, int dims, const int64_t *shape, size_t *size_out)
{
    size_t size_bytes;
    if (dims < 1 || dims > GGUF_DIMS || shape[0] < 1 || !tn_row_bytes(dtype, shape[0], &size_bytes))
        return false;
    for (int i = 1; i < dims; i++)
        if (shape[i] < 1 || !hs_size_mul(size_bytes, (size_t)shape[i], &size_bytes))
            return false;
    *size_out = size_bytes;
    return true;
}

static enum hasten_status add_tensor(struct gguf_writer *writer, struct hs_str name,
                                     size_t size_bytes, struct hs_error *error)
{
    void *tensors = writer->tensors;
    if (!grow(&tensors, writer->tensor_count, &writer->tensor_capacity, sizeof(struct declared)))
        return out_of_memory(writer, error);
    writer->tensors = tensors;
    char *copy = hs_arena_strndup(&writer->names, name.data, name.size_bytes);
    if (!copy || !gguf_index_reserve(&writer->tensor_index, tensors, sizeof(struct declared),
                                     writer->tensor_count + 1))
        return out_of_memory(writer, error);
    writer->tensors[writer->tensor_count] = (struct declared){{copy, name.size_bytes}, size_bytes};
    if (gguf_index_add(&writer->tensor_index, tensors, sizeof(struct declared),
                       writer->tensor_count) != GGUF_INDEX_ADDED)
        return name_taken(error, name);
    writer->tensor_count++;
    return HASTEN_OK;
}

enum hasten_status gguf_declare(struct gguf_writer *writer, struct hs_str name, enum tn_dtype dtype,
                                int dims, const int64_t *shape, struct hs_error *error)
{
    size_t size_bytes, padded, total;
    HS_TRY(check_new_name(writer, name, GGUF_TENSOR_NAME_BYTES_MOST, error));
    if ((unsigned)dtype >= TN_DTYPE_COUNT || tn_dtype_info(dtype)->gguf_id < 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "tensor '%.*s' has a type that GGUF files cannot hold", HS_STR(name));
    if (!size_of(dtype, dims, shape, &size_bytes) ||
        !hs_size_align(size_bytes, writer->alignment, &padded) ||
        !hs_size_add((size_t)writer->data_bytes, padded, &total))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "tensor '%.*s' has a wrong shape for type %s", HS_STR(name),
                       tn_dtype_info(dtype)->name);
    HS_TRY(add_tensor(writer, name, size_bytes, error));
    append_text(&writer->records, name);
    append_number(&writer->records, (uint64_t)dims, 4);
    for (int i = 0; i < dims; i++)
        append_number(&writer->records, (uint64_t)shape[i], 8);
    append_number(&writer->records, (uint64_t)tn_dtype_info(dtype)->gguf_id, 4);
    append_number(&writer->records, writer->data_bytes, 8);
    writer->data_bytes = total;
    return writer->records.failed ? out_of_memory(writer, error) : HASTEN_OK;
}

/* ---- Data ---- */

static enum hasten_status emit(struct gguf_writer *writer, const void *data, size_t size_bytes,
                               struct hs_error *error)
{
    enum hasten_status status = hs_file_writer_write(writer->out, data, size_bytes, error);
    if (status != HASTEN_OK)
        writer->failed = true;
    return status;
}

/* Zeros up to the next multiple of the alignment after `size_bytes` bytes. */
static enum hasten_status emit_padding(struct gguf_writer *writer, size_t size_bytes,
                                       struct hs_error *error)
{
    static const uint8_t zeros[4096];
    size_t left = (writer->alignment - size_bytes % writer->alignment) % writer->alignment;
    while (left) {
        size_t piece = left < sizeof(zeros) ? left : sizeof(zeros);
        HS_TRY(emit(writer, zeros, piece, error));
        left -= piece;
    }
    return HASTEN_OK;
}

static enum hasten_status start_data(struct gguf_writer *writer, struct hs_error *error)
{
    struct hs_buffer header = {0};
    hs_buffer_append(&header, GGUF_MAGIC, 4);
    append_number(&header, GGUF_VERSION_WRITTEN, 4);
    append_number(&header, writer->tensor_count, 8);
    append_number(&header, writer->key_count, 8);
    if (header.failed) {
        hs_buffer_free(&header);
        return out_of_memory(writer, error);
    }
    writer->started = true;
    size_t size_bytes =
        header.size_bytes + writer->metadata.size_bytes + writer->records.size_bytes;
    enum hasten_status status = emit(writer, header.data, header.size_bytes, error);
    hs_buffer_free(&header);
    HS_TRY(status);
    HS_TRY(emit(writer, writer->metadata.data, writer->metadata.size_bytes, error));
    HS_TRY(emit(writer, writer->records.data, writer->records.size_bytes, error));
    HS_TRY(emit_padding(writer, size_bytes, error));
    hs_buffer_free(&writer->metadata);
    hs_buffer_free(&writer->records);
    return HASTEN_OK;
}

enum hasten_status gguf_write_data(struct gguf_writer *writer, const void *data, size_t size_bytes,
                                   struct hs_error *error)
{
    if (writer->failed)
        return misuse(error, "the writer has failed before");
    if (writer->current >= writer->tensor_count)
        return misuse(error, "more tensor data than declared");
    const struct declared *tensor = &writer->tensors[writer->current];
    if (size_bytes > tensor->size_bytes - writer->current_done)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "tensor '%.*s' was declared with %zu bytes, more came", HS_STR(tensor->name),
                       tensor->size_bytes);
    if (!writer->started)
        HS_TRY(start_data(writer, error));
    HS_TRY(emit(writer, data, size_bytes, error));
    writer->current_done += size_bytes;
    if (writer->current_done < tensor->size_bytes)
        return HASTEN_OK;
    HS_TRY(emit_padding(writer, tensor->size_bytes, error));
    writer->current++;
    writer->current_done = 0;
    return HASTEN_OK;
}

static enum hasten_status finish(struct gguf_writer *writer, struct hs_error *error)
{
    if (writer->failed)
        return misuse(error, "the writer has failed before");
    if (writer->current < writer->tensor_count)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "tensor '%.*s' got %zu of %zu bytes",
                       HS_STR(writer->tensors[writer->current].name), writer->current_done,
                       writer->tensors[writer->current].size_bytes);
    if (!writer->started)
        HS_TRY(start_data(writer, error));
    return hs_file_writer_commit(&writer->out, error);
}

enum hasten_status gguf_writer_finish(struct gguf_writer **writer, struct hs_error *error)
{
    enum hasten_status status = finish(*writer, error);
    gguf_writer_abort(writer);
    return status;
}
