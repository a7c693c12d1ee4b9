/*
 * Tokenizer over a small vocabulary of its own: merge order, special tokens, round trips,
 * streaming, long words. Equality with another engine's ids on a real vocabulary is tested where
 * models are (golden/smollm2-tokens.golden).
 */
#include "tokenizer_test.h"

#include "text/byte_alphabet.h"
#include "text/pretokenizer.h"

enum { ROOM = 400 };

/* Vocabulary under construction: the 256 bytes first (id = byte), then what tests add. */
struct small {
    struct tx_vocab vocab;
    struct hs_str pieces[ROOM], merges[ROOM];
    uint8_t types[ROOM];
    char bytes[256][4];
};

static void add_token(struct small *small, const char *piece, enum tx_token_type type)
{
    small->pieces[small->vocab.count] = hs_str_of(piece);
    small->types[small->vocab.count++] = (uint8_t)type;
}

/* "l r": also adds the merged token when it is not there (the caller keeps the order). */
static void add_merge(struct small *small, const char *merge, const char *merged)
{
    small->merges[small->vocab.merge_count++] = hs_str_of(merge);
    if (merged)
        add_token(small, merged, TX_TOKEN_NORMAL);
}

static void start(struct small *small, const char *pre)
{
    memset(small, 0, sizeof *small);
    small->vocab = (struct tx_vocab){.pre = hs_str_of(pre),
                                     .pieces = small->pieces,
                                     .types = small->types,
                                     .merges = small->merges,
                                     .bos = -1,
                                     .eos = -1,
                                     .eot = -1,
                                     .unknown = -1,
                                     .padding = -1};
    for (int byte = 0; byte < 256; byte++) {
        int length = tx_byte_to_alphabet((uint8_t)byte, small->bytes[byte]);
        small->pieces[byte] = (struct hs_str){small->bytes[byte], (size_t)length};
        small->types[byte] = TX_TOKEN_NORMAL;
    }
    small->vocab.count = 256;
}

/* 256 "ab", 257 "bc", 258 "abc", 259 " a" (Ġa), 260 "aa", 261 "aaaa", then specials. */
static void make_small(struct small *small, const char *pre)
{
    start(small, pre);
    add_merge(small, "b c", NULL);
    add_merge(small, "a b", "ab");
    add_token(small, "bc", TX_TOKEN_NORMAL);
    add_merge(small, "ab c", "abc");
    add_merge(small, "\xc4\xa0 a",
              "\xc4\xa0"
              "a");
    add_merge(small, "a a", "aa");
    add_merge(small, "aa aa", "aaaa");
    add_token(small, "<|im_end|>", TX_TOKEN_CONTROL);  /* 262 */
    add_token(small, "<|im_end|>x", TX_TOKEN_CONTROL); /* 263 */
    add_token(small, "  ", TX_TOKEN_USER_DEFINED);     /* 264 */
    add_token(small, "<unk>", TX_TOKEN_UNKNOWN);       /* 265 */
    add_token(small, "<s>", TX_TOKEN_CONTROL);         /* 266 */
    add_token(small, "unused", TX_TOKEN_UNUSED);       /* 267 */
    add_token(small, "", TX_TOKEN_CONTROL);            /* 268 */
    add_token(small, "<|end|>", TX_TOKEN_NORMAL);      /* 269 */
}

/* Ids of a text as "1 2 3". */
static const char *encode(const struct tx_tokenizer *tokenizer, const char *text,
                          struct tx_encode_options options)
{
    static char line[512];
    struct tx_ids ids = {0};
    struct hs_error error;
    if (tx_encode(tokenizer, hs_str_of(text), options, &error, &ids) != HASTEN_OK)
        TEST_FAIL("encode: %s", error.message);
    size_t used = 0;
    line[0] = 0;
    for (int32_t i = 0; i < ids.count && used < sizeof line - 16; i++)
        used +=
            (size_t)snprintf(line + used, sizeof line - used, i ? " %d" : "%d", (int)ids.ids[i]);
    tx_ids_free(&ids);
    return line;
}

