/*
 * Fuzz target: the first bytes choose a kind and a pre-tokenizer and build a small vocabulary with
 * merges or scores, the rest is text. Any text must round-trip (all 256 bytes are tokens; U+2581 of
 * a SentencePiece vocabulary excepted), and the streaming decoder must give well-formed UTF-8.
 */
#include <stdint.h>
#include <stdio.h>
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
    float scores[COUNT];
    char bytes[256][8], merge_texts[MERGES][160], merged[MERGES][160];
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

static void add_specials(struct fuzz_vocab *made)
{
    static const char *const specials[SPECIALS] = {"<|a|>", "<|a|>b", "  "};
    for (int i = 0; i < SPECIALS; i++) {
        made->pieces[256 + MERGES + i] = hs_str_of(specials[i]);
        made->types[256 + MERGES + i] = i == 2 ? TX_TOKEN_USER_DEFINED : TX_TOKEN_CONTROL;
    }
}

static void make_vocab(struct fuzz_vocab *made, const uint8_t data[2 * MERGES])
{
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
    add_specials(made);
}

/* Bytes as <0xXX>, then pieces: some characters, and pairs of earlier pieces. */
static void make_spm_vocab(struct fuzz_vocab *made, const uint8_t data[2 * MERGES])
{
    static const char *const characters[] = {"\xe2\x96\x81", "a", "b", "<", ">", "\xc3\xa9"};
    enum { CHARACTERS = sizeof characters / sizeof characters[0] };
    for (int byte = 0; byte < 256; byte++) {
        snprintf(made->bytes[byte], sizeof made->bytes[byte], "<0x%02X>", (unsigned)byte);
        made->pieces[byte] = hs_str_of(made->bytes[byte]);
        made->types[byte] = TX_TOKEN_BYTE;
        made->scores[byte] = 0;
    }
    for (int i = 0; i < MERGES; i++) {
        struct hs_str left = made->pieces[256 + data[2 * i] % (i > 0 ? i : 1)];
        struct hs_str right = made->pieces[256 + data[2 * i + 1] % (i > 0 ? i : 1)];
        size_t total = left.size_bytes + right.size_bytes;
        made->types[256 + i] = TX_TOKEN_NORMAL;
        made->scores[256 + i] = (float)(data[2 * i] ^ data[2 * i + 1]) - 128.0f;
        if (i < CHARACTERS || total > sizeof made->merged[i]) {
            made->pieces[256 + i] = hs_str_of(characters[i % CHARACTERS]);
            continue;
        }
        memcpy(made->merged[i], left.data, left.size_bytes);
        memcpy(made->merged[i] + left.size_bytes, right.data, right.size_bytes);
        made->pieces[256 + i] = (struct hs_str){made->merged[i], total};
    }
    add_specials(made);
}

static void check_text(const struct tx_tokenizer *tokenizer, struct hs_str text, bool special)
{
    struct tx_ids ids = {0};
    struct hs_error error;
    struct hs_buffer out = {0}, streamed = {0};
    if (tx_encode(tokenizer, text, (struct tx_encode_options){false, special}, &error, &ids) !=
        HASTEN_OK)
        abort();
    const struct tx_vocab *vocab = tx_tokenizer_vocab(tokenizer);
    bool spm = vocab->kind == TX_TOKENIZER_SPM;
    bool comes_back = !spm || !memmem(text.data, text.size_bytes, "\xe2\x96\x81", 3);
    tx_decode(tokenizer, ids.ids, ids.count, true, &out);
    if (comes_back && (out.size_bytes != text.size_bytes ||
                       (text.size_bytes && memcmp(out.data, text.data, text.size_bytes))))
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
    comes_back &= !spm || !vocab->add_space_prefix; /* streams keep that space */
    if (comes_back && tx_utf8_valid_prefix(text) == text.size_bytes && !hs_str_equal(seen, text))
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
    bool spm = data[0] >= 128;
    const char *names = tx_pretokenizer_rules[data[0] % tx_pretokenizer_rule_count].names;
    if (spm)
        make_spm_vocab(&made, data + 1);
    else
        make_vocab(&made, data + 1);
    made.vocab = (struct tx_vocab){.kind = spm ? TX_TOKENIZER_SPM : TX_TOKENIZER_BPE,
                                   .pre = {names, strcspn(names, " ")},
                                   .count = COUNT,
                                   .pieces = made.pieces,
                                   .types = made.types,
                                   .scores = spm ? made.scores : NULL,
                                   .merges = made.merges,
                                   .merge_count = spm ? 0 : MERGES,
                                   .bos = -1,
                                   .eos = -1,
                                   .eot = -1,
                                   .unknown = -1,
                                   .padding = -1,
                                   .add_space_prefix = spm && (data[0] & 1)};
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
