/* GGUF writer: what is written is read back equal; wrong use is refused; no file stays behind. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "harness/test.h"

#include "gguf_builder.h"

static char folder[64], path[96];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/hasten-gguf-XXXXXX");
    CHECK(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/x.gguf", folder);
}

static int files_in_folder(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    CHECK(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void drop_folder(void)
{
    (void)unlink(path);
    CHECK_INT(rmdir(folder), 0);
}

#define MUST(expr)                                                                                 \
    do {                                                                                           \
        struct hs_error error = {0};                                                               \
        if ((expr) != HASTEN_OK)                                                                   \
            TEST_FAIL("%s: %s", #expr, error.message);                                             \
    } while (0)

static struct gguf_writer *open_writer(void)
{
    struct gguf_writer *writer = NULL;
    MUST(gguf_writer_open(path, &error, &writer));
    return writer;
}

static void declare(struct gguf_writer *writer, const char *name, enum tn_dtype dtype,
                    int64_t columns, int64_t rows)
{
    int64_t shape[2] = {columns, rows};
    MUST(gguf_declare(writer, hs_str_of(name), dtype, 2, shape, &error));
}

static void put_metadata(struct gguf_writer *writer)
{
    struct hs_str texts[3] = {hs_str_of("one"), hs_str_of(""), hs_str_of("three")};
    MUST(gguf_put_text(writer, "general.architecture", hs_str_of("llama"), &error));
    MUST(gguf_put_u32(writer, "block_count", 30, &error));
    MUST(gguf_put_f32(writer, "eps", 1e-5f, &error));
    MUST(gguf_put_bool(writer, "tied", true, &error));
    MUST(gguf_put_texts(writer, "tokens", texts, 3, &error));
    MUST(gguf_put_texts(writer, "none", NULL, 0, &error));
}

static void check_metadata(const struct gguf_file *file)
{
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    struct hs_str text = {0};
    CHECK_INT(file->entry_count, 6);
    CHECK(gguf_get_text(file, "general.architecture", &text) && hs_str_is(text, "llama"));
    CHECK(gguf_get_u64(file, "block_count", &u) && u == 30);
    CHECK(gguf_get_f64(file, "eps", &f) && f == (double)1e-5f);
    CHECK(gguf_get_bool(file, "tied", &b) && b);
    const struct gguf_entry *tokens = gguf_find(file, "tokens");
    CHECK(tokens && tokens->count == 3 && hs_str_is(tokens->texts[2], "three"));
    CHECK(gguf_find(file, "none")->count == 0);
}

TEST(round_trip)
{
    uint8_t data[240];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    make_folder();
    struct gguf_writer *writer = open_writer();
    put_metadata(writer);
    declare(writer, "a", TN_Q4_1, 64, 3); /* 120 bytes */
    declare(writer, "b", TN_F32, 5, 1);   /* 20 */
    declare(writer, "c", TN_Q8_0, 32, 2); /* 68 */
    MUST(gguf_write_data(writer, data, 50, &error));
    MUST(gguf_write_data(writer, data + 50, 0, &error));
    MUST(gguf_write_data(writer, data + 50, 70, &error));
    MUST(gguf_write_data(writer, data + 120, 20, &error));
    MUST(gguf_write_data(writer, data + 140, 68, &error));
    MUST(gguf_writer_finish(&writer, &error));
    CHECK(!writer);
    CHECK_INT(files_in_folder(), 1);

    struct gguf_file *file = NULL;
    MUST(gguf_open(path, &error, &file));
    check_metadata(file);
    CHECK_INT(file->tensor_count, 3);
    CHECK_INT(file->tensors[0].shape[0], 64);
    CHECK_INT(file->tensors[0].shape[1], 3);
    CHECK(file->tensors[1].dtype == TN_F32 && file->tensors[2].dtype == TN_Q8_0);
    CHECK(gb_data_is(file, &file->tensors[0], data, 120));
    CHECK(gb_data_is(file, &file->tensors[1], data + 120, 20));
    CHECK(gb_data_is(file, &file->tensors[2], data + 140, 68));
    for (int i = 0; i < 3; i++)
        CHECK_INT(file->tensors[i].offset % 32, 0);
    CHECK_INT(file->size_bytes % 32, 0); /* the last tensor is padded too */
    gguf_close(&file);
    drop_folder();
}

/* Copies all of a builder's file, entry by entry, and compares the tables. */
static void copy_and_compare(struct gb *gb)
{
    struct gguf_file *from = NULL, *to = NULL;
    gb_finish(gb);
    MUST(gguf_open_memory(gb->whole.data, gb->whole.size_bytes, &error, &from));
    struct gguf_writer *writer = open_writer();
    for (int64_t i = 0; i < from->entry_count; i++)
        MUST(gguf_put_entry(writer, &from->entries[i], &error));
    for (int64_t i = 0; i < from->tensor_count; i++)
        MUST(gguf_declare(writer, from->tensors[i].name, from->tensors[i].dtype,
                          from->tensors[i].dims, from->tensors[i].shape, &error));
    for (int64_t i = 0; i < from->tensor_count; i++) {
        uint8_t *data = gb_data(from, &from->tensors[i]);
        MUST(gguf_write_data(writer, data, from->tensors[i].size_bytes, &error));
        hs_free(data);
    }
    MUST(gguf_writer_finish(&writer, &error));
    MUST(gguf_open(path, &error, &to));
    CHECK_INT(to->entry_count, from->entry_count);
    CHECK_INT(to->tensor_count, from->tensor_count);
    CHECK_INT(to->alignment, from->alignment);
    for (int64_t i = 0; i < to->entry_count; i++) {
        const struct gguf_entry *a = &from->entries[i], *b = &to->entries[i];
        CHECK(hs_str_equal(a->key, b->key) && a->type == b->type && a->element == b->element &&
              a->count == b->count && a->data_bytes == b->data_bytes);
        CHECK(memcmp(a->data, b->data, a->data_bytes) == 0);
    }
    for (int64_t i = 0; i < to->tensor_count; i++) {
        CHECK(hs_str_equal(from->tensors[i].name, to->tensors[i].name));
        uint8_t *data = gb_data(from, &from->tensors[i]);
        CHECK(gb_data_is(to, &to->tensors[i], data, to->tensors[i].size_bytes));
        hs_free(data);
    }
    gguf_close(&from);
    gguf_close(&to);
    gb_free(gb);
}