TEST(merges_by_rank_then_position)
{
    struct small small;
    make_small(&small, "gpt-2");
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer, "", plain), "");
    CHECK_TEXT(encode(tokenizer, "a", plain), "97");
    /* "b c" outranks "a b" */
    CHECK_TEXT(encode(tokenizer, "abc", plain), "97 257");
    CHECK_TEXT(encode(tokenizer, "ab", plain), "256");
    CHECK_TEXT(encode(tokenizer, "abab", plain), "256 256");
    /* leftmost first among equals */
    CHECK_TEXT(encode(tokenizer, "aaa", plain), "260 97");
    CHECK_TEXT(encode(tokenizer, "aaaaa", plain), "261 97");
    CHECK_TEXT(encode(tokenizer, "aaaaaaa", plain), "261 260 97");
    /* "Ġ a" outranks "a a" */
    CHECK_TEXT(encode(tokenizer, " aa", plain), "259 97");
    CHECK_TEXT(encode(tokenizer, "a a", plain), "97 259");
    tx_tokenizer_close(&tokenizer);
    CHECK(tokenizer == NULL);
}

TEST(whole_words_skip_merging_only_where_the_rule_says_so)
{
    struct small small;
    make_small(&small, "llama-bpe");
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer, "abc", plain), "258");
    CHECK_TEXT(encode(tokenizer, "abcd", plain), "97 257 100");
    tx_tokenizer_close(&tokenizer);
    make_small(&small, "qwen2");
    tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer, "abc", plain), "97 257");
    tx_tokenizer_close(&tokenizer);
}

TEST(special_tokens)
{
    struct small small;
    make_small(&small, "gpt-2");
    small.vocab.bos = 266;
    small.vocab.eos = 262;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer, "a<|im_end|>a", special), "97 262 97");
    CHECK_TEXT(encode(tokenizer, "<|im_end|>", special), "262");
    /* the longest token first */
    CHECK_TEXT(encode(tokenizer, "<|im_end|>x<|im_end|>", special), "263 262");
    CHECK_TEXT(encode(tokenizer, "<s><unk>", special), "266 265");
    /* control tokens only when asked for, user-defined ones always */
    CHECK_TEXT(encode(tokenizer, "<s>", plain), "60 115 62");
    CHECK_TEXT(encode(tokenizer, "a   a", plain), "97 264 259");
    /* BOS and EOS where the vocabulary asks for them */
    CHECK_TEXT(encode(tokenizer, "a", (struct tx_encode_options){true, false}), "97");
    small.vocab.add_bos = true;
    small.vocab.add_eos = true;
    CHECK_TEXT(encode(tokenizer, "a", (struct tx_encode_options){true, false}), "266 97 262");
    CHECK_TEXT(encode(tokenizer, "", (struct tx_encode_options){true, false}), "266 262");
    CHECK_TEXT(encode(tokenizer, "a", plain), "97");
    tx_tokenizer_close(&tokenizer);
}

TEST(ends_and_ids_by_text)
{
    struct small small;
    make_small(&small, "gpt-2");
    small.vocab.eos = 100;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK(tx_is_end(tokenizer, 100));
    CHECK(tx_is_end(tokenizer, 262));
    CHECK(!tx_is_end(tokenizer, 263));
    CHECK(!tx_is_end(tokenizer, 269)); /* the name, but no control token */
    CHECK(!tx_is_end(tokenizer, -1));
    CHECK_INT(tx_token_id(tokenizer, "<|im_end|>"), 262);
    CHECK_INT(tx_token_id(tokenizer, " a"), 259);
    CHECK_INT(tx_token_id(tokenizer, "  "), 264);
    CHECK_INT(tx_token_id(tokenizer, "\xc4\xa0"
                                     "a"),
              -1);
    CHECK_INT(tx_token_id(tokenizer, "nothing"), -1);
    CHECK_INT(tx_token_id(tokenizer, ""), -1);
    CHECK(tx_tokenizer_vocab(tokenizer) == &small.vocab);
    tx_tokenizer_close(&tokenizer);
}

