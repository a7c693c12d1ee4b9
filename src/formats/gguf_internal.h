/*
 * Private to the GGUF reader and writer: limits both keep, what a split model adds to an open file,
 * and the name index.
 *
 * The index is an open-addressing hash table from names to record numbers over an array of records
 * whose first member is a struct hs_str (gguf_entry, gguf_tensor, the writer's records). It holds
 * 8 bytes a slot and no names. Probe runs are capped, so a file made of colliding names costs
 * bounded time and is refused.
 */
#ifndef HASTEN_FORMATS_GGUF_INTERNAL_H
#define HASTEN_FORMATS_GGUF_INTERNAL_H

#include "formats/gguf.h"

#define GGUF_MAGIC                  "GGUF"
#define GGUF_VERSION_WRITTEN        3
#define GGUF_ALIGNMENT_KEY          "general.alignment"
#define GGUF_ALIGNMENT_DEFAULT      32
#define GGUF_ALIGNMENT_LEAST        8 /* the format asks for a multiple of 8 */
#define GGUF_ALIGNMENT_MOST         65536
#define GGUF_KEY_BYTES_MOST         65535
#define GGUF_TENSOR_NAME_BYTES_MOST 1024 /* the format says 64; some real files have more */
#define GGUF_TENSORS_MOST           (1u << 20)
#define GGUF_NAME_SHOWN             96 /* bytes of a name in messages */

struct gguf_index_slot {
    uint32_t tag;    /* upper half of the hash */
    uint32_t number; /* record number + 1; 0: free */
};

struct gguf_index {
    struct gguf_index_slot *slots;
    size_t capacity; /* power of two, more than twice count */
    size_t count;
};

enum gguf_index_result { GGUF_INDEX_ADDED, GGUF_INDEX_DUPLICATE, GGUF_INDEX_CROWDED };

/* Where the bytes of one file come from. The head grows at a fixed address, so that views into it
 * stay; the address space for it is as large as the file until gguf_source_seal. */
struct gguf_source {
    const uint8_t *head; /* [loaded_bytes] may be read */
    size_t loaded_bytes, size_bytes;
    void *block; /* address space of the head, NULL: bytes in memory */
    size_t block_bytes;
    struct hs_file_reader *reader; /* NULL: bytes in memory, or released */
};

HS_MUST_USE enum hasten_status gguf_source_open(struct gguf_source *source, const char *path,
                                                struct hs_error *error);
void gguf_source_over(struct gguf_source *source, const void *data, size_t size_bytes);
/* Makes head[0..bytes) readable; bytes <= size_bytes. */
HS_MUST_USE enum hasten_status gguf_source_need(struct gguf_source *source, size_t bytes,
                                                struct hs_error *error);
/* The head is no longer than this: gives the rest of its address space back. */
void gguf_source_seal(struct gguf_source *source, size_t head_bytes);
void gguf_source_close(struct gguf_source *source);

/* What gguf_file.index points to. */
struct gguf_lookup {
    struct gguf_index entries, tensors;
    struct gguf_source source;
    struct gguf_file **others; /* [other_count] second and later files of a split model */
    int other_count;
};

/* Opens one file and looks at nothing else. */
HS_MUST_USE enum hasten_status gguf_open_one(const char *path, struct hs_error *error,
                                             struct gguf_file **file_out);
/* Opens the other files of a split model and makes `file` stand for all; a file that is no part is
 * left as it is. */
HS_MUST_USE enum hasten_status gguf_split_join(struct gguf_file *file, struct hs_error *error);

/* Makes room for `records` names; names that are in stay in. false: out of memory. */
bool gguf_index_reserve(struct gguf_index *index, const void *records, size_t stride, size_t count);
/* Adds record `number`; room must have been reserved. */
enum gguf_index_result gguf_index_add(struct gguf_index *index, const void *records, size_t stride,
                                      size_t number);
/* Record number of a name, -1 when absent. */
int64_t gguf_index_find(const struct gguf_index *index, const void *records, size_t stride,
                        struct hs_str name);
void gguf_index_free(struct gguf_index *index);

/* Names are printed in messages and looked up as C strings: not empty, no control characters. */
bool gguf_name_ok(struct hs_str name, size_t bytes_most);
bool gguf_alignment_ok(uint64_t alignment);

#endif
