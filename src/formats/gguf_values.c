/*
 * Typed reads of GGUF metadata: any stored number type to the type asked for, where the value fits
 * exactly. Bools are no numbers, except as elements of arrays, where they read as 0 and 1 (layer
 * patterns are stored either way). Thread-safe.
 */
#include "formats/gguf_internal.h"

#define EXACT_IN_DOUBLE 9007199254740992.0 /* 2^53 */

struct number {
    enum { WHOLE_POSITIVE, WHOLE_NEGATIVE, REAL } kind;
    uint64_t magnitude; /* value if positive, else -(value + 1) */
    double real;
};

static struct number signed_number(int64_t value)
{
    if (value >= 0)
        return (struct number){WHOLE_POSITIVE, (uint64_t)value, 0};
    return (struct number){WHOLE_NEGATIVE, (uint64_t)(-(value + 1)), 0};
}

static size_t bytes_of(enum gguf_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32:
        return 4;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64:
        return 8;
    default:
        return 0;
    }
}

/* false: not a number type. data has bytes_of(type) bytes. */
static bool decode(enum gguf_type type, const uint8_t *data, struct number *number_out)
{
    struct hs_cursor cursor = hs_cursor_over(data, bytes_of(type));
    struct number number = {WHOLE_POSITIVE, 0, 0};
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
        number.magnitude = hs_cursor_u8(&cursor);
        break;
    case GGUF_I8:
        number = signed_number((int8_t)hs_cursor_u8(&cursor));
        break;
    case GGUF_U16:
        number.magnitude = hs_cursor_u16(&cursor);
        break;
    case GGUF_I16:
        number = signed_number((int16_t)hs_cursor_u16(&cursor));
        break;
    case GGUF_U32:
        number.magnitude = hs_cursor_u32(&cursor);
        break;
    case GGUF_I32:
        number = signed_number((int32_t)hs_cursor_u32(&cursor));
        break;
    case GGUF_U64:
        number.magnitude = hs_cursor_u64(&cursor);
        break;
    case GGUF_I64:
        number = signed_number((int64_t)hs_cursor_u64(&cursor));
        break;
    case GGUF_F32:
        number = (struct number){REAL, 0, (double)hs_cursor_f32(&cursor)};
        break;
    case GGUF_F64:
        number = (struct number){REAL, 0, hs_cursor_f64(&cursor)};
        break;
    default:
        return false;
    }
    *number_out = number;
    return true;
}

/* Reals that are whole numbers become whole; others stay (also NaN and what is out of range). */
static struct number as_whole(struct number number)
{
    if (number.kind != REAL)
        return number;
    if (number.real >= 0 && number.real < 18446744073709551616.0 &&
        (double)(uint64_t)number.real == number.real)
        return (struct number){WHOLE_POSITIVE, (uint64_t)number.real, 0};
    if (number.real < 0 && number.real >= -9223372036854775808.0 &&
        (double)(int64_t)number.real == number.real)
        return signed_number((int64_t)number.real);
    return number;
}

static bool as_double(struct number number, double *value_out)
{
    if (number.kind == REAL) {
        *value_out = number.real;
        return true;
    }
    double magnitude = (double)number.magnitude;
    if (magnitude > EXACT_IN_DOUBLE)
        return false;
    *value_out = number.kind == WHOLE_POSITIVE ? magnitude : -magnitude - 1;
    return true;
}

static bool scalar(const struct gguf_file *file, const char *key, struct number *number_out)
{
    const struct gguf_entry *entry = gguf_find(file, key);
    return entry && entry->type != GGUF_BOOL && decode(entry->type, entry->data, number_out);
}

static bool element(const struct gguf_entry *entry, uint64_t index, struct number *number_out)
{
    if (!entry || entry->type != GGUF_ARRAY || index >= entry->count)
        return false;
    return decode(entry->element, entry->data + index * bytes_of(entry->element), number_out);
}

bool gguf_get_u64(const struct gguf_file *file, const char *key, uint64_t *value_out)
{
    struct number number;
    if (!scalar(file, key, &number))
        return false;
    number = as_whole(number);
    if (number.kind != WHOLE_POSITIVE)
        return false;
    *value_out = number.magnitude;
    return true;
}

bool gguf_get_f64(const struct gguf_file *file, const char *key, double *value_out)
{
    struct number number;
    return scalar(file, key, &number) && as_double(number, value_out);
}

bool gguf_get_bool(const struct gguf_file *file, const char *key, bool *value_out)
{
    const struct gguf_entry *entry = gguf_find(file, key);
    if (!entry || entry->type != GGUF_BOOL)
        return false;
    *value_out = entry->data[0] != 0;
    return true;
}

bool gguf_get_text(const struct gguf_file *file, const char *key, struct hs_str *value_out)
{
    const struct gguf_entry *entry = gguf_find(file, key);
    if (!entry || entry->type != GGUF_STRING)
        return false;
    *value_out = entry->text;
    return true;
}

bool gguf_array_f64(const struct gguf_entry *entry, uint64_t index, double *value_out)
{
    struct number number;
    return element(entry, index, &number) && as_double(number, value_out);
}

bool gguf_array_i64(const struct gguf_entry *entry, uint64_t index, int64_t *value_out)
{
    struct number number;
    if (!element(entry, index, &number))
        return false;
    number = as_whole(number);
    if (number.kind == REAL || number.magnitude > INT64_MAX)
        return false;
    *value_out =
        number.kind == WHOLE_POSITIVE ? (int64_t)number.magnitude : -(int64_t)number.magnitude - 1;
    return true;
}
