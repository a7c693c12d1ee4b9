/*
 * The token index, and vocabularies made to be slow: texts and merges whose hashes collide are
 * refused once a look-up would take too long, so that opening never becomes quadratic.
 */
#include "text/token_index.h"

#include "harness/test.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

enum { PAIRS = 12, COLLIDING = 1 << PAIRS, WORD_BYTES = 8, MERGES = 1000 };

/* Text `number` of those that share one hash, whatever came before: flipping the top bit of a word
 * flips bits 63 and 31 of hash_step's result, and flipping these in the next word undoes it. */
static void make_colliding(int number, uint64_t words[2 * PAIRS])
{
    for (int i = 0; i < PAIRS; i++) {
        bool flip = number >> i & 1;
        words[2 * i] = UINT64_C(0x6161616161616161) ^ (flip ? UINT64_C(1) << 63 : 0);
        words[2 * i + 1] =
            UINT64_C(0x6262626262626262) ^ (flip ? UINT64_C(1) << 63 | UINT64_C(1) << 31 : 0);
    }
}

static struct hs_str *colliding_pieces(struct hs_arena *arena, int32_t **ids_out)
{
    uint64_t words[2 * PAIRS];
    struct hs_str *pieces = hs_arena_alloc(arena, COLLIDING, sizeof *pieces);
    int32_t *ids = hs_arena_alloc(arena, COLLIDING, sizeof *ids);
    for (int i = 0; i < COLLIDING; i++) {
        make_colliding(i, words);
        char *text = hs_arena_strndup(arena, (const char *)words, sizeof words);
        pieces[i] = (struct hs_str){text, sizeof words};
        ids[i] = i;
    }
    *ids_out = ids;
    return pieces;
}

TEST(texts_and_ids)
{
    const struct hs_str pieces[] = {hs_str_of("a"), hs_str_of("bc"), hs_str_of("a")};
    const int32_t ids[] = {0, 1, 2};
    struct tx_token_index index;
    CHECK(tx_token_index_open(&index, pieces, 3, 3));
    CHECK(tx_token_index_put(&index, ids, 3));
    CHECK_INT(tx_token_index_find(&index, hs_str_of("a")), 2); /* the last of equal ones */
    CHECK_INT(tx_token_index_find(&index, hs_str_of("bc")), 1);
    CHECK_INT(tx_token_index_find(&index, hs_str_of("b")), -1);
    static char texts[1000][8];
    for (int i = 0; i < 1000; i++) { /* grows over and over */
        (void)snprintf(texts[i], sizeof texts[i], "t%d", i);
        CHECK_INT(tx_token_index_add(&index, hs_str_of(texts[i])), 3 + i);
    }
    for (int i = 0; i < 1000; i++)
        CHECK_INT(tx_token_index_find(&index, hs_str_of(texts[i])), 3 + i);
    CHECK(!index.crowded);
    tx_token_index_close(&index);
}

TEST(colliding_texts_are_refused_early)
{
    struct hs_arena arena = {0};
    struct hs_error error = {0};
    struct tx_token_index index;
    int32_t *ids;
    const struct hs_str *pieces = colliding_pieces(&arena, &ids);
    CHECK(tx_token_index_open(&index, pieces, COLLIDING, COLLIDING));
    CHECK(!tx_token_index_put(&index, ids, COLLIDING));
    CHECK(index.count > 100 && index.count <= 1024); /* else they did not collide at all */
    CHECK_INT(tx_token_index_fail(&index, &error), HASTEN_LIMIT);
    CHECK(strstr(error.message, "hash") && error.hint[0]);
    CHECK_INT(tx_token_index_find(&index, pieces[5]), 5);
    CHECK_INT(tx_token_index_find(&index, pieces[COLLIDING - 1]), -1);
    tx_token_index_close(&index);
    /* the same while growing */
    CHECK(tx_token_index_open(&index, NULL, 0, 0));
    int32_t added = 0;
    while (added < COLLIDING && tx_token_index_add(&index, pieces[added]) >= 0)
        added++;
    CHECK(added > 100 && added <= 1024 && index.crowded);
    tx_token_index_close(&index);
    hs_arena_free(&arena);
}

/* Whatever the vocabulary is made of, it has no special ids. */
static void check_refused(struct tx_vocab vocab, const char *what)
{
    struct hs_error error = {0};
    struct tx_tokenizer *tokenizer = NULL;
    vocab.bos = vocab.eos = vocab.eot = vocab.unknown = vocab.padding = -1;
    CHECK_INT(tx_tokenizer_open(&vocab, &error, &tokenizer), HASTEN_LIMIT);
    CHECK(!tokenizer && strstr(error.message, what) && error.hint[0]);
}

TEST(a_vocabulary_of_colliding_texts_is_refused)
{
    struct hs_arena arena = {0};
    int32_t *ids;
    struct tx_vocab vocab = {.count = COLLIDING, .pieces = colliding_pieces(&arena, &ids)};
    for (int kind = TX_TOKENIZER_BPE; kind <= TX_TOKENIZER_SPM; kind++) {
        vocab.kind = (enum tx_tokenizer_kind)kind;
        check_refused(vocab, "same hash");
    }
    hs_arena_free(&arena);
}

/* Place of a pair of symbols, as in tokenizer_bpe.c, in a table for MERGES merges. */
static uint64_t place_of(uint64_t left, uint64_t right)
{
    uint64_t key = left << 32 | right;
    key ^= key >> 29;
    return (key * UINT64_C(0x9e3779b97f4a7c15) >> 24) & 2047;
}

TEST(merges_made_to_collide_are_refused)
{
    struct hs_arena arena = {0};
    struct hs_str pieces[256], merges[MERGES];
    char texts[256][4];
    for (int byte = 0; byte < 256; byte++) {
        int length = tx_byte_to_alphabet((uint8_t)byte, texts[byte]);
        pieces[byte] = (struct hs_str){texts[byte], (size_t)length};
    }
    int count = 0;
    for (int left = 0; left < 256; left++)
        for (int right = 0; right < 256 && count < MERGES; right++)
            if (place_of((uint64_t)left, (uint64_t)right) < 64)
                merges[count++] = hs_str_of(hs_arena_printf(
                    &arena, "%.*s %.*s", HS_STR(pieces[left]), HS_STR(pieces[right])));
    CHECK_INT(count, MERGES);
    check_refused((struct tx_vocab){.kind = TX_TOKENIZER_BPE,
                                    .pre = hs_str_of("gpt-2"),
                                    .count = 256,
                                    .pieces = pieces,
                                    .merge_count = MERGES,
                                    .merges = merges},
                  "merges");
    hs_arena_free(&arena);
}

/* 1,100 special tokens of 4 KiB each that share nothing but their first bytes. */
TEST(special_tokens_without_end_are_refused)
{
    enum { COUNT = 1100, BYTES = 4096 };
    struct hs_arena arena = {0};
    static struct hs_str pieces[COUNT];
    static uint8_t types[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char *text = hs_arena_alloc(&arena, BYTES, 1);
        memset(text, 'a' + i % 26, BYTES);
        text[0] = (char)('a' + i / 26 % 26);
        text[1] = (char)('a' + i / 676);
        pieces[i] = (struct hs_str){text, BYTES};
        types[i] = TX_TOKEN_CONTROL;
    }
    check_refused(
        (struct tx_vocab){
            .kind = TX_TOKENIZER_SPM, .count = COUNT, .pieces = pieces, .types = types},
        "special tokens");
    hs_arena_free(&arena);
}

TEST_MAIN()
