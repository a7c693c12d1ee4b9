/*
 * Hostile files by the hundred thousand: seeded mutations of a generated file, and a larger file
 * cut at every byte of its first 64 KiB. Whatever the reader accepts is walked to its last byte;
 * what it refuses must carry message, hint and place.
 *
 * The bytes end at a page that may not be touched, so that a read past the end is seen without
 * sanitizers too. Every mutation depends on the seed and its number alone (Philox); a failure
 * prints both. HASTEN_TEST_GGUF=FILE adds 2,000 mutations of that file's header.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "formats/gguf.h"
#include "harness/test.h"

#include "gguf_builder.h"

#define MUTATIONS        100000
#define HEADER_MUTATIONS 2000
#define CUTS             65536
#define ROOM_BYTES       ((size_t)512 * 1024) /* of the block before the forbidden page */

static volatile uint64_t sink; /* keeps the reads */

/* ---- Walking an accepted file ---- */

static void touch(const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    uint64_t sum = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum += bytes[i];
    sink += sum;
}

struct walk {
    const uint8_t *data;
    size_t size_bytes;
    uint64_t number; /* of the mutation, for messages */
    bool ends_only;  /* of tensor data: real files are too large to be read 2,000 times */
};

static bool lies_inside(const struct walk *walk, const void *data, size_t size_bytes)
{
    uintptr_t start = (uintptr_t)walk->data, at = (uintptr_t)data;
    return at >= start && at - start <= walk->size_bytes &&
           size_bytes <= walk->size_bytes - (at - start);
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            TEST_FAIL("number %llu: %s", (unsigned long long)walk->number, #condition);            \
    } while (0)

static void walk_entry(const struct walk *walk, const struct gguf_file *file, int64_t number)
{
    const struct gguf_entry *entry = &file->entries[number];
    char key[256];
    int64_t i;
    double f;
    MUST(lies_inside(walk, entry->key.data, entry->key.size_bytes));
    MUST(lies_inside(walk, entry->data, entry->data_bytes));
    touch(entry->data, entry->data_bytes);
    if (entry->key.size_bytes < sizeof(key)) {
        memcpy(key, entry->key.data, entry->key.size_bytes);
        key[entry->key.size_bytes] = 0;
        MUST(gguf_find(file, key) == entry);
    }
    if (entry->type == GGUF_STRING)
        MUST(lies_inside(walk, entry->text.data, entry->text.size_bytes));
    MUST((entry->texts != NULL) == (entry->type == GGUF_ARRAY && entry->element == GGUF_STRING));
    for (uint64_t n = 0; entry->texts && n < entry->count; n++) {
        MUST(lies_inside(walk, entry->texts[n].data, entry->texts[n].size_bytes));
        touch(entry->texts[n].data, entry->texts[n].size_bytes);
    }
    for (uint64_t n = 0; entry->type == GGUF_ARRAY && n < entry->count && n < 32; n++) {
        (void)gguf_array_f64(entry, n, &f);
        (void)gguf_array_i64(entry, n, &i);
    }
}

static void walk_tensor(const struct walk *walk, const struct gguf_file *file, int64_t number)
{
    const struct gguf_tensor *tensor = &file->tensors[number];
    size_t bytes = 1;
    MUST(lies_inside(walk, tensor->name.data, tensor->name.size_bytes));
    MUST(tensor->offset <= walk->size_bytes &&
         tensor->size_bytes <= walk->size_bytes - tensor->offset);
    const uint8_t *data = walk->data + tensor->offset;
    MUST(tensor->dims >= 0 && tensor->dims <= GGUF_DIMS && (int)tensor->dtype >= 0 &&
         tensor->dtype < TN_DTYPE_COUNT);
    for (int d = 0; d < GGUF_DIMS; d++)
        MUST(tensor->shape[d] >= 1);
    MUST(tn_row_bytes(tensor->dtype, tensor->shape[0], &bytes));
    MUST(tensor->size_bytes % bytes == 0);
    if (walk->ends_only) {
        touch(data, 1);
        touch(data + tensor->size_bytes - 1, 1);
    } else {
        touch(data, tensor->size_bytes);
    }
}

/* Opens the bytes and walks what opens; returns whether they were accepted. */
static bool try_open(const struct walk *walk)
{
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    enum hasten_status status = gguf_open_memory(walk->data, walk->size_bytes, &error, &file);
    if (status != HASTEN_OK) {
        MUST(!file && error.status == status);
        MUST(status == HASTEN_CORRUPT_INPUT || status == HASTEN_UNSUPPORTED ||
             status == HASTEN_LIMIT);
        MUST(error.message[0] && error.hint[0] && error.place[0]);
        return false;
    }
    MUST(file->arena.used_bytes <= 8 * walk->size_bytes + 4096);
    MUST(file->size_bytes == walk->size_bytes && file->part_count == 1);
    for (int64_t i = 0; i < file->entry_count; i++)
        walk_entry(walk, file, i);
    for (int64_t i = 0; i < file->tensor_count; i++)
        walk_tensor(walk, file, i);
    gguf_close(&file);
    return true;
}

/* ---- The generated files ---- */

/* Keys of every type, `texts` strings in an array, tensors of several types. */
static void build(struct gb *gb, int texts)
{
    char name[32];
    gb_text(gb, "general.architecture", "llama");
    gb_scalar(gb, "general.alignment", GGUF_U32, 32, 4);
    gb_scalar(gb, "split.no", GGUF_U16, 0, 2);
    gb_scalar(gb, "split.count", GGUF_U16, 1, 2);
    gb_scalar(gb, "split.tensors.count", GGUF_I32, 18, 4);
    for (int type = GGUF_U8; type < GGUF_TYPE_COUNT; type++) {
        static const int bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        (void)snprintf(name, sizeof(name), "type.%d", type);
        if (bytes[type])
            gb_scalar(gb, name, (enum gguf_type)type, 1, bytes[type]);
        (void)snprintf(name, sizeof(name), "types.%d", type);
        if (bytes[type]) {
            gb_array(gb, name, (enum gguf_type)type, 5);
            for (int i = 0; i < 5; i++)
                gb_number(&gb->keys, (uint64_t)(i & 1), bytes[type]);
        }
    }
    gb_array(gb, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)texts);
    for (int i = 0; i < texts; i++) {
        (void)snprintf(name, sizeof(name), "token%d", i);
        gb_string(&gb->keys, name);
    }
    for (int i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof(name), "blk.%d.a.weight", i);
        gb_tensor(gb, name, 0, 16, 4, 256); /* f32 */
        (void)snprintf(name, sizeof(name), "blk.%d.b.weight", i);
        gb_tensor(gb, name, 3, 64, 3, 120); /* q4_1 */
        (void)snprintf(name, sizeof(name), "blk.%d.c.weight", i);
        gb_tensor(gb, name, 14, 256, 2, 420); /* q6_k */
    }
    gb_finish(gb);
}

