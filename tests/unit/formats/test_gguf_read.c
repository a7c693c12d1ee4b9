/* GGUF reader: a good file in every field, then every way in which a file can be wrong. */
#include "formats/gguf.h"
#include "harness/test.h"

#include "gguf_builder.h"

static bool mentions(const struct hs_error *error, const char *text)
{
    return strstr(error->message, text) || strstr(error->hint, text) || strstr(error->place, text);
}

#define CHECK_FAILS(gb, expected_status, text)                                                     \
    do {                                                                                           \
        struct hs_error error_ = {0};                                                              \
        enum hasten_status status_ = gb_status((gb), &error_);                                     \
        if (status_ != (expected_status) || error_.status != status_ ||                            \
            !mentions(&error_, (text)))                                                            \
            TEST_FAIL("status %s, message \"%s\", hint \"%s\", place \"%s\", expected %s with "    \
                      "\"%s\"",                                                                    \
                      hs_status_name(status_), error_.message, error_.hint, error_.place,          \
                      hs_status_name(expected_status), (text));                                    \
    } while (0)

static uint64_t f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static uint64_t f64_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

/* One key of every type, three tensors. */
static void build_good(struct gb *gb)
{
    gb_text(gb, "general.architecture", "llama");
    gb_scalar(gb, "u8", GGUF_U8, 200, 1);
    gb_scalar(gb, "i8", GGUF_I8, (uint8_t)-5, 1);
    gb_scalar(gb, "u16", GGUF_U16, 60000, 2);
    gb_scalar(gb, "i16", GGUF_I16, (uint16_t)-300, 2);
    gb_scalar(gb, "u32", GGUF_U32, 4000000000u, 4);
    gb_scalar(gb, "i32", GGUF_I32, (uint32_t)-70000, 4);
    gb_scalar(gb, "u64", GGUF_U64, UINT64_MAX, 8);
    gb_scalar(gb, "i64", GGUF_I64, (uint64_t)INT64_MIN, 8);
    gb_scalar(gb, "f32", GGUF_F32, f32_bits(1.5f), 4);
    gb_scalar(gb, "f64", GGUF_F64, f64_bits(-4.0), 8);
    gb_scalar(gb, "yes", GGUF_BOOL, 1, 1);
    gb_text(gb, "empty", "");
    gb_array(gb, "tokens", GGUF_STRING, 3);
    gb_string(&gb->keys, "a");
    gb_string(&gb->keys, "");
    gb_string(&gb->keys, "long token");
    gb_array(gb, "scores", GGUF_F32, 2);
    gb_number(&gb->keys, f32_bits(0.25f), 4);
    gb_number(&gb->keys, f32_bits(-7.0f), 4);
    gb_array(gb, "nothing", GGUF_U16, 0);
    gb_array(gb, "pattern", GGUF_BOOL, 2);
    gb_number(&gb->keys, 0x0100, 2);
    gb_tensor(gb, "token_embd.weight", 3, 64, 3, 2 * 3 * 20); /* q4_1 */
    gb_tensor(gb, "norm.weight", 0, 5, 1, 20);                /* f32 */
    gb_tensor(gb, "out.weight", 14, 256, 2, 420);             /* q6_k */
}

TEST(reads_every_value_type)
{
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    build_good(&gb);
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, &error, &file), HASTEN_OK);
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    struct hs_str text = {0};
    CHECK_INT(file->version, 3);
    CHECK_INT(file->alignment, 32);
    CHECK_INT(file->entry_count, 17);
    CHECK(gguf_get_text(file, "general.architecture", &text) && hs_str_is(text, "llama"));
    CHECK(gguf_get_text(file, "empty", &text) && text.size_bytes == 0);
    CHECK(gguf_get_u64(file, "u8", &u) && u == 200);
    CHECK(gguf_get_u64(file, "u16", &u) && u == 60000);
    CHECK(gguf_get_u64(file, "u32", &u) && u == 4000000000u);
    CHECK(gguf_get_u64(file, "u64", &u) && u == UINT64_MAX);
    CHECK(gguf_get_f64(file, "i8", &f) && f == -5);
    CHECK(gguf_get_f64(file, "i16", &f) && f == -300);
    CHECK(gguf_get_f64(file, "i32", &f) && f == -70000);
    CHECK(gguf_get_f64(file, "f32", &f) && f == 1.5);
    CHECK(gguf_get_f64(file, "f64", &f) && f == -4);
    CHECK(gguf_get_bool(file, "yes", &b) && b);
    gguf_close(&file);
    CHECK(!file);
    gb_free(&gb);
}