TEST(decoding)
{
    struct small small;
    make_small(&small, "gpt-2");
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    struct hs_buffer out = {0};
    static const int32_t ids[] = {259, 262, 264, 265, 267, -1, 1000000, 10, 98};
    tx_decode(tokenizer, ids, 9, false, &out);
    CHECK_TEXT(out.data, " a  \nb");
    hs_buffer_clear(&out);
    tx_decode(tokenizer, ids, 9, true, &out);
    CHECK_TEXT(out.data, " a<|im_end|>  <unk>\nb");
    hs_buffer_free(&out);
    tx_tokenizer_close(&tokenizer);
}

TEST(any_bytes_round_trip_under_every_rule)
{
    static const char pieces[] = "aAbc  \t\r\n'sS1239.,!\x80\xff\xc3\xa9\xe4\xb8\x80\xf0\x9f\x98"
                                 "\x80\xed\xa0\x80\xc0\xaf\xcc\x81<|im_end|>\xe2\x80\xa8";
    uint64_t state = test_seed(7);
    for (int rule = 0; rule < tx_pretokenizer_rule_count; rule++) {
        char name[64];
        struct small small;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(tx_pretokenizer_rules[rule].names, " "),
                 tx_pretokenizer_rules[rule].names);
        make_small(&small, name);
        struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
        for (int round = 0; round < 200; round++) {
            char text[64];
            size_t size = random_text(&state, round, pieces, text);
            check_round_trip(tokenizer, plain, text, size);
            check_round_trip(tokenizer, special, text, size);
        }
        check_round_trip(tokenizer, special, "\0a\0", 3);
        tx_tokenizer_close(&tokenizer);
    }
}

TEST(broken_bytes_stand_alone)
{
    struct small small;
    make_small(&small, "gpt-2");
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer,
                      "ab\xff"
                      "ab",
                      plain),
               "256 255 256");
    CHECK_TEXT(encode(tokenizer, "\xe4\xb8", plain), "228 184");
    tx_tokenizer_close(&tokenizer);
}

static void check_split(const char *rule, const char *text, const char *expected)
{
    struct tx_pretokenizer *pretokenizer;
    struct tx_splitter *splitter;
    struct hs_error error;
    const uint32_t *ends;
    size_t count;
    CHECK_INT(tx_pretokenizer_open(hs_str_of(rule), &error, &pretokenizer), HASTEN_OK);
    CHECK_INT(tx_splitter_open(pretokenizer, &error, &splitter), HASTEN_OK);
    CHECK_INT(tx_split(splitter, hs_str_of(text), &error, &ends, &count), HASTEN_OK);
    char line[256];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t begin = i ? ends[i - 1] : 0;
        used += (size_t)snprintf(line + used, sizeof line - used, "[%.*s]", (int)(ends[i] - begin),
                                 text + begin);
    }
    line[used] = 0;
    CHECK_TEXT(line, expected);
    tx_splitter_close(&splitter);
    tx_pretokenizer_close(&pretokenizer);
}

TEST(words)
{
    check_split("gpt-2", "Hello, world  it's 1234", "[Hello][,][ world][ ][ it]['s][ 1234]");
    check_split("smollm", "a 1234", "[a][ ][1][2][3][4]");
    check_split("llama-bpe", "IT'S 12345\n\nx", "[IT]['S][ ][123][45][\n\n][x]");
    check_split("qwen2", "x=12", "[x][=][1][2]");
    /* U+180E is no white space any more */
    check_split("gpt-2",
                "a\xe1\xa0\x8e"
                "b",
                "[a][\xe1\xa0\x8e][b]");
    check_split("deepseek-llm", "ab 12  \n", "[ab][ ][12][  ][\n]");
    check_split("", "a=1", "[a][=][1]");
}

