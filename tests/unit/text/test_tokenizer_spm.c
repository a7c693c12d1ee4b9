/*
 * SentencePiece BPE over a small vocabulary of its own: merge order, bytes, spaces, special tokens,
 * decoding, round trips. Equality with another engine's ids on real vocabularies is tested where
 * models are (golden/gemma3-tokens.golden).
 */
#include "tokenizer_test.h"

#include "text/text_utf8.h"

#define SPACE "\xe2\x96\x81"

enum { ROOM = 400, FIRST_BYTE = 3, FIRST = FIRST_BYTE + 256 };

/* Vocabulary under construction: <unk>, <s>, </s>, the 256 bytes, then what tests add. */
struct small {
    struct tx_vocab vocab;
    struct hs_str pieces[ROOM];
    uint8_t types[ROOM];
    float scores[ROOM];
    char bytes[256][8];
};

static int32_t add(struct small *small, const char *piece, enum tx_token_type type, float score)
{
    CHECK(small->vocab.count < ROOM);
    small->pieces[small->vocab.count] = hs_str_of(piece);
    small->types[small->vocab.count] = (uint8_t)type;
    small->scores[small->vocab.count] = score;
    return small->vocab.count++;
}

static void start(struct small *small)
{
    memset(small, 0, sizeof *small);
    small->vocab = (struct tx_vocab){.kind = TX_TOKENIZER_SPM,
                                     .pieces = small->pieces,
                                     .types = small->types,
                                     .scores = small->scores,
                                     .bos = 1,
                                     .eos = 2,
                                     .eot = -1,
                                     .unknown = 0,
                                     .padding = -1,
                                     .add_bos = true,
                                     .add_space_prefix = true};
    add(small, "<unk>", TX_TOKEN_UNKNOWN, 0);
    add(small, "<s>", TX_TOKEN_CONTROL, 0);
    add(small, "</s>", TX_TOKEN_CONTROL, 0);
    for (int byte = 0; byte < 256; byte++) {
        snprintf(small->bytes[byte], sizeof small->bytes[byte], "<0x%02X>", (unsigned)byte);
        add(small, small->bytes[byte], TX_TOKEN_BYTE, 0);
    }
}

/* Ids from FIRST (259) on. */
enum {
    SP = FIRST,
    A,
    B,
    C,
    AB,
    BC,
    ABC,
    SP_A,
    AA,
    AAAA,
    E_ACUTE,
    NEWLINES,
    TAG,
    TURN,
    UNUSED,
    LESS,
    LESS_S,
    GREATER,
    A_SP,
    END_MARK
};

static void make_small(struct small *small)
{
    start(small);
    add(small, SPACE, TX_TOKEN_NORMAL, -50);
    add(small, "a", TX_TOKEN_NORMAL, -51);
    add(small, "b", TX_TOKEN_NORMAL, -52);
    add(small, "c", TX_TOKEN_NORMAL, -53);
    add(small, "ab", TX_TOKEN_NORMAL, -2);
    add(small, "bc", TX_TOKEN_NORMAL, -1);
    add(small, "abc", TX_TOKEN_NORMAL, -3);
    add(small, SPACE "a", TX_TOKEN_NORMAL, -1.5f);
    add(small, "aa", TX_TOKEN_NORMAL, -4);
    add(small, "aaaa", TX_TOKEN_NORMAL, -5);
    add(small, "\xc3\xa9", TX_TOKEN_NORMAL, -54);
    add(small, "\n\n", TX_TOKEN_USER_DEFINED, 0);
    add(small, "<b>", TX_TOKEN_USER_DEFINED, 0);
    add(small, "<end_of_turn>", TX_TOKEN_CONTROL, 0);
    add(small, "u", TX_TOKEN_UNUSED, -60);
    add(small, "<", TX_TOKEN_NORMAL, -55);
    add(small, "<s", TX_TOKEN_NORMAL, -6);
    add(small, ">", TX_TOKEN_NORMAL, -56);
    add(small, "c" SPACE, TX_TOKEN_NORMAL, -0.5f);
    add(small, "<eos>", TX_TOKEN_USER_DEFINED, 0);
    CHECK_INT(small->vocab.count, END_MARK + 1);
}

