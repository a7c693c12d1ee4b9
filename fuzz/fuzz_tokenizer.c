/*
 * Fuzz target: the first bytes choose a pre-tokenizer and build a small vocabulary with merges, the
 * rest is text. Any text must round-trip (all 256 bytes are tokens), and the streaming decoder must
 * give well-formed UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>

#include "text/byte_alphabet.h"
#include "text/pretokenizer.h"
#include "text/text_utf8.h"
#include "text/tokenizer.h"

enum { MERGES = 32, SPECIALS = 3, COUNT = 256 + MERGES + SPECIALS };

struct fuzz_vocab {
    struct tx_vocab vocab;
    struct hs_str pieces[COUNT], merges[MERGES];
    uint8_t types[COUNT];
    char bytes[256][4], merge_texts[MERGES][160], merged[MERGES][160];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Merge i joins the pieces that two fuzz bytes name, when the texts fit. */
static void add_merge(struct fuzz_vocab *made, int i, uint8_t left_id, uint8_t right_id)
{
    struct hs_str left = made->pieces[left_id < 128 ? left_id : 256 + (left_id - 128) % (i + 1)];
    struct hs_str right = made->pieces[right_id];
    if (left.size_bytes == 0 || left.size_bytes + right.size_bytes + 1 > sizeof made->merged[i]) {
        left = made->pieces['a'];
        right = made->pieces['b'];
    }
    size_t at = left.size_bytes, total = left.size_bytes + right.size_bytes;
    memcpy(made->merged[i], left.data, at);
    memcpy(made->merged[i] + at, right.data, right.size_bytes);
    memcpy(made->merge_texts[i], left.data, at);
    made->merge_texts[i][at] = ' ';
    memcpy(made->merge_texts[i] + at + 1, right.data, right.size_bytes);
    made->merges[i] = (struct hs_str){made->merge_texts[i], total + 1};
    /* every fourth merge gives a text that is no token */
    made->pieces[256 + i] = (struct hs_str){made->merged[i], i % 4 == 3 ? 0 : total};
}

static void make_vocab(struct fuzz_vocab *made, const uint8_t data[2 * MERGES])
{
    static const char *const specials[SPECIALS] = {"<|a|>", "<|a|>b", "  "};
    for (int byte = 0; byte < 256; byte++) {
        made->pieces[byte].size_bytes =
            (size_t)tx_byte_to_alphabet((uint8_t)byte, made->bytes[byte]);
        made->pieces[byte].data = made->bytes[byte];
        made->types[byte] = TX_TOKEN_NORMAL;
    }
    for (int i = 0; i < MERGES; i++) {
        made->types[256 + i] = TX_TOKEN_NORMAL;
        add_merge(made, i, data[2 * i], data[2 * i + 1]);
    }
    for (int i = 0; i < SPECIALS; i++) {
        made->pieces[256 + MERGES + i] = hs_str_of(specials[i]);
        made->types[256 + MERGES + i] = i == 2 ? TX_TOKEN_USER_DEFINED : TX_TOKEN_CONTROL;
    }
}

static void check_text(const struct tx_tokenizer *tokenizer, struct hs_str text, bool special)
{
    struct tx_ids ids = {0};
    struct hs_error error;
    struct hs_buffer out = {0}, streamed = {0};
    if (tx_encode(tokenizer, text, (struct tx_encode_options){false, special}, &error, &ids) !=
        HASTEN_OK)
        abort();
    tx_decode(tokenizer, ids.ids, ids.count, true, &out);
    if (out.size_bytes != text.size_bytes ||
        (text.size_bytes && memcmp(out.data, text.data, text.size_bytes)))
        abort();
    struct tx_stream stream = {0};
    for (int32_t i = 0; i < ids.count; i++) {
        tx_stream_push(&stream, tokenizer, ids.ids[i], true, &streamed);
        if (stream.tail_bytes > 3)
            abort();
    }
    tx_stream_flush(&stream, &streamed);
    struct hs_str seen = {streamed.data, streamed.size_bytes};
    if (tx_utf8_valid_prefix(seen) != seen.size_bytes)
        abort();
    if (tx_utf8_valid_prefix(text) == text.size_bytes && !hs_str_equal(seen, text))
        abort();
    tx_ids_free(&ids);
    hs_buffer_free(&out);
    hs_buffer_free(&streamed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_vocab made;
    if (size < 1 + 2 * MERGES)
        return 0;
    const char *names = tx_pretokenizer_rules[data[0] % tx_pretokenizer_rule_count].names;
    make_vocab(&made, data + 1);
    made.vocab = (struct tx_vocab){.pre = {names, strcspn(names, " ")},
                                   .count = COUNT,
                                   .pieces = made.pieces,
                                   .types = made.types,
                                   .merges = made.merges,
                                   .merge_count = MERGES,
                                   .bos = -1,
                                   .eos = -1,
                                   .eot = -1,
                                   .unknown = -1,
                                   .padding = -1};
    struct tx_tokenizer *tokenizer = NULL;
    struct hs_error error;
    if (tx_tokenizer_open(&made.vocab, &error, &tokenizer) != HASTEN_OK)
        abort();
    struct hs_str text = {(const char *)data + 1 + 2 * MERGES, size - 1 - 2 * MERGES};
    check_text(tokenizer, text, false);
    check_text(tokenizer, text, true);
    tx_tokenizer_close(&tokenizer);
    return 0;
}
