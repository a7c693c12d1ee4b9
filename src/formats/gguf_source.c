/*
 * Bytes of a GGUF file: the head (keys and tensor records) copied as far as the parser gets, tensor
 * data read on demand.
 *
 * How long the head is shows only while it is parsed. So address space for the whole file is
 * reserved, and memory is committed and filled in steps as the parser asks: views never move, and
 * nothing is read twice or in vain beyond one step. A read costs one copy, which for tensors ends
 * in a buffer that packing finds in the cache; page faults of a mapping cost about as much.
 * Invariant: head[0..loaded_bytes) holds the file's bytes. One thread until sealed.
 */
#include "formats/gguf_internal.h"

#define STEP_BYTES ((size_t)1 << 20)

enum hasten_status gguf_source_open(struct gguf_source *source, const char *path,
                                    struct hs_error *error)
{
    HS_TRY(hs_file_reader_open(path, error, &source->reader));
    uint64_t size_bytes = hs_file_reader_size(source->reader);
    if (size_bytes <= SIZE_MAX)
        source->block = hs_reserve_new((size_t)size_bytes);
    if (!source->block) {
        (void)hs_fail(error, HASTEN_OUT_OF_MEMORY, "raise the limit (ulimit -v), or free memory",
                      "no address space for a file of %llu bytes", (unsigned long long)size_bytes);
        return hs_error_at(error, "%s", path), HASTEN_OUT_OF_MEMORY;
    }
    source->head = source->block;
    source->block_bytes = source->size_bytes = (size_t)size_bytes;
    return HASTEN_OK;
}

void gguf_source_over(struct gguf_source *source, const void *data, size_t size_bytes)
{
    *source =
        (struct gguf_source){.head = data, .loaded_bytes = size_bytes, .size_bytes = size_bytes};
}

enum hasten_status gguf_source_need(struct gguf_source *source, size_t bytes,
                                    struct hs_error *error)
{
    size_t first = source->loaded_bytes, wanted;
    if (bytes <= first)
        return HASTEN_OK;
    if (!hs_size_align(bytes, STEP_BYTES, &wanted) || wanted > source->size_bytes)
        wanted = source->size_bytes;
    if (!hs_reserve_commit(source->block, first, wanted - first))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory",
                       "no memory for the first %zu bytes of the file", wanted);
    HS_TRY(hs_file_reader_read(source->reader, first, (uint8_t *)source->block + first,
                               wanted - first, error));
    source->loaded_bytes = wanted;
    return HASTEN_OK;
}

void gguf_source_seal(struct gguf_source *source, size_t head_bytes)
{
    if (!source->block)
        return;
    source->block_bytes = hs_reserve_cut(source->block, source->block_bytes, head_bytes);
    if (source->loaded_bytes > source->block_bytes)
        source->loaded_bytes = source->block_bytes;
}

void gguf_source_close(struct gguf_source *source)
{
    hs_file_reader_close(&source->reader);
    hs_block_free(source->block, source->block_bytes);
    *source = (struct gguf_source){0};
}

enum hasten_status gguf_read(const struct gguf_file *file, const struct gguf_tensor *tensor,
                             size_t first, void *target, size_t size_bytes, struct hs_error *error)
{
    const struct gguf_lookup *lookup = file->index;
    if (first > tensor->size_bytes || size_bytes > tensor->size_bytes - first)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "bytes outside tensor '%.*s'",
                       HS_STR(tensor->name));
    if (tensor->part > 0)
        lookup = lookup->others[tensor->part - 1]->index;
    const struct gguf_source *source = &lookup->source;
    uint64_t at = tensor->offset + first; /* inside the file: checked when it was opened */
    if (source->reader)
        return hs_file_reader_read(source->reader, at, target, size_bytes, error);
    if (source->block)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the file was released");
    memcpy(target, source->head + at, size_bytes);
    return HASTEN_OK;
}

void gguf_release(struct gguf_file *file)
{
    struct gguf_lookup *lookup = file->index;
    hs_file_reader_close(&lookup->source.reader);
    for (int i = 0; i < lookup->other_count; i++)
        gguf_release(lookup->others[i]);
}