/* ---- A block whose end is the end of what may be read ---- */

static uint8_t *block; /* ROOM_BYTES bytes, then a forbidden page */

static void block_make(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *mapped =
        mmap(NULL, ROOM_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_INT(mprotect(mapped + ROOM_BYTES, page, PROT_NONE), 0);
    block = mapped;
}

static void block_free(void)
{
    CHECK_INT(munmap(block, ROOM_BYTES + (size_t)sysconf(_SC_PAGESIZE)), 0);
}

/* Copies the bytes to the end of the block. Alignment does not matter to the reader. */
static struct walk at_the_end(const void *data, size_t size_bytes, uint64_t number)
{
    uint8_t *copy = block + ROOM_BYTES - size_bytes;
    memcpy(copy, data, size_bytes);
    return (struct walk){.data = copy, .size_bytes = size_bytes, .number = number};
}

/* ---- Mutations ---- */

struct dice {
    uint64_t seed, number, count;
};

static uint64_t roll(struct dice *dice, uint64_t below)
{
    uint64_t value = hs_rng_u64(dice->seed, dice->number, dice->count++);
    return below ? value % below : 0;
}

/* A place: mostly in the tables, where structure is. */
static size_t place(struct dice *dice, size_t tables_bytes, size_t size_bytes)
{
    size_t within = roll(dice, 8) ? tables_bytes : size_bytes;
    if (roll(dice, 4) == 0) /* the header and the first keys */
        within = within < 256 ? within : 256;
    return (size_t)roll(dice, within);
}

static uint64_t interesting(struct dice *dice, int bytes)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      7,
                                      8,
                                      13,
                                      14,
                                      25,
                                      31,
                                      32,
                                      64,
                                      127,
                                      128,
                                      255,
                                      256,
                                      32767,
                                      32768,
                                      65535,
                                      65536,
                                      1u << 20,
                                      (1u << 20) + 1,
                                      1u << 24,
                                      INT32_MAX,
                                      (uint64_t)INT32_MAX + 1,
                                      UINT32_MAX,
                                      (uint64_t)UINT32_MAX + 1,
                                      (uint64_t)1 << 61,
                                      (uint64_t)1 << 62,
                                      INT64_MAX - 31,
                                      INT64_MAX,
                                      (uint64_t)INT64_MAX + 1,
                                      UINT64_MAX - 31,
                                      UINT64_MAX - 7,
                                      UINT64_MAX - 1,
                                      UINT64_MAX};
    uint64_t value = values[roll(dice, sizeof(values) / sizeof(values[0]))];
    if (roll(dice, 4) == 0)
        value -= roll(dice, 64);
    return bytes == 4 ? value & UINT32_MAX : value;
}

