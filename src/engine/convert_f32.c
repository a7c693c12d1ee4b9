/*
 * F32 form of a model file: every tensor dequantized to F32, metadata copied. The reference that
 * quality is measured against (docs/QUALITY.md), and an oracle for other engines. Streams row by
 * row: memory stays at one row.
 */
#include <string.h>

#include "base/memory.h"
#include "engine/engine.h"
#include "kernels/rows.h"

/* Keys that describe the old file's form, not the model; all parts of a split model become one. */
static bool describes_form(struct hs_str key)
{
    static const char *const names[] = {"general.alignment", "general.quantization_version",
                                        "split.no", "split.count", "split.tensors.count"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (hs_str_is(key, names[i]))
            return true;
    return false;
}

static enum hasten_status copy_metadata(const struct gguf_file *file, struct gguf_writer *writer,
                                        struct hs_error *error)
{
    for (int64_t i = 0; i < file->entry_count; i++) {
        const struct gguf_entry *entry = &file->entries[i];
        if (hs_str_is(entry->key, "general.file_type"))
            HS_TRY(gguf_put_u32(writer, "general.file_type", 0, error)); /* all F32 */
        else if (!describes_form(entry->key))
            HS_TRY(gguf_put_entry(writer, entry, error));
    }
    return HASTEN_OK;
}

static enum hasten_status declare_tensors(const struct gguf_file *file, struct gguf_writer *writer,
                                          struct hs_error *error)
{
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const struct gguf_tensor *tensor = &file->tensors[i];
        if (!kn_can_decode(tensor->dtype))
            return hs_fail(error, HASTEN_UNSUPPORTED, NULL,
                           "tensor '%.*s' of type %s has no F32 form", HS_STR(tensor->name),
                           tn_dtype_info(tensor->dtype)->name);
        HS_TRY(gguf_declare(writer, tensor->name, TN_F32, tensor->dims, tensor->shape, error));
    }
    return HASTEN_OK;
}

/* What a tensor goes through; for the longest row of the file. */
struct convert {
    const struct gguf_file *file;
    struct gguf_writer *writer;
    uint8_t *coded;
    float *row;
    const atomic_bool *cancel; /* NULL: none */
};

static bool is_cancelled(const struct convert *c)
{
    return c->cancel && atomic_load_explicit(c->cancel, memory_order_relaxed);
}

static enum hasten_status write_tensor(const struct convert *c, const struct gguf_tensor *tensor,
                                       struct hs_error *error)
{
    size_t row_bytes;
    int64_t cols = tensor->shape[0], rows = tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
    if (!tn_row_bytes(tensor->dtype, cols, &row_bytes))
        return hs_fail(error, HASTEN_CORRUPT_INPUT, NULL, "tensor '%.*s' has no valid row size",
                       HS_STR(tensor->name));
    for (int64_t r = 0; r < rows; r++) {
        if (is_cancelled(c))
            return hs_fail(error, HASTEN_CANCELLED, NULL, "converting was cancelled");
        HS_TRY(gguf_read(c->file, tensor, (size_t)r * row_bytes, c->coded, row_bytes, error));
        kn_decode_row(tensor->dtype, c->coded, cols, c->row);
        HS_TRY(gguf_write_data(c->writer, c->row, (size_t)cols * sizeof *c->row, error));
    }
    return HASTEN_OK;
}

static enum hasten_status write_tensors(const struct gguf_file *file, struct gguf_writer *writer,
                                        const atomic_bool *cancel, struct hs_error *error)
{
    enum hasten_status status = HASTEN_OK;
    int64_t widest = 1;
    size_t coded = 1, row_bytes;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const struct gguf_tensor *tensor = &file->tensors[i];
        widest = tensor->shape[0] > widest ? tensor->shape[0] : widest;
        if (tn_row_bytes(tensor->dtype, tensor->shape[0], &row_bytes) && row_bytes > coded)
            coded = row_bytes;
    }
    struct convert c = {file, writer, hs_alloc(coded), hs_calloc((size_t)widest, sizeof *c.row),
                        cancel};
    if (!c.coded || !c.row)
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a tensor row");
    for (int64_t i = 0; i < file->tensor_count && status == HASTEN_OK; i++)
        status = write_tensor(&c, &file->tensors[i], error);
    hs_free(c.coded);
    hs_free(c.row);
    return status;
}

enum hasten_status en_convert_f32(const char *path_in, const char *path_out,
                                  const atomic_bool *cancel, struct hs_error *error)
{
    struct gguf_file *file = NULL;
    struct gguf_writer *writer = NULL;
    enum hasten_status status;
    HS_TRY_GOTO(status, gguf_open(path_in, error, &file), out);
    HS_TRY_GOTO(status, gguf_writer_open(path_out, error, &writer), out);
    HS_TRY_GOTO(status, copy_metadata(file, writer, error), out);
    HS_TRY_GOTO(status, declare_tensors(file, writer, error), out);
    HS_TRY_GOTO(status, write_tensors(file, writer, cancel, error), out);
    status = gguf_writer_finish(&writer, error);
out:
    gguf_writer_abort(&writer);
    gguf_close(&file);
    return status;
}