TEST(entries_are_copied_unchanged)
{
    struct gb gb = {0};
    make_folder();
    gb_scalar(&gb, "i64", GGUF_I64, UINT64_MAX, 8);
    gb_scalar(&gb, "f64", GGUF_F64, 0x7ff8000000000001u, 8);
    gb_text(&gb, "text", "x");
    gb_array(&gb, "numbers", GGUF_I16, 3);
    gb_number(&gb.keys, 0x123456789abcu, 6);
    gb_array(&gb, "texts", GGUF_STRING, 2);
    gb_string(&gb.keys, "a");
    gb_string(&gb.keys, "bc");
    gb_tensor(&gb, "w", 1, 7, 3, 42);
    gb_tensor(&gb, "v", 0, 3, 1, 12);
    copy_and_compare(&gb);
    drop_folder();
}

TEST(alignment_of_the_source_is_kept)
{
    struct gb gb = {.alignment = 256};
    make_folder();
    gb_scalar(&gb, "general.alignment", GGUF_U32, 256, 4);
    gb_tensor(&gb, "w", 0, 3, 1, 12);
    gb_tensor(&gb, "v", 0, 3, 1, 12);
    copy_and_compare(&gb);
    drop_folder();
}

TEST(a_file_without_tensors)
{
    make_folder();
    struct gguf_writer *writer = open_writer();
    MUST(gguf_writer_finish(&writer, &error));
    struct gguf_file *file = NULL;
    MUST(gguf_open(path, &error, &file));
    CHECK_INT(file->tensor_count, 0);
    gguf_close(&file);
    drop_folder();
}

TEST(wrong_names_and_shapes_are_refused)
{
    int64_t shape[2] = {33, 1};
    make_folder();
    struct gguf_writer *writer = open_writer();
    MUST(gguf_put_u32(writer, "key", 1, &error));
    CHECK_INT(gguf_put_bool(writer, "key", true, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_put_u32(writer, "", 1, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_put_u32(writer, "line\nbreak", 1, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_put_u32(writer, "general.alignment", 24, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_declare(writer, hs_str_of("w"), TN_Q4_0, 2, shape, NULL),
              HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_declare(writer, hs_str_of("w"), TN_A8, 2, shape, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_declare(writer, hs_str_of("w"), TN_F32, 5, shape, NULL),
              HASTEN_INVALID_ARGUMENT);
    declare(writer, "w", TN_F32, 4, 1);
    CHECK_INT(gguf_declare(writer, hs_str_of("w"), TN_F32, 2, shape, NULL),
              HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_put_u32(writer, "general.alignment", 64, NULL), HASTEN_INVALID_ARGUMENT);
    gguf_writer_abort(&writer);
    CHECK(!writer);
    CHECK_INT(files_in_folder(), 0);
    drop_folder();
}

TEST(wrong_order_and_sizes_are_refused)
{
    uint8_t data[64] = {0};
    make_folder();
    struct gguf_writer *writer = open_writer();
    declare(writer, "w", TN_F32, 4, 1);
    CHECK_INT(gguf_write_data(writer, data, 17, NULL), HASTEN_INVALID_ARGUMENT);
    MUST(gguf_write_data(writer, data, 8, &error));
    CHECK_INT(gguf_put_u32(writer, "late", 1, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(gguf_writer_finish(&writer, NULL), HASTEN_INVALID_ARGUMENT);
    CHECK(!writer);
    CHECK_INT(files_in_folder(), 0);

    writer = open_writer();
    CHECK_INT(gguf_write_data(writer, data, 1, NULL), HASTEN_INVALID_ARGUMENT);
    gguf_writer_abort(&writer);
    gguf_writer_abort(&writer);
    CHECK_INT(files_in_folder(), 0);
    drop_folder();
}

TEST(a_folder_that_is_not_there)
{
    struct gguf_writer *writer = NULL;
    CHECK(gguf_writer_open("/nowhere/at/all/x.gguf", NULL, &writer) != HASTEN_OK);
    CHECK(!writer);
}

static enum hasten_status write_small(void)
{
    uint8_t data[16] = {0};
    int64_t shape[1] = {4};
    struct gguf_writer *writer = NULL;
    HS_TRY(gguf_writer_open(path, NULL, &writer));
    enum hasten_status status = gguf_put_text(writer, "key", hs_str_of("text"), NULL);
    if (status == HASTEN_OK)
        status = gguf_declare(writer, hs_str_of("w"), TN_F32, 1, shape, NULL);
    if (status == HASTEN_OK)
        status = gguf_write_data(writer, data, sizeof(data), NULL);
    if (status == HASTEN_OK)
        return gguf_writer_finish(&writer, NULL);
    gguf_writer_abort(&writer);
    return status;
}

TEST(every_allocation_may_fail)
{
    make_folder();
    uint64_t n = 1;
    for (;; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = write_small();
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK)
            break;
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK_INT(files_in_folder(), 0);
    }
    CHECK(n > 5);
    drop_folder();
}

TEST_MAIN()