TEST(refuses_values_that_do_not_fit)
{
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    build_good(&gb);
    gb_scalar(&gb, "whole", GGUF_F32, f32_bits(4096.0f), 4);
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    uint64_t u = 77;
    double f = 77;
    bool b = false;
    struct hs_str text = {"x", 1};
    CHECK(!gguf_get_u64(file, "i8", &u));      /* negative */
    CHECK(!gguf_get_u64(file, "f32", &u));     /* fraction */
    CHECK(!gguf_get_u64(file, "f64", &u));     /* negative */
    CHECK(!gguf_get_u64(file, "yes", &u));     /* bool */
    CHECK(!gguf_get_u64(file, "tokens", &u));  /* array */
    CHECK(!gguf_get_u64(file, "missing", &u)); /* absent */
    CHECK(!gguf_get_f64(file, "u64", &f));     /* not exact */
    CHECK(!gguf_get_f64(file, "i64", &f));
    CHECK(!gguf_get_bool(file, "u8", &b));
    CHECK(!gguf_get_text(file, "tokens", &text));
    CHECK(u == 77 && f == 77 && !b && text.size_bytes == 1);
    CHECK(gguf_get_u64(file, "whole", &u) && u == 4096);
    gguf_close(&file);
    gb_free(&gb);
}

TEST(reads_arrays)
{
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    build_good(&gb);
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    const struct gguf_entry *tokens = gguf_find(file, "tokens");
    CHECK(tokens && tokens->type == GGUF_ARRAY && tokens->element == GGUF_STRING);
    CHECK_INT(tokens->count, 3);
    CHECK(hs_str_is(tokens->texts[0], "a") && hs_str_is(tokens->texts[1], "") &&
          hs_str_is(tokens->texts[2], "long token"));
    CHECK_INT(tokens->data_bytes, 8 + 1 + 8 + 8 + 10);
    const struct gguf_entry *scores = gguf_find(file, "scores");
    double f = 0;
    int64_t i = 0;
    CHECK(gguf_array_f64(scores, 1, &f) && f == -7);
    CHECK(gguf_array_i64(scores, 1, &i) && i == -7);
    CHECK(!gguf_array_i64(scores, 0, &i)); /* 0.25 */
    CHECK(!gguf_array_f64(scores, 2, &f));
    CHECK(!gguf_array_f64(tokens, 0, &f));
    CHECK(!gguf_array_f64(gguf_find(file, "u8"), 0, &f));
    CHECK(!gguf_array_f64(gguf_find(file, "nothing"), 0, &f));
    CHECK(gguf_array_i64(gguf_find(file, "pattern"), 1, &i) && i == 1);
    gguf_close(&file);
    gb_free(&gb);
}

TEST(reads_tensors)
{
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    build_good(&gb);
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    const struct gguf_tensor *tensor = gguf_find_tensor(file, "out.weight");
    CHECK(tensor == &file->tensors[2] && tensor->dtype == TN_Q6_K);
    CHECK(tensor->dims == 2 && tensor->shape[0] == 256 && tensor->shape[1] == 2);
    CHECK(tensor->shape[2] == 1 && tensor->shape[3] == 1);
    CHECK_INT(tensor->size_bytes, 420);
    CHECK_INT(gb_byte(file, 2, 0), 3);
    CHECK_INT(gb_byte(file, 2, 100), 103);
    CHECK_INT(gb_byte(file, 2, 420), -1);
    CHECK(!gguf_find_tensor(file, "out.weigh"));
    CHECK(!gguf_find_tensor(file, "u8"));
    gguf_close(&file);
    gb_free(&gb);
}