/* Checks the ids of a text; the list ends with -1. */
static void check_ids(const struct tx_tokenizer *tokenizer, const char *text,
                      struct tx_encode_options options, const int32_t *expected)
{
    struct tx_ids ids = {0};
    struct hs_error error;
    CHECK_INT(tx_encode(tokenizer, hs_str_of(text), options, &error, &ids), HASTEN_OK);
    int32_t i = 0;
    for (; expected[i] >= 0 && i < ids.count; i++)
        if (ids.ids[i] != expected[i])
            TEST_FAIL("\"%s\": id %d is %d, expected %d", text, i, ids.ids[i], expected[i]);
    if (i != ids.count || expected[i] >= 0)
        TEST_FAIL("\"%s\": %d ids, expected %s", text, ids.count, i == ids.count ? "more" : "less");
    tx_ids_free(&ids);
}
#define IDS(...)                                                                                   \
    (const int32_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__, -1                                                                            \
    }

TEST(merges_by_score_then_position)
{
    struct small small;
    make_small(&small);
    small.vocab.add_space_prefix = false;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "", plain, IDS(-1));
    check_ids(tokenizer, "a", plain, IDS(A));
    check_ids(tokenizer, "ab", plain, IDS(AB));
    check_ids(tokenizer, "abc", plain, IDS(ABC)); /* "bc" first, then "a" and "bc" */
    check_ids(tokenizer, "aabc", plain, IDS(A, ABC));
    check_ids(tokenizer, "aaa", plain, IDS(AA, A)); /* leftmost among equals */
    check_ids(tokenizer, "aaaaaaa", plain, IDS(AAAA, AA, A));
    check_ids(tokenizer, " ab", plain, IDS(SP_A, B)); /* the space is stronger than "ab" */
    check_ids(tokenizer, "b a", plain, IDS(B, SP_A));
    check_ids(tokenizer, "abc ab", plain, IDS(AB, A_SP, AB)); /* a merge over the word's end */
    check_ids(tokenizer, "u", plain, IDS(UNUSED));
    tx_tokenizer_close(&tokenizer);
    CHECK(tokenizer == NULL);
}

TEST(what_is_no_token_becomes_bytes_or_unknown)
{
    struct small small;
    make_small(&small);
    small.vocab.add_space_prefix = false;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "a\n", plain, IDS(A, FIRST_BYTE + '\n'));
    check_ids(tokenizer, "\xc3\xa9", plain, IDS(E_ACUTE));
    check_ids(tokenizer, "\xc3\xaa", plain, IDS(FIRST_BYTE + 0xc3, FIRST_BYTE + 0xaa));
    check_ids(tokenizer, "\xc3", plain, IDS(FIRST_BYTE + 0xc3));
    check_ids(tokenizer, "\xff\xc3\xa9", plain, IDS(FIRST_BYTE + 0xff, E_ACUTE));
    tx_tokenizer_close(&tokenizer);
    small.types[FIRST_BYTE + 0xaa] = TX_TOKEN_UNUSED; /* then no byte any more */
    tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "a\xc3\xaa", plain, IDS(A, 0));
    tx_tokenizer_close(&tokenizer);
    small.vocab.unknown = -1;
    tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "a\xc3\xaa", plain, IDS(A));
    tx_tokenizer_close(&tokenizer);
}

TEST(scores_of_any_kind)
{
    static const float high[] = {INFINITY, 3, 0.5f, 0, -0.5f, -3};
    static const float low[] = {3, 0.5f, 0.25f, -0.5f, -3, -INFINITY};
    struct small small;
    make_small(&small);
    small.vocab.add_space_prefix = false;
    for (int i = 0; i < 6; i++) {
        small.scores[AB] = high[i];
        small.scores[BC] = low[i];
        struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
        check_ids(tokenizer, "bbcabab", plain, IDS(B, BC, AB, AB));
        check_ids(tokenizer, "abcbc", plain, IDS(ABC, BC));
        tx_tokenizer_close(&tokenizer);
    }
    /* NaN is the lowest score, lower than that of "ab" now, but a pair all the same */
    small.scores[BC] = NAN;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "abcbc", plain, IDS(ABC, BC));
    tx_tokenizer_close(&tokenizer);
    /* both zeros are equal, so is everything without scores: the leftmost wins */
    small.scores[AB] = -0.0f;
    small.scores[BC] = 0.0f;
    small.pieces[ABC] = hs_str_of("");
    tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "abc", plain, IDS(AB, C));
    tx_tokenizer_close(&tokenizer);
    small.scores[AB] = -9;
    small.vocab.scores = NULL;
    tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "abc", plain, IDS(AB, C));
    tx_tokenizer_close(&tokenizer);
}

