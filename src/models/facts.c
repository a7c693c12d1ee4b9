/*
 * Checked reading of metadata and tensors. Everything here comes from an untrusted file: nothing is
 * used before it lies in its range. No state; callable from any thread.
 */
#include "models/facts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define KEY_BYTES 128

static const char *key_of(char *text, const char *architecture, const char *key)
{
    snprintf(text, KEY_BYTES, "%s.%s", architecture, key);
    return text;
}

enum hasten_status md_fail(const struct gguf_file *file, struct hs_error *error,
                           enum hasten_status status, const char *hint, const char *format, ...)
{
    char text[sizeof error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hs_fail(error, status, hint, "%s", text);
    if (error)
        hs_error_at(error, "%s", file->path ? file->path : "model file");
    return status;
}

bool md_has_key(const struct gguf_file *file, const char *architecture, const char *key)
{
    char name[KEY_BYTES];
    return gguf_find(file, key_of(name, architecture, key)) != NULL;
}

bool md_get_text(const struct gguf_file *file, const char *architecture, const char *key,
                 struct hs_str *value_out)
{
    char name[KEY_BYTES];
    return gguf_get_text(file, key_of(name, architecture, key), value_out);
}

/* One number for all layers out of an array of equal ones. */
static enum hasten_status read_equal_array(const struct gguf_file *file,
                                           const struct gguf_entry *entry, struct hs_error *error,
                                           int64_t *value_out)
{
    int64_t first = 0, value = 0;
    for (uint64_t i = 0; i < entry->count; i++) {
        if (!gguf_array_i64(entry, i, &value))
            return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                           "metadata '%.*s' is an array of %s, expected whole numbers",
                           HS_STR(entry->key), gguf_type_name(entry->element));
        if (i == 0)
            first = value;
        if (value != first)
            return md_fail(file, error, HASTEN_UNSUPPORTED,
                           "models whose layers differ in size are not supported",
                           "metadata '%.*s' differs by layer: %lld and %lld", HS_STR(entry->key),
                           (long long)first, (long long)value);
    }
    if (entry->count == 0)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL, "metadata '%.*s' is an empty array",
                       HS_STR(entry->key));
    *value_out = first;
    return HASTEN_OK;
}

enum hasten_status md_read_int(const struct gguf_file *file, const char *architecture,
                               const char *key, struct md_range range, struct hs_error *error,
                               int64_t *value_out)
{
    char name[KEY_BYTES];
    const struct gguf_entry *entry = gguf_find(file, key_of(name, architecture, key));
    uint64_t number = 0;
    int64_t value = 0;
    if (!entry)
        return HASTEN_OK;
    if (entry->type == GGUF_ARRAY)
        HS_TRY(read_equal_array(file, entry, error, &value));
    else if (!gguf_get_u64(file, name, &number))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "metadata '%s' is not a whole number of at least 0 (its type is %s)", name,
                       gguf_type_name(entry->type));
    else
        value = number > INT64_MAX ? INT64_MAX : (int64_t)number;
    if (value < range.low || value > range.high)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "metadata '%s' is %lld, expected %lld to %lld", name, (long long)value,
                       (long long)range.low, (long long)range.high);
    *value_out = value;
    return HASTEN_OK;
}

enum hasten_status md_need_int(const struct gguf_file *file, const char *architecture,
                               const char *key, struct md_range range, struct hs_error *error,
                               int64_t *value_out)
{
    char name[KEY_BYTES];
    if (!gguf_find(file, key_of(name, architecture, key)))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "metadata '%s' is missing", name);
    return md_read_int(file, architecture, key, range, error, value_out);
}

enum hasten_status md_read_real(const struct gguf_file *file, const char *architecture,
                                const char *key, const double range[2], struct hs_error *error,
                                double *value_out)
{
    char name[KEY_BYTES];
    const struct gguf_entry *entry = gguf_find(file, key_of(name, architecture, key));
    double value = 0;
    if (!entry)
        return HASTEN_OK;
    if (!gguf_get_f64(file, name, &value))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "metadata '%s' is not a number (its type is %s)", name,
                       gguf_type_name(entry->type));
    if (!isfinite(value) || value <= range[0] || value > range[1])
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "metadata '%s' is %g, expected more than %g and at most %g", name, value,
                       range[0], range[1]);
    *value_out = value;
    return HASTEN_OK;
}

const char *md_shape_text(int dims, const int64_t *shape, char *text)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < dims && at < MD_SHAPE_TEXT; i++)
        at += (size_t)snprintf(text + at, MD_SHAPE_TEXT - at, "%s%lld", i ? ", " : "[",
                               (long long)shape[i]);
    if (at < MD_SHAPE_TEXT)
        snprintf(text + at, MD_SHAPE_TEXT - at, "]");
    return text;
}

enum hasten_status md_check_tensor(const struct gguf_file *file, const struct gguf_tensor *tensor,
                                   int64_t rows, int64_t cols, struct hs_error *error)
{
    const int64_t expected[2] = {cols, rows};
    int dims = rows ? 2 : 1;
    bool equal = tensor->shape[0] == cols && tensor->shape[1] == (rows ? rows : 1);
    for (int i = 2; i < tensor->dims; i++)
        equal = equal && tensor->shape[i] == 1;
    if (!equal) {
        char want[MD_SHAPE_TEXT], have[MD_SHAPE_TEXT];
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert or download the model again",
                       "tensor '%.*s' has shape %s, expected %s", HS_STR(tensor->name),
                       md_shape_text(tensor->dims, tensor->shape, have),
                       md_shape_text(dims, expected, want));
    }
    bool is_float = tensor->dtype == TN_F32 || tensor->dtype == TN_F16 || tensor->dtype == TN_BF16;
    if (rows == 0 ? tensor->dtype != TN_F32 : !is_float && !tn_dtype_is_quantized(tensor->dtype))
        return md_fail(file, error, HASTEN_UNSUPPORTED, NULL,
                       "tensor '%.*s' has type %s, expected %s", HS_STR(tensor->name),
                       tn_dtype_info(tensor->dtype)->name,
                       rows == 0 ? "f32" : "a float or quantized type");
    size_t row_bytes = 0;
    if (!tn_row_bytes(tensor->dtype, cols, &row_bytes))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "rows of tensor '%.*s' (%lld elements) are no whole number of %s blocks",
                       HS_STR(tensor->name), (long long)cols, tn_dtype_info(tensor->dtype)->name);
    return HASTEN_OK;
}

int64_t md_count_parameters(const struct gguf_file *file)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const struct gguf_tensor *tensor = &file->tensors[i];
        int64_t elements = 1;
        for (int d = 0; d < tensor->dims; d++)
            elements *= tensor->shape[d]; /* bounded: the reader checked the data's size */
        sum += elements;
    }
    return sum;
}