TEST(reads_version_2_and_scalars_and_other_alignment)
{
    struct gb gb = {.version = 2, .alignment = 4096};
    struct gguf_file *file = NULL;
    gb_scalar(&gb, "general.alignment", GGUF_U32, 4096, 4);
    gb_tensor(&gb, "a", 0, 1, 1, 4);
    gb_tensor(&gb, "b", 0, 1, 1, 4);
    gb_pad(&gb, &gb.data);
    gb_record(&gb, "scalar", 0, NULL, 0, gb.data.size_bytes);
    gb_number(&gb.data, f32_bits(3.0f), 4);
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    CHECK_INT(file->alignment, 4096);
    CHECK_INT(file->tensors[1].offset - file->tensors[0].offset, 4096);
    CHECK(file->tensors[2].dims == 0 && file->tensors[2].shape[0] == 1);
    CHECK_INT(file->tensors[2].size_bytes, 4);
    gguf_close(&file);
    gb_free(&gb);
}

TEST(reads_an_empty_file_without_keys_and_tensors)
{
    struct gb gb = {0};
    CHECK_INT(gb_status(&gb, NULL), HASTEN_OK);
}

TEST(data_need_not_come_in_the_order_of_the_records)
{
    struct gb gb = {0};
    uint64_t shape[1] = {8};
    gb_record(&gb, "second", 1, shape, 0, 32);
    gb_record(&gb, "first", 1, shape, 0, 0);
    for (int i = 0; i < 64; i++)
        gb_number(&gb.data, 0, 1);
    CHECK_INT(gb_status(&gb, NULL), HASTEN_OK);
}

/* Every prefix of a good file is refused, with any content of the missing rest unread. */
TEST(truncation_at_every_byte)
{
    struct gb gb = {0};
    build_good(&gb);
    gb_finish(&gb);
    for (size_t cut = 0; cut < gb.whole.size_bytes; cut++) {
        struct gguf_file *file = NULL;
        struct hs_error error = {0};
        char *exact = hs_alloc(cut);
        memcpy(exact, gb.whole.data, cut);
        enum hasten_status status = gguf_open_memory(exact, cut, &error, &file);
        hs_free(exact);
        if (status != HASTEN_CORRUPT_INPUT || file)
            TEST_FAIL("cut at %zu: %s", cut, hs_status_name(status));
        if (!strstr(error.hint, "download it again"))
            TEST_FAIL("cut at %zu: hint is \"%s\"", cut, error.hint);
    }
    gb_free(&gb);
}

TEST(truncated_data_says_how_much_is_missing)
{
    struct gb gb = {0};
    gb_tensor(&gb, "w", 0, 100, 1, 300);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "100 bytes are missing");
}

/* Flipping any one byte never crashes, and what opens is still consistent (sanitizers look). */
TEST(every_byte_changed)
{
    struct gb gb = {0};
    build_good(&gb);
    gb_finish(&gb);
    static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x20};
    for (size_t at = 0; at < gb.whole.size_bytes; at++) {
        for (size_t c = 0; c < sizeof(changes); c++) {
            struct gguf_file *file = NULL;
            gb.whole.data[at] = (char)(gb.whole.data[at] ^ changes[c]);
            enum hasten_status status =
                gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file);
            if (status == HASTEN_OK)
                for (int64_t i = 0; i < file->tensor_count; i++)
                    CHECK(file->tensors[i].offset + file->tensors[i].size_bytes <=
                          gb.whole.size_bytes);
            if (file)
                gguf_close(&file);
            gb.whole.data[at] = (char)(gb.whole.data[at] ^ changes[c]);
        }
    }
    gb_free(&gb);
}

TEST(says_what_a_foreign_file_is)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } cases[] = {
        {"PK\3\4........", 12, "zip"},
        {"\x10\0\0\0\0\0\0\0{\"a\": 1}          ", 26, "safetensors"},
        {"<!DOCTYPE html>", 15, "HTML"},
        {"<html><body>", 12, "HTML"},
        {"version https://git-lfs.github.com/spec/v1", 42, "LFS"},
        {"\x1f\x8b\x08\0\0\0\0\0", 8, "gzip"},
        {"tjgg\1\0\0\0", 8, "GGJT"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "zeros"},
        {"random bytes", 12, "does not begin"},
        {"", 0, "empty"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gguf_file *file = NULL;
        struct hs_error error = {0};
        CHECK_INT(gguf_open_memory(cases[i].bytes, cases[i].size, &error, &file),
                  HASTEN_CORRUPT_INPUT);
        if (!mentions(&error, cases[i].text))
            TEST_FAIL("\"%s\" does not name %s", error.message, cases[i].text);
    }
}