TEST(a_space_in_front_of_plain_runs)
{
    struct small small;
    make_small(&small);
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "", plain, IDS(-1));
    check_ids(tokenizer, "a", plain, IDS(SP_A));
    check_ids(tokenizer, " a", plain, IDS(SP, SP_A));
    check_ids(tokenizer, "a\n\na", plain, IDS(SP_A, NEWLINES, SP_A));
    check_ids(tokenizer, "<s>a", special, IDS(1, SP_A));
    check_ids(tokenizer, "a", (struct tx_encode_options){true, false}, IDS(1, SP_A));
    small.vocab.add_eos = true;
    check_ids(tokenizer, "", (struct tx_encode_options){true, false}, IDS(1, 2));
    check_ids(tokenizer, "b", (struct tx_encode_options){true, false}, IDS(1, SP, B, 2));
    tx_tokenizer_close(&tokenizer);
}

TEST(special_tokens)
{
    struct small small;
    make_small(&small);
    small.vocab.add_space_prefix = false;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "a<end_of_turn>a", special, IDS(A, TURN, A));
    check_ids(tokenizer, "\n\n\n", plain, IDS(NEWLINES, FIRST_BYTE + '\n'));
    check_ids(tokenizer, "<b>\n\n<b>", plain, IDS(TAG, NEWLINES, TAG));
    /* merges never spell a control token: "<s" and ">" are tokens, "<s>" is one too */
    check_ids(tokenizer, "<s>", plain, IDS(LESS_S, GREATER));
    check_ids(tokenizer, "<s>", special, IDS(1));
    /* nor a byte */
    CHECK_INT(tx_token_id(tokenizer, "<0x41>"), -1);
    /* an end mark is no plain text even if the file calls it user-defined */
    check_ids(tokenizer, "<eos>", special, IDS(END_MARK));
    check_ids(tokenizer, "<eos>", plain,
              IDS(LESS, FIRST_BYTE + 'e', FIRST_BYTE + 'o', FIRST_BYTE + 's', GREATER));
    tx_tokenizer_close(&tokenizer);
}

/* The longest token is cut first, everywhere; then shorter ones in what is left. */
TEST(overlapping_special_tokens)
{
    struct small small;
    make_small(&small);
    small.vocab.add_space_prefix = false;
    int32_t xy = add(&small, "xy", TX_TOKEN_USER_DEFINED, 0);
    int32_t yzz = add(&small, "yzz", TX_TOKEN_USER_DEFINED, 0);
    int32_t x = add(&small, "x", TX_TOKEN_USER_DEFINED, 0);
    int32_t xyzzy = add(&small, "xyzzy", TX_TOKEN_CONTROL, 0);
    int32_t newlines = add(&small, "\n\n\n\n\n", TX_TOKEN_USER_DEFINED, 0);
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "xyzz", plain, IDS(x, yzz));
    check_ids(tokenizer, "xyz", plain, IDS(xy, FIRST_BYTE + 'z'));
    check_ids(tokenizer, "xyzzy", plain, IDS(x, yzz, FIRST_BYTE + 'y'));
    check_ids(tokenizer, "xyzzy", special, IDS(xyzzy));
    check_ids(tokenizer, "xxyzzyxy", special, IDS(x, xyzzy, xy));
    check_ids(tokenizer, "\n\n\n\n\n\n\n\n", plain, IDS(newlines, NEWLINES, FIRST_BYTE + '\n'));
    tx_tokenizer_close(&tokenizer);
}

TEST(white_space_behind_special_tokens_is_stripped_where_asked)
{
    struct small small;
    make_small(&small);
    small.vocab.strip_after_special = true;
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_ids(tokenizer, "<end_of_turn> \n\ta", special, IDS(TURN, SP_A));
    /* before shorter special tokens get a look at it */
    check_ids(tokenizer, "<end_of_turn>\n\n\na\n\n", special, IDS(TURN, SP_A, NEWLINES));
    check_ids(tokenizer, "<end_of_turn> ", special, IDS(TURN));
    check_ids(tokenizer, "<s> a", special, IDS(1, SP, SP_A));
    tx_tokenizer_close(&tokenizer);
}

