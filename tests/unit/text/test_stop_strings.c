/* Stop strings: against a plain search, however the text is cut into pieces. */
#include "text/stop_strings.h"

#include "harness/test.h"

/* Pushes text in pieces of at most `piece` bytes; true when a stop string ended it. */
static bool run(const char *const *texts, const char *text, size_t piece, struct hs_buffer *out)
{
    struct hs_str views[TX_STOPS_MAX];
    struct tx_stops *stops = NULL;
    int count = 0;
    for (; texts[count]; count++)
        views[count] = hs_str_of(texts[count]);
    CHECK_INT(tx_stops_open(views, count, NULL, &stops), HASTEN_OK);
    hs_buffer_clear(out);
    hs_buffer_append(out, "", 0);
    bool found = false;
    for (size_t at = 0; !found && text[at];) {
        size_t length = strlen(text + at) < piece ? strlen(text + at) : piece;
        found = tx_stops_push(stops, (struct hs_str){text + at, length}, out);
        at += length;
        if (!found) /* what is not held back is out */
            CHECK_INT(out->size_bytes + tx_stops_held(stops), at);
    }
    if (!found)
        tx_stops_flush(stops, out);
    CHECK_INT(found ? 0 : tx_stops_held(stops), 0);
    tx_stops_close(&stops);
    CHECK(stops == NULL);
    return found;
}

TEST(examples)
{
    static const struct {
        const char *texts[4], *text, *expected;
        bool found;
    } cases[] = {
        {{"END"}, "some END text", "some ", true},
        {{"END"}, "some EN", "some EN", false},
        {{"END"}, "EEND", "E", true},
        {{"aab"}, "aaab", "a", true},
        {{"abab"}, "abaabab", "aba", true},
        {{"abcd", "bc"}, "xabcd", "xa", true}, /* the first that is complete */
        {{"b", "ab"}, "xab", "x", true},       /* the longest of two that end together */
        {{"\n\n", "\nUser:"}, "a\nUser: b", "a", true},
        {{"\xc3\xa9\xc3\xa9"}, "\xc3\xa9 \xc3\xa9\xc3\xa9", "\xc3\xa9 ", true},
        {{NULL}, "anything", "anything", false},
    };
    struct hs_buffer out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece < 9; piece++) {
            CHECK_INT(run(cases[i].texts, cases[i].text, piece, &out), cases[i].found);
            CHECK_TEXT(out.data, cases[i].expected);
        }
    hs_buffer_free(&out);
}

/* The expected text by trying every end. */
static size_t plain_search(const char *const *texts, const char *text, bool *found)
{
    *found = false;
    for (size_t end = 1; end <= strlen(text); end++) {
        size_t longest = 0;
        for (int i = 0; texts[i]; i++) {
            size_t length = strlen(texts[i]);
            if (length <= end && length > longest && !memcmp(text + end - length, texts[i], length))
                longest = length;
        }
        *found = longest > 0;
        if (*found)
            return end - longest;
    }
    return strlen(text);
}

TEST(equals_a_plain_search)
{
    struct hs_buffer out = {0};
    uint64_t state = test_seed(11);
    for (int round = 0; round < 4000; round++) {
        char texts[3][8] = {"", "", ""}, text[40];
        const char *list[4] = {texts[0], texts[1], texts[2], NULL};
        for (int i = 0; i < 4; i++) {
            char *at = i < 3 ? texts[i] : text;
            size_t length = 1 + test_random(&state, i < 3 ? 6 : 38);
            for (size_t k = 0; k < length; k++)
                at[k] = (char)('a' + test_random(&state, 2));
            at[length] = 0;
        }
        bool expected;
        size_t length = plain_search(list, text, &expected);
        CHECK_INT(run(list, text, 1 + (size_t)round % 5, &out), expected);
        CHECK_INT(out.size_bytes, length);
        CHECK(!memcmp(out.data, text, length));
    }
    hs_buffer_free(&out);
}

TEST(wrong_texts)
{
    static char large[TX_STOP_BYTES_MAX + 2];
    struct tx_stops *stops = NULL;
    struct hs_str many[TX_STOPS_MAX + 1];
    memset(large, 'a', sizeof large - 1);
    for (int i = 0; i <= TX_STOPS_MAX; i++)
        many[i] = hs_str_of("x");
    const struct hs_str wrong[] = {{"", 0}, {large, sizeof large - 1}, {"a\xff", 2}, {"\xc3", 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_INT(tx_stops_open(&wrong[i], 1, NULL, &stops), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(tx_stops_open(many, TX_STOPS_MAX + 1, NULL, &stops), HASTEN_INVALID_ARGUMENT);
    CHECK(stops == NULL);
    for (uint64_t n = 1; n < 5; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = tx_stops_open(many, 2, NULL, &stops);
        hs_alloc_fail_at(0, false);
        CHECK_INT(status, n < 3 ? HASTEN_OUT_OF_MEMORY : HASTEN_OK);
        tx_stops_close(&stops);
    }
}

TEST_MAIN()
