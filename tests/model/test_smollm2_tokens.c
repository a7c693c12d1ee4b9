/*
 * Token ids equal llama.cpp's on the committed text and on 2,000 random strings (the golden's head,
 * in tests/golden/make_tokens.c, says how they were made), and every string comes back from its
 * ids. HASTEN_TOKENS_GOLDEN names a larger golden for an offline run.
 */
#include "base/file.h"
#include "harness/test.h"
#include "model_test.h"

/* SmolLM2 has no token for these bytes, and llama.cpp drops them without a word. */
static bool has_unknown_byte(struct hs_str text)
{
    static const uint8_t unknown[] = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1d};
    for (size_t i = 0; i < text.size_bytes; i++)
        if (memchr(unknown, text.data[i], sizeof unknown))
            return true;
    return false;
}

static void check_record(const struct tx_tokenizer *tokenizer, struct hs_cursor *cursor,
                         uint32_t record)
{
    struct hs_error error = {0};
    struct tx_ids ids = {0};
    struct hs_buffer back = {0};
    uint32_t length = hs_cursor_u32(cursor);
    struct hs_str text = {(const char *)hs_cursor_take(cursor, length), length};
    CHECK(text.data != NULL);
    struct tx_encode_options options = {.add_special = false, .parse_special = false};
    mt_must(tx_encode(tokenizer, text, options, &error, &ids), &error);
    uint32_t count = hs_cursor_u32(cursor);
    if ((uint32_t)ids.count != count)
        TEST_FAIL("record %u: %d ids, expected %u for \"%.*s\"", record, (int)ids.count, count,
                  HS_STR(text));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t expected = hs_cursor_u32(cursor);
        if ((uint32_t)ids.ids[i] != expected)
            TEST_FAIL("record %u, id %u: %d, expected %u", record, i, (int)ids.ids[i], expected);
    }
    tx_decode(tokenizer, ids.ids, ids.count, true, &back);
    if (!has_unknown_byte(text))
        CHECK(back.size_bytes == length && memcmp(back.data ? back.data : "", text.data, length) == 0);
    tx_ids_free(&ids);
    hs_buffer_free(&back);
}

TEST(token_ids_equal_llama_cpp)
{
    char *path = mt_model_path("smollm2-135m"), *data = NULL;
    struct hs_error error = {0};
    struct hs_buffer name = {0};
    size_t size = 0;
    struct en_options options = en_options_default();
    options.without_plan = true;
    struct en_model *model = mt_open(path, &options);
    const char *other = getenv("HASTEN_TOKENS_GOLDEN");
    hs_buffer_printf(&name, "%s/golden/smollm2-tokens.golden", test_data_dir());
    mt_must(hs_file_read(other ? other : name.data, (size_t)1 << 30, &error, &data, &size), &error);
    struct hs_cursor cursor = hs_cursor_over(data, size);
    const uint8_t *magic = hs_cursor_take(&cursor, 4);
    CHECK(magic && memcmp(magic, "HTOK", 4) == 0);
    CHECK_INT(hs_cursor_u32(&cursor), 1);
    CHECK_INT(hs_cursor_u32(&cursor), en_facts(model)->vocab);
    uint32_t records = hs_cursor_u32(&cursor);
    CHECK(records >= 2001);
    for (uint32_t r = 0; r < records; r++)
        check_record(en_tokenizer(model), &cursor, r);
    CHECK(!cursor.failed && hs_cursor_left(&cursor) == 0);
    printf("     %u strings\n", records);
    hs_free(data);
    hs_free(path);
    hs_buffer_free(&name);
    en_close(&model);
}

TEST_MAIN()