TEST(versions)
{
    struct gb gb = {.version = 1};
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "version 1");
    gb.version = 4;
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "newer release");
    gb.version = 0x03000000;
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "big-endian");
}

TEST(counts_beyond_the_file)
{
    struct gb gb = {.key_count = UINT64_MAX};
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "keys");
    gb.record_count = UINT64_MAX / 25 + 1;
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "tensors");
    gb.key_count = 1; /* promised, but nothing follows */
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "download it again");
}

TEST(wrong_keys)
{
    struct gb gb = {0};
    gb_scalar(&gb, "", GGUF_U8, 1, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "name of 0 bytes");
    gb_scalar(&gb, "tab\there", GGUF_U8, 1, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "control characters");
    gb_scalar(&gb, "type", (enum gguf_type)13, 1, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "value type 13");
    gb_scalar(&gb, "flag", GGUF_BOOL, 2, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "bool has value 2");
    gb_scalar(&gb, "twice", GGUF_U8, 1, 1);
    gb_scalar(&gb, "other", GGUF_U8, 1, 1);
    gb_scalar(&gb, "twice", GGUF_U8, 1, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "twice");
    gb_key(&gb, "text", GGUF_STRING);
    gb_number(&gb.keys, UINT64_MAX, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "missing");
    char *name = hs_calloc(1, 65537);
    memset(name, 'k', 65536);
    gb_scalar(&gb, name, GGUF_U8, 1, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "name of 65536 bytes");
    name[65535] = 0;
    gb_scalar(&gb, name, GGUF_U8, 1, 1);
    CHECK_INT(gb_status(&gb, NULL), HASTEN_OK);
    hs_free(name);
}

TEST(wrong_arrays)
{
    struct gb gb = {0};
    gb_array(&gb, "nested", GGUF_ARRAY, 1);
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "arrays of arrays");
    gb_array(&gb, "element", (enum gguf_type)99, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "value type 99");
    gb_array(&gb, "numbers", GGUF_F64, UINT64_MAX / 8 + 2);
    gb_number(&gb.keys, 0, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "f64 values");
    gb_array(&gb, "texts", GGUF_STRING, UINT64_MAX);
    gb_number(&gb.keys, 0, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "strings");
    gb_array(&gb, "texts", GGUF_STRING, 2);
    gb_string(&gb.keys, "x");
    gb_number(&gb.keys, 1000, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "missing");
    gb_array(&gb, "bools", GGUF_BOOL, 2);
    gb_number(&gb.keys, 0x0300, 2);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "bool has value 3");
}

TEST(wrong_alignment)
{
    static const uint64_t wrong[] = {0, 1, 4, 24, 33, 131072, 0xffffffff};
    struct gb gb = {0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        gb_scalar(&gb, "general.alignment", GGUF_U32, wrong[i], 4);
        CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "power of two");
    }
    gb_text(&gb, "general.alignment", "32");
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "no whole number");
}

TEST(wrong_shapes)
{
    uint64_t shape[8] = {32, 2, 2, 2, 2, 2, 2, 2};
    struct gb gb = {0};
    gb_record(&gb, "w", 5, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "5 dimensions");
    shape[1] = 0;
    gb_record(&gb, "w", 2, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "dimension 1 is 0");
    shape[1] = (uint64_t)INT64_MAX + 1;
    gb_record(&gb, "w", 2, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "dimension 1");
    shape[1] = (uint64_t)1 << 62;
    gb_record(&gb, "w", 3, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "too large");
    shape[0] = (uint64_t)1 << 33, shape[1] = (uint64_t)1 << 33;
    gb_record(&gb, "w", 2, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "too large");
    shape[0] = (uint64_t)1 << 62; /* elements fit, bytes do not */
    gb_record(&gb, "w", 1, shape, 0, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "too large");
    shape[0] = 48;
    gb_record(&gb, "w", 1, shape, 3, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "whole blocks of 32");
    shape[0] = 128;
    gb_record(&gb, "w", 1, shape, 14, 0);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "whole blocks of 256");
}