TEST(a_word_of_a_mebibyte)
{
    static const char *const units[] = {"a", " ", "1", "\n", "\xe4\xb8\x80", "A", "!"};
    static const char *const rules[] = {"gpt-2", "llama-bpe", "deepseek-llm", "tekken"};
    struct small small;
    for (int r = 0; r < 4; r++) {
        make_small(&small, rules[r]);
        struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
        check_long_words(tokenizer, special, units, 7);
        tx_tokenizer_close(&tokenizer);
    }
}

TEST(streaming_never_gives_half_a_character)
{
    struct small small;
    make_small(&small, "gpt-2");
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    static const struct {
        const char *bytes, *expected[8]; /* after each byte, then after the flush */
    } cases[] = {
        {"\xe2\x82\xac", {"", "", "\xe2\x82\xac", "\xe2\x82\xac"}},
        {"\xf0\x9f\x98\x80", {"", "", "", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}},
        {"a\xc3", {"a", "a", "a\xef\xbf\xbd"}},
        {"\xe2\x82"
         "a",
         {"", "",
          "\xef\xbf\xbd"
          "a",
          "\xef\xbf\xbd"
          "a"}},
        {"\xff"
         "b",
         {"\xef\xbf\xbd",
          "\xef\xbf\xbd"
          "b",
          "\xef\xbf\xbd"
          "b"}},
        {"\xe2\xc3\xa9", {"", "\xef\xbf\xbd", "\xef\xbf\xbd\xc3\xa9", "\xef\xbf\xbd\xc3\xa9"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tx_stream stream = {0};
        struct hs_buffer out = {0};
        size_t k = 0;
        hs_buffer_append(&out, "", 0);
        for (; cases[i].bytes[k]; k++) {
            tx_stream_push(&stream, tokenizer, (uint8_t)cases[i].bytes[k], false, &out);
            CHECK_TEXT(out.data ? out.data : "", cases[i].expected[k]);
        }
        tx_stream_flush(&stream, &out);
        CHECK_TEXT(out.data ? out.data : "", cases[i].expected[k]);
        CHECK_INT(stream.tail_bytes, 0);
        hs_buffer_free(&out);
    }
    tx_tokenizer_close(&tokenizer);
}

TEST(merges_of_texts_that_are_no_tokens)
{
    struct small small;
    start(&small, "gpt-2");
    add_merge(&small, "x y", NULL);   /* "xy" is no token */
    add_merge(&small, "xy z", "xyz"); /* 256 */
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK_TEXT(encode(tokenizer, "xyz", plain), "256");
    CHECK_TEXT(encode(tokenizer, "xyxy", plain), "120 121 120 121");
    tx_tokenizer_close(&tokenizer);
}

static void check_open_fails(const struct tx_vocab *vocab, enum hasten_status status,
                             const char *message)
{
    struct tx_tokenizer *tokenizer = NULL;
    struct hs_error error = {0};
    CHECK_INT(tx_tokenizer_open(vocab, &error, &tokenizer), status);
    CHECK(tokenizer == NULL);
    CHECK_TEXT(error.message, message);
}

TEST(wrong_vocabularies)
{
    struct small small;
    make_small(&small, "martian");
    check_open_fails(&small.vocab, HASTEN_UNSUPPORTED, "pre-tokenizer 'martian' is not known");
    make_small(&small, "gpt-2");
    small.vocab.eos = small.vocab.count;
    check_open_fails(&small.vocab, HASTEN_CORRUPT_INPUT,
                     "eos token id is 270, vocabulary has 270 tokens");
    make_small(&small, "gpt-2");
    add_merge(&small, "ab", NULL);
    check_open_fails(&small.vocab, HASTEN_CORRUPT_INPUT,
                     "merge 6 of the tokenizer is no pair of texts");
    small.vocab.count = 0;
    check_open_fails(&small.vocab, HASTEN_CORRUPT_INPUT, "vocabulary has no tokens");
}

TEST(out_of_memory_is_reported)
{
    struct small small;
    make_small(&small, "gpt-2");
    check_out_of_memory(&small.vocab);
}

TEST_MAIN()
