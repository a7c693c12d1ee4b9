/*
 * Reading checked facts out of a model file: numbers in a range, tensors of an expected shape. What
 * the families share; every message names the key or tensor, what was expected and what was found.
 */
#ifndef HASTEN_MODELS_FACTS_H
#define HASTEN_MODELS_FACTS_H

#include "models/model.h"

struct md_range {
    int64_t low, high;
};

/* Number ARCHITECTURE.key inside a range. An array (one value a layer) is UNSUPPORTED unless all
 * its values are equal; CORRUPT_INPUT when missing, of another kind or out of range. */
HS_MUST_USE enum hasten_status md_need_int(const struct gguf_file *file, const char *architecture,
                                           const char *key, struct md_range range,
                                           struct hs_error *error, int64_t *value_out);
/* The same, value_out untouched (it holds the default) when the key is missing. */
HS_MUST_USE enum hasten_status md_read_int(const struct gguf_file *file, const char *architecture,
                                           const char *key, struct md_range range,
                                           struct hs_error *error, int64_t *value_out);
/* Finite number with low < value <= high; value_out untouched when the key is missing. */
HS_MUST_USE enum hasten_status md_read_real(const struct gguf_file *file, const char *architecture,
                                            const char *key, const double range[2],
                                            struct hs_error *error, double *value_out);
/* A text; false when absent or of another kind. */
bool md_get_text(const struct gguf_file *file, const char *architecture, const char *key,
                 struct hs_str *value_out);
bool md_has_key(const struct gguf_file *file, const char *architecture, const char *key);

/* Fails like hs_fail, with the file as the place. */
enum hasten_status md_fail(const struct gguf_file *file, struct hs_error *error,
                           enum hasten_status status, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Shape in GGUF order (columns first) as text for messages: "[576, 1536]". */
#define MD_SHAPE_TEXT 112
const char *md_shape_text(int dims, const int64_t *shape, char *text);

/* Checks that a tensor has this shape (rows 0: a vector of cols) and a type that weights have. */
HS_MUST_USE enum hasten_status md_check_tensor(const struct gguf_file *file,
                                               const struct gguf_tensor *tensor, int64_t rows,
                                               int64_t cols, struct hs_error *error);

/* Sum of the elements of all tensors. */
int64_t md_count_parameters(const struct gguf_file *file);

#endif
