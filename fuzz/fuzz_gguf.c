/*
 * Fuzz target of the GGUF reader: opens the bytes, then touches everything a reader of the tables
 * may touch. A tensor or view that leaves the input is found by AddressSanitizer; the input is
 * copied by libFuzzer to a block of its exact size.
 */
#include "formats/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static volatile uint64_t sink; /* keeps the reads */

static void touch(const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    uint64_t sum = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum += bytes[i];
    sink += sum;
}

static void touch_entry(const struct gguf_file *file, const struct gguf_entry *entry)
{
    uint64_t u;
    int64_t i;
    double f;
    bool b;
    struct hs_str text;
    touch(entry->data, entry->data_bytes);
    touch(gguf_type_name(entry->type), 1);
    char *key = hs_strndup(entry->key.data, entry->key.size_bytes);
    if (!key || gguf_find(file, key) != entry)
        __builtin_trap();
    (void)gguf_get_u64(file, key, &u);
    (void)gguf_get_f64(file, key, &f);
    (void)gguf_get_bool(file, key, &b);
    if (gguf_get_text(file, key, &text))
        touch(text.data, text.size_bytes);
    hs_free(key);
    for (uint64_t n = 0; n < entry->count && n < 1000; n++) {
        (void)gguf_array_f64(entry, n, &f);
        (void)gguf_array_i64(entry, n, &i);
    }
    for (uint64_t n = 0; entry->texts && n < entry->count; n++)
        touch(entry->texts[n].data, entry->texts[n].size_bytes);
}

static void touch_tensor(const struct gguf_file *file, const struct gguf_tensor *tensor)
{
    char *name = hs_strndup(tensor->name.data, tensor->name.size_bytes);
    if (!name || gguf_find_tensor(file, name) != tensor)
        __builtin_trap();
    hs_free(name);
    uint8_t *data = hs_alloc(tensor->size_bytes);
    if (tensor->offset % 8 ||
        gguf_read(file, tensor, 0, data, tensor->size_bytes, NULL) != HASTEN_OK)
        __builtin_trap();
    touch(data, tensor->size_bytes);
    hs_free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    enum hasten_status status = gguf_open_memory(data, size_bytes, &error, &file);
    if (status != HASTEN_OK) {
        if (file || error.status != status || !error.message[0])
            __builtin_trap();
        return 0;
    }
    if (file->arena.used_bytes > 8 * size_bytes + 4096) /* memory stays a small multiple */
        __builtin_trap();
    for (int64_t i = 0; i < file->entry_count; i++)
        touch_entry(file, &file->entries[i]);
    for (int64_t i = 0; i < file->tensor_count; i++)
        touch_tensor(file, &file->tensors[i]);
    gguf_close(&file);
    return 0;
}