static void set_number(uint8_t *data, size_t size_bytes, size_t at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes && at + i < size_bytes; i++)
        data[at + i] = (uint8_t)(value >> (8 * i));
}

/* Overwrites, inserts or removes a stretch, with bytes from elsewhere in the file. Returns the new
 * size. */
static size_t move_bytes(struct dice *dice, uint8_t *data, size_t tables_bytes, size_t size_bytes)
{
    size_t to = place(dice, tables_bytes, size_bytes), from = place(dice, tables_bytes, size_bytes);
    size_t most = (to > from ? size_bytes - to : size_bytes - from);
    size_t length = (size_t)roll(dice, most < 512 ? most : 512);
    switch (roll(dice, 3)) {
    case 0:
        memmove(data + to, data + from, length);
        return size_bytes;
    case 1:
        memmove(data + to + length, data + to, size_bytes - to);
        memmove(data + to, data + from, length); /* after the move above: still some bytes of it */
        return size_bytes + length;
    default:
        memmove(data + to, data + to + length, size_bytes - to - length);
        return size_bytes - length;
    }
}

/* One change; returns the new size. `data` has room for more. */
static size_t mutate_once(struct dice *dice, uint8_t *data, size_t tables_bytes, size_t size_bytes)
{
    size_t at = place(dice, tables_bytes < size_bytes ? tables_bytes : size_bytes, size_bytes);
    switch (roll(dice, 8)) {
    case 0:
    case 1:
        data[at] ^= (uint8_t)(1u << roll(dice, 8));
        return size_bytes;
    case 2:
        data[at] = (uint8_t)roll(dice, 256);
        return size_bytes;
    case 3:
    case 4:
        set_number(data, size_bytes, at, interesting(dice, 4), 4);
        return size_bytes;
    case 5:
        set_number(data, size_bytes, at, interesting(dice, 8), 8);
        return size_bytes;
    case 6:
        return at + 1; /* cut */
    default:
        return move_bytes(dice, data, tables_bytes < size_bytes ? tables_bytes : size_bytes,
                          size_bytes);
    }
}

