/*
 * GGUF: model files of the llama.cpp family, versions 2 and 3, little endian.
 *
 * Source of the format: ggml's docs/gguf.md. A reader over untrusted bytes: counts, sizes, offsets,
 * names and products are checked before use (limits at the top of gguf_read.c). The parsed tables
 * are views into a copy of the file's head that lives as long as the gguf_file; tensor data stays
 * in the file and is read piece by piece, so a file may change or shrink meanwhile: that is an
 * error (IO) at worst.
 *
 * A model split into files NAME-00001-of-0000N.gguf ... is one gguf_file too: gguf_open on the
 * first opens all of them. Keys are those of the first file, tensors those of all files in order.
 */
#ifndef HASTEN_FORMATS_GGUF_H
#define HASTEN_FORMATS_GGUF_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "tensor/dtype.h"

/* Value types, numbered as in files. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
};

struct gguf_entry { /* one metadata key */
    struct hs_str key;
    enum gguf_type type;    /* GGUF_ARRAY: see element and count */
    enum gguf_type element; /* element type of an array (arrays of arrays are refused) */
    uint64_t count;         /* elements of an array, else 1 */
    const uint8_t *data;    /* encoded value(s); arrays: after type and count */
    size_t data_bytes;
    struct hs_str text;         /* value of a GGUF_STRING */
    const struct hs_str *texts; /* [count] views of a string array, else NULL */
};

#define GGUF_DIMS 4
struct gguf_tensor {
    struct hs_str name;
    enum tn_dtype dtype;
    int dims;
    int64_t shape[GGUF_DIMS]; /* GGUF order: shape[0] innermost (columns), unused are 1 */
    size_t size_bytes;        /* of the data: row-major rows */
    uint64_t offset;          /* of the data in its file */
    int part;                 /* number of that file, from 0 */
};

struct gguf_file {
    char *path;          /* of the first file */
    uint64_t size_bytes; /* of all files */
    int part_count;      /* files, 1 for a model that is not split */
    uint32_t version;
    uint32_t alignment;
    int64_t entry_count, tensor_count;
    struct gguf_entry *entries;  /* file order */
    struct gguf_tensor *tensors; /* file order */
    struct hs_arena arena;
    void *index; /* private: name lookup, bytes, other files */
};

/* Opens and checks a file, or all files of a split model from the first one. CORRUPT_INPUT
 * (truncated, bad counts, overlapping or out-of-file data, duplicate names, parts that do not
 * belong together), UNSUPPORTED (version, big-endian file, unknown tensor type), INVALID_ARGUMENT
 * (a part other than the first, names of parts changed), NOT_FOUND (also a missing part). Caller
 * owns: gguf_close. */
HS_MUST_USE enum hasten_status gguf_open(const char *path, struct hs_error *error,
                                         struct gguf_file **file_out);
/* The same over bytes in memory (fuzzing, tests); data must outlive the file. UNSUPPORTED for a
 * part of a split model: the others cannot be found. */
HS_MUST_USE enum hasten_status gguf_open_memory(const void *data, size_t size_bytes,
                                                struct hs_error *error,
                                                struct gguf_file **file_out);
void gguf_close(struct gguf_file **file);
/* Bytes [first, first + size_bytes) of a tensor's data into target; several threads may read at
 * once. INVALID_ARGUMENT when that leaves the tensor or the files were released, IO when the file
 * became shorter. */
HS_MUST_USE enum hasten_status gguf_read(const struct gguf_file *file,
                                         const struct gguf_tensor *tensor, size_t first,
                                         void *target, size_t size_bytes, struct hs_error *error);
/* No more data will be read: closes the files. The tables stay. */
void gguf_release(struct gguf_file *file);

/* Lookups: NULL when absent. Constant time. */
const struct gguf_entry *gguf_find(const struct gguf_file *file, const char *key);
const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *file, const char *name);

/* Typed reads with conversion between number types where the value fits. false: absent or of
 * another kind (out untouched). */
bool gguf_get_u64(const struct gguf_file *file, const char *key, uint64_t *value_out);
bool gguf_get_f64(const struct gguf_file *file, const char *key, double *value_out);
bool gguf_get_bool(const struct gguf_file *file, const char *key, bool *value_out);
bool gguf_get_text(const struct gguf_file *file, const char *key, struct hs_str *value_out);
/* Element of a number array as double / i64; false when out of range or not a number array. */
bool gguf_array_f64(const struct gguf_entry *entry, uint64_t index, double *value_out);
bool gguf_array_i64(const struct gguf_entry *entry, uint64_t index, int64_t *value_out);
/* Name of a value type ("u32"). */
const char *gguf_type_name(enum gguf_type type);

/*
 * Writer: metadata first, then tensors declared, then data streamed in declared order.
 * One thread; every call may fail with IO or OUT_OF_MEMORY and leaves no file behind unless
 * gguf_writer_finish succeeded.
 */
struct gguf_writer;
HS_MUST_USE enum hasten_status gguf_writer_open(const char *path, struct hs_error *error,
                                                struct gguf_writer **writer_out);
void gguf_writer_abort(struct gguf_writer **writer); /* NULL inside is allowed */
HS_MUST_USE enum hasten_status gguf_put_u32(struct gguf_writer *writer, const char *key,
                                            uint32_t value, struct hs_error *error);
HS_MUST_USE enum hasten_status gguf_put_f32(struct gguf_writer *writer, const char *key,
                                            float value, struct hs_error *error);
HS_MUST_USE enum hasten_status gguf_put_bool(struct gguf_writer *writer, const char *key,
                                             bool value, struct hs_error *error);
HS_MUST_USE enum hasten_status gguf_put_text(struct gguf_writer *writer, const char *key,
                                             struct hs_str value, struct hs_error *error);
HS_MUST_USE enum hasten_status gguf_put_texts(struct gguf_writer *writer, const char *key,
                                              const struct hs_str *values, uint64_t count,
                                              struct hs_error *error);
/* Copies an entry of an open file unchanged. */
HS_MUST_USE enum hasten_status gguf_put_entry(struct gguf_writer *writer,
                                              const struct gguf_entry *entry,
                                              struct hs_error *error);
/* Declares a tensor; shape in GGUF order. All declarations come before the first data. */
HS_MUST_USE enum hasten_status gguf_declare(struct gguf_writer *writer, struct hs_str name,
                                            enum tn_dtype dtype, int dims, const int64_t *shape,
                                            struct hs_error *error);
/* Next piece of tensor data, in declared order; pieces of one tensor may be split anywhere. */
HS_MUST_USE enum hasten_status gguf_write_data(struct gguf_writer *writer, const void *data,
                                               size_t size_bytes, struct hs_error *error);
/* Checks that all data came, completes and renames the file; the writer is gone afterwards. */
HS_MUST_USE enum hasten_status gguf_writer_finish(struct gguf_writer **writer,
                                                  struct hs_error *error);

#endif