TEST(unknown_tensor_types)
{
    uint64_t shape[1] = {256};
    struct gb gb = {0};
    gb_record(&gb, "blk.0.w", 1, shape, 16, 0);
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "tensor 'blk.0.w' has type 16 (IQ2_XXS)");
    gb_record(&gb, "blk.0.w", 1, shape, 7777, 0);
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "tensor 'blk.0.w' has type 7777,");
    gb_record(&gb, "blk.0.w", 1, shape, UINT32_MAX, 0); /* -1 marks types never in files */
    CHECK_FAILS(&gb, HASTEN_UNSUPPORTED, "type 4294967295");
}

TEST(wrong_tensor_data)
{
    uint64_t shape[1] = {8};
    struct gb gb = {0};
    gb_record(&gb, "w", 1, shape, 0, 16);
    gb_number(&gb.data, 0, 8);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "multiple of the alignment");
    gb_record(&gb, "w", 1, shape, 0, UINT64_MAX - 31);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "too large");
    gb_record(&gb, "w", 1, shape, 0, 1024);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "missing");
    shape[0] = 16;
    gb_record(&gb, "first", 1, shape, 0, 0);
    gb_record(&gb, "second", 1, shape, 0, 32);
    for (int i = 0; i < 128; i++)
        gb_number(&gb.data, 0, 1);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "overlaps that of tensor 'first'");
    gb_tensor(&gb, "same", 0, 8, 1, 32);
    gb_tensor(&gb, "same", 0, 8, 1, 32);
    CHECK_FAILS(&gb, HASTEN_CORRUPT_INPUT, "'same'");
}

TEST(large_vocabulary_is_views_only)
{
    enum { COUNT = 262144 };
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    char text[16];
    gb_array(&gb, "tokens", GGUF_STRING, COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "token%d", i);
        gb_string(&gb.keys, text);
    }
    gb_finish(&gb);
    uint64_t before = hs_alloc_count();
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    CHECK(hs_alloc_count() - before < 40);
    CHECK(file->arena.used_bytes < 2 * gb.whole.size_bytes);
    const struct gguf_entry *entry = gguf_find(file, "tokens");
    CHECK(hs_str_is(entry->texts[COUNT - 1], "token262143"));
    CHECK(entry->texts[0].data > gb.whole.data);
    gguf_close(&file);
    gb_free(&gb);
}

TEST(many_names_are_found)
{
    struct gb gb = {0};
    struct gguf_file *file = NULL;
    char name[32];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof(name), "blk.%d.weight", i);
        gb_scalar(&gb, name, GGUF_U32, (uint64_t)i, 4);
        gb_tensor(&gb, name, 0, 1, 1, 4);
    }
    gb_finish(&gb);
    CHECK_INT(gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file), HASTEN_OK);
    for (int i = 0; i < 5000; i++) {
        uint64_t value;
        (void)snprintf(name, sizeof(name), "blk.%d.weight", i);
        CHECK(gguf_get_u64(file, name, &value) && value == (uint64_t)i);
        CHECK(gguf_find_tensor(file, name) == &file->tensors[i]);
    }
    CHECK(!gguf_find(file, "blk.5000.weight"));
    gguf_close(&file);
    gb_free(&gb);
}

TEST(every_allocation_may_fail)
{
    struct gb gb = {0};
    build_good(&gb);
    gb_finish(&gb);
    for (uint64_t n = 1;; n++) {
        struct gguf_file *file = NULL;
        hs_alloc_fail_at(n, true);
        enum hasten_status status =
            gguf_open_memory(gb.whole.data, gb.whole.size_bytes, NULL, &file);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK) {
            CHECK(n > 3);
            gguf_close(&file);
            break;
        }
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK(!file);
    }
    gb_free(&gb);
}

TEST(open_names_the_file)
{
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    CHECK_INT(gguf_open("/nowhere/x.gguf", &error, &file), HASTEN_NOT_FOUND);
    CHECK(mentions(&error, "/nowhere/x.gguf"));
}

/* Tables of a file written by another program; see the room's README. */
TEST(file_named_by_the_environment_opens)
{
    const char *path = getenv("HASTEN_TEST_GGUF");
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    if (!path)
        return;
    if (gguf_open(path, &error, &file) != HASTEN_OK)
        TEST_FAIL("%s: %s (%s)", path, error.message, error.place);
    CHECK(file->tensor_count > 0);
    gguf_close(&file);
}

TEST_MAIN()