TEST(ends_and_ids_by_text)
{
    struct small small;
    make_small(&small);
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    CHECK(tx_is_end(tokenizer, 2));
    CHECK(tx_is_end(tokenizer, TURN));
    CHECK(!tx_is_end(tokenizer, A));
    CHECK_INT(tx_token_id(tokenizer, " a"), SP_A);
    CHECK_INT(tx_token_id(tokenizer, "a"), A);
    CHECK_INT(tx_token_id(tokenizer, "\n"), FIRST_BYTE + '\n');
    CHECK_INT(tx_token_id(tokenizer, "\n\n"), NEWLINES);
    CHECK_INT(tx_token_id(tokenizer, "<s>"), 1);
    CHECK_INT(tx_token_id(tokenizer, "nothing"), -1);
    CHECK_INT(tx_token_id(tokenizer, ""), -1);
    tx_tokenizer_close(&tokenizer);
}

static void check_text(const struct tx_tokenizer *tokenizer, const int32_t *ids, bool with_special,
                       const char *expected)
{
    struct hs_buffer out = {0};
    int32_t count = 0;
    while (ids[count] >= 0)
        count++;
    tx_decode(tokenizer, ids, count, with_special, &out);
    CHECK_TEXT(out.data ? out.data : "", expected);
    hs_buffer_free(&out);
}

TEST(decoding_takes_the_prefix_away)
{
    struct small small;
    make_small(&small);
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_text(tokenizer, IDS(SP_A, SP_A), false, "a a");
    check_text(tokenizer, IDS(SP, SP_A), false, " a");
    check_text(tokenizer, IDS(1, SP_A, 2), false, "a");
    check_text(tokenizer, IDS(1, SP_A, 2), true, "<s>a</s>");
    check_text(tokenizer, IDS(SP_A, TAG, SP_A), false, "a<b>a");
    check_text(tokenizer, IDS(SP_A, 2, SP_A), false, "a a");
    check_text(tokenizer, IDS(A, SP, B), false, "a b");
    check_text(tokenizer, IDS(FIRST_BYTE + 0xc3, FIRST_BYTE + 0xa9), false, "\xc3\xa9");
    check_text(tokenizer, IDS(UNUSED, 0), false, "");
    /* one by one and in streams every token keeps its space */
    struct hs_buffer out = {0};
    struct tx_stream stream = {0};
    tx_decode_token(tokenizer, SP_A, false, &out);
    tx_stream_push(&stream, tokenizer, SP_A, false, &out);
    tx_stream_push(&stream, tokenizer, FIRST_BYTE + 0xc3, false, &out);
    CHECK_TEXT(out.data, " a a");
    tx_stream_push(&stream, tokenizer, FIRST_BYTE + 0xa9, false, &out);
    CHECK_TEXT(out.data, " a a\xc3\xa9");
    hs_buffer_free(&out);
    tx_tokenizer_close(&tokenizer);
    small.vocab.add_space_prefix = false;
    tokenizer = open_vocab(&small.vocab);
    check_text(tokenizer, IDS(SP_A, SP_A), false, " a a");
    tx_tokenizer_close(&tokenizer);
}

/* All but U+2581, which comes back as a space. */
TEST(any_bytes_round_trip)
{
    static const char pieces[] = "aabc  \n\n\n<b><s></s><0x41>\x80\xff\xc3\xa9\xe4\xb8\x80\xf0\x9f"
                                 "\x98\x80\xed\xa0\x80\xc0\xaf";
    uint64_t state = test_seed(11);
    struct small small;
    make_small(&small);
    small.types[UNUSED] = TX_TOKEN_NORMAL;
    for (int prefix = 0; prefix < 2; prefix++) {
        small.vocab.add_space_prefix = prefix;
        struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
        for (int round = 0; round < 3000; round++) {
            char text[64];
            size_t size = random_text(&state, round, pieces, text);
            if (memmem(text, size, SPACE, 3))
                continue;
            check_round_trip(tokenizer, plain, text, size);
            check_round_trip(tokenizer, special, text, size);
        }
        check_round_trip(tokenizer, plain, "\0a\0", 3);
        check_round_trip(tokenizer, special, "\0a\0", 3);
        check_text(tokenizer, IDS(A, SP), false, "a ");
        tx_tokenizer_close(&tokenizer);
    }
}

