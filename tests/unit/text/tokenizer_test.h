/* What the tests of both kinds of tokenizer share: opening, random texts, round trips. */
#ifndef HASTEN_TESTS_TOKENIZER_TEST_H
#define HASTEN_TESTS_TOKENIZER_TEST_H

#include "base/memory.h"
#include "harness/test.h"
#include "text/tokenizer.h"

static const struct tx_encode_options plain = {false, false};
static const struct tx_encode_options special = {false, true};

static struct tx_tokenizer *open_vocab(const struct tx_vocab *vocab)
{
    struct tx_tokenizer *tokenizer = NULL;
    struct hs_error error;
    if (tx_tokenizer_open(vocab, &error, &tokenizer) != HASTEN_OK)
        TEST_FAIL("open: %s", error.message);
    return tokenizer;
}

/* Up to 63 bytes of `pieces`, or any bytes at all in every fourth round; returns how many. */
static size_t random_text(uint64_t *state, int round, const char *pieces, char text[64])
{
    size_t size = test_random(state, 64);
    uint32_t count = (uint32_t)strlen(pieces);
    for (size_t i = 0; i < size; i++)
        text[i] =
            round % 4 == 0 ? (char)test_random(state, 256) : pieces[test_random(state, count)];
    return size;
}

static void check_round_trip(const struct tx_tokenizer *tokenizer, struct tx_encode_options options,
                             const char *text, size_t size)
{
    struct tx_ids ids = {0};
    struct hs_error error;
    struct hs_buffer out = {0};
    CHECK_INT(tx_encode(tokenizer, (struct hs_str){text, size}, options, &error, &ids), HASTEN_OK);
    tx_decode(tokenizer, ids.ids, ids.count, true, &out);
    CHECK_INT(out.size_bytes, size);
    CHECK(size == 0 || !memcmp(out.data, text, size));
    tx_ids_free(&ids);
    hs_buffer_free(&out);
}

/* Each of units[count], repeated to a mebibyte. */
static void check_long_words(const struct tx_tokenizer *tokenizer, struct tx_encode_options options,
                             const char *const *units, int count)
{
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    CHECK(text != NULL);
    for (int i = 0; i < count; i++) {
        size_t unit = strlen(units[i]), size = 0;
        for (; size + unit <= SIZE; size += unit)
            memcpy(text + size, units[i], unit);
        check_round_trip(tokenizer, options, text, size);
    }
    free(text);
}

/* Opening and encoding, with the n-th allocation and all after it failing, for every n. */
static void check_out_of_memory(const struct tx_vocab *vocab)
{
    bool opened = false, encoded = false;
    for (uint64_t n = 1; n < 200 && !encoded; n++) {
        struct tx_tokenizer *tokenizer = NULL;
        struct tx_ids ids = {0};
        struct hs_error error;
        hs_alloc_fail_at(n, true);
        enum hasten_status status = tx_tokenizer_open(vocab, &error, &tokenizer);
        if (status == HASTEN_OK) {
            opened = true;
            status = tx_encode(tokenizer, hs_str_of("abc <s> aaaa"), special, &error, &ids);
        }
        hs_alloc_fail_at(0, false);
        encoded = status == HASTEN_OK;
        if (!encoded) {
            CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
            CHECK_INT(ids.count, 0);
        }
        tx_ids_free(&ids);
        tx_tokenizer_close(&tokenizer);
    }
    CHECK(opened && encoded);
}

#endif
