/*
 * See golden_util.h. Every failure ends the program: these tools run by hand, once, and their
 * output is committed, so a loud stop is worth more than recovery.
 */
#include "golden_util.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void golden_die(const char *what, const char *detail)
{
    fprintf(stderr, "golden: %s: %s\n", what, detail);
    exit(1);
}

void *golden_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        golden_die("allocation", "out of memory");
    }
    return memory;
}

static long file_size(FILE *file, const char *path)
{
    long size;
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 ||
        fseek(file, 0, SEEK_SET) != 0) {
        golden_die(path, strerror(errno));
    }
    return size;
}

char *golden_read_text(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        golden_die(path, strerror(errno));
    }
    size_t size = (size_t)file_size(file, path);
    char *text = golden_alloc(size + 1, 1);
    if (fread(text, 1, size, file) != size) {
        golden_die(path, "short read");
    }
    fclose(file);
    if (size > 0 && text[size - 1] == '\n') {
        text[--size] = '\0';
    }
    *length = size;
    return text;
}

FILE *golden_create(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file) {
        golden_die(path, strerror(errno));
    }
    return file;
}

void golden_close(FILE *file, const char *path)
{
    if (ferror(file) || fclose(file) != 0) {
        golden_die(path, "write failed");
    }
}

static void put_bytes(FILE *file, uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        /* A failed write is remembered by the stream and reported by golden_close. */
        (void)putc((int)((value >> (8 * i)) & 0xff), file);
    }
}

void golden_put_u32(FILE *file, uint32_t value)
{
    put_bytes(file, value, 4);
}

void golden_put_u64(FILE *file, uint64_t value)
{
    put_bytes(file, value, 8);
}

void golden_put_f32(FILE *file, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_bytes(file, bits, 4);
}

void golden_put_f64(FILE *file, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_bytes(file, bits, 8);
}

llama_token *golden_tokenize(const struct llama_vocab *vocab, const char *text, size_t length,
                             bool add_special, size_t *count)
{
    if (length > INT32_MAX / 2) {
        golden_die("tokenize", "text too long");
    }
    /* A byte-level vocabulary never makes more tokens than bytes; two more for BOS and EOS,
       and a few more because some vocabularies put a space in front. */
    int32_t room = (int32_t)length + 16;
    llama_token *ids = golden_alloc((size_t)room, sizeof *ids);
    int32_t made = llama_tokenize(vocab, text, (int32_t)length, ids, room, add_special, false);
    if (made < 0) {
        golden_die("tokenize", "more tokens than bytes");
    }
    *count = (size_t)made;
    return ids;
}

uint32_t golden_parse_count(const char *option, const char *text, uint32_t limit)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value > limit) {
        golden_die(option, "not a count in range");
    }
    return (uint32_t)value;
}

void golden_quiet_log(enum ggml_log_level level, const char *text, void *user_data)
{
    (void)user_data;
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}