/* The same greedy merging, written plainly: quadratic, no heap, no cutting at spaces. */
static void merge_slowly(const struct small *small, const char *text, struct tx_ids *ids)
{
    struct hs_str parts[128];
    int32_t found[128];
    int count = 0;
    for (size_t at = 0; text[at]; count++) {
        int length = tx_utf8_length((const uint8_t *)text + at, strlen(text + at));
        parts[count] = (struct hs_str){text + at, (size_t)length};
        at += (size_t)length;
    }
    for (;;) {
        int best = -1;
        for (int i = 0; i < count; i++) {
            found[i] = -1;
            size_t size = parts[i].size_bytes + (i + 1 < count ? parts[i + 1].size_bytes : 0);
            for (int32_t id = FIRST; i + 1 < count && id < small->vocab.count; id++)
                if (hs_str_equal(small->pieces[id], (struct hs_str){parts[i].data, size}))
                    found[i] = id;
            if (found[i] >= 0 && (best < 0 || small->scores[found[i]] > small->scores[found[best]]))
                best = i;
        }
        if (best < 0)
            break;
        parts[best].size_bytes += parts[best + 1].size_bytes;
        for (int i = best + 1; i + 1 < count; i++)
            parts[i] = parts[i + 1];
        count--;
    }
    for (int i = 0; i < count; i++)
        for (int32_t id = FIRST; id < small->vocab.count; id++)
            if (hs_str_equal(small->pieces[id], parts[i]))
                CHECK_INT(tx_ids_push(ids, id), HASTEN_OK);
}

TEST(random_vocabularies_equal_plain_merging)
{
    static const char *const letters[] = {"a", "b", SPACE, "\xc3\xa9"};
    uint64_t state = test_seed(5);
    for (int round = 0; round < 300; round++) {
        struct small small;
        char made[100][40];
        start(&small);
        small.vocab.add_space_prefix = false;
        for (int i = 0; i < 4; i++)
            add(&small, letters[i], TX_TOKEN_NORMAL, -100);
        for (int i = 0; i < 60; i++) {
            struct hs_str left = small.pieces[FIRST + test_random(&state, 4 + (uint32_t)i)];
            struct hs_str right = small.pieces[FIRST + test_random(&state, 4 + (uint32_t)i)];
            bool fits = left.size_bytes + right.size_bytes < sizeof made[i];
            snprintf(made[i], sizeof made[i], "%.*s%.*s", fits ? (int)left.size_bytes : 1, "aaa", 0,
                     "");
            if (fits)
                snprintf(made[i], sizeof made[i], "%.*s%.*s", HS_STR(left), HS_STR(right));
            bool known = false;
            for (int32_t id = FIRST; id < small.vocab.count; id++)
                known |= hs_str_is(small.pieces[id], made[i]);
            add(&small, known ? "" : made[i], TX_TOKEN_NORMAL, -(float)test_random(&state, 20));
        }
        struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
        for (int t = 0; t < 20; t++) {
            char text[400], escaped[400];
            size_t size = 0, escaped_size = 0, count = test_random(&state, 60);
            text[0] = escaped[0] = 0;
            for (size_t i = 0; i < count; i++) {
                const char *letter = letters[test_random(&state, 4)];
                bool space = letter == letters[2];
                size += (size_t)snprintf(text + size, 8, "%s", space ? " " : letter);
                escaped_size += (size_t)snprintf(escaped + escaped_size, 8, "%s", letter);
            }
            struct tx_ids expected = {0};
            merge_slowly(&small, escaped, &expected);
            CHECK_INT(tx_ids_push(&expected, -1), HASTEN_OK);
            check_ids(tokenizer, text, plain, expected.ids);
            tx_ids_free(&expected);
        }
        tx_tokenizer_close(&tokenizer);
    }
}

TEST(a_word_of_a_mebibyte)
{
    static const char *const units[] = {"a", " ", "1", "\n", "\xe4\xb8\x80", "ab", "<", "<b>"};
    struct small small;
    make_small(&small);
    struct tx_tokenizer *tokenizer = open_vocab(&small.vocab);
    check_long_words(tokenizer, plain, units, 8);
    check_long_words(tokenizer, special, units, 8);
    tx_tokenizer_close(&tokenizer);
}

TEST(out_of_memory_is_reported)
{
    struct small small;
    make_small(&small);
    check_out_of_memory(&small.vocab);
}

TEST_MAIN()