TEST(mutations_never_crash_and_what_opens_is_whole)
{
    struct gb gb = {0};
    struct dice dice = {.seed = test_seed(20260711)};
    build(&gb, 100);
    CHECK(gb.whole.size_bytes < 256 * 1024);
    size_t tables = gb.keys.size_bytes + gb.records.size_bytes + 24;
    uint8_t *scratch = hs_alloc(gb.whole.size_bytes + 8192);
    int accepted = 0;
    block_make();
    printf("seed %llu, %zu bytes\n", (unsigned long long)dice.seed, gb.whole.size_bytes);
    for (dice.number = 0; dice.number < MUTATIONS; dice.number++) {
        size_t size_bytes = gb.whole.size_bytes;
        dice.count = 0;
        memcpy(scratch, gb.whole.data, size_bytes);
        for (uint64_t n = 1 + roll(&dice, 4) * roll(&dice, 2); n > 0; n--)
            size_bytes = mutate_once(&dice, scratch, tables, size_bytes);
        struct walk walk = at_the_end(scratch, size_bytes, dice.number);
        accepted += try_open(&walk);
    }
    /* Both sides must have been seen, or the test looks at nothing. */
    CHECK(accepted > MUTATIONS / 100 && accepted < MUTATIONS * 9 / 10);
    block_free();
    hs_free(scratch);
    gb_free(&gb);
}

TEST(cut_at_every_byte_of_64_kib)
{
    struct gb gb = {0};
    build(&gb, 3600); /* the cuts go through all tables and into the data */
    size_t tables = gb.keys.size_bytes + gb.records.size_bytes + 24;
    printf("tables of %zu, file of %zu bytes\n", tables, gb.whole.size_bytes);
    CHECK(gb.whole.size_bytes > CUTS && tables > CUTS - 8192 && tables < CUTS);
    block_make();
    for (size_t size_bytes = 0; size_bytes <= CUTS; size_bytes++) {
        struct walk walk = at_the_end(gb.whole.data, size_bytes, size_bytes);
        if (try_open(&walk))
            TEST_FAIL("cut at %zu of %zu bytes is accepted", size_bytes, gb.whole.size_bytes);
    }
    struct walk walk = at_the_end(gb.whole.data, gb.whole.size_bytes, gb.whole.size_bytes);
    CHECK(try_open(&walk));
    block_free();
    gb_free(&gb);
}

/* ---- A real file ---- */

static size_t header_bytes(const uint8_t *data, size_t size_bytes)
{
    struct gguf_file *file = NULL;
    size_t bytes = size_bytes;
    CHECK_INT(gguf_open_memory(data, size_bytes, NULL, &file), HASTEN_OK);
    for (int64_t i = 0; i < file->tensor_count; i++)
        if (file->tensors[i].offset < bytes)
            bytes = (size_t)file->tensors[i].offset;
    gguf_close(&file);
    return bytes;
}

TEST(mutations_of_the_header_of_a_file_named_by_the_environment)
{
    const char *path = getenv("HASTEN_TEST_GGUF");
    struct dice dice = {.seed = test_seed(20260712)};
    struct stat info;
    int accepted = 0;
    if (!path)
        return;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(descriptor >= 0 && fstat(descriptor, &info) == 0);
    size_t size_bytes = (size_t)info.st_size;
    uint8_t *data =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0); /* own copy */
    CHECK(data != MAP_FAILED);
    size_t bytes = header_bytes(data, size_bytes);
    uint8_t *saved = hs_alloc(bytes);
    memcpy(saved, data, bytes);
    for (dice.number = 0; dice.number < HEADER_MUTATIONS; dice.number++) {
        struct walk walk = {.data = data, .number = dice.number, .ends_only = true};
        dice.count = 0;
        size_t left = mutate_once(&dice, data, bytes - 1024, bytes - 1024);
        walk.size_bytes = left < bytes - 1024 ? left : size_bytes;
        accepted += try_open(&walk);
        memcpy(data, saved, bytes);
    }
    CHECK(accepted > 0 && accepted < HEADER_MUTATIONS);
    hs_free(saved);
    CHECK_INT(munmap(data, size_bytes), 0);
    CHECK_INT(close(descriptor), 0);
}

TEST_MAIN()
