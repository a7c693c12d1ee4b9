/*
 * Vocabulary: plain arrays that models/ fills from a model file. Text never sees a file or a graph.
 */
#ifndef HASTEN_TEXT_VOCAB_H
#define HASTEN_TEXT_VOCAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"

/* Token types as GGUF numbers them (tokenizer.ggml.token_type). */
enum tx_token_type {
    TX_TOKEN_NORMAL = 1,
    TX_TOKEN_UNKNOWN = 2,
    TX_TOKEN_CONTROL = 3,
    TX_TOKEN_USER_DEFINED = 4,
    TX_TOKEN_UNUSED = 5,
    TX_TOKEN_BYTE = 6
};

enum tx_tokenizer_kind { TX_TOKENIZER_BPE, TX_TOKENIZER_SPM };

/* What a model file says about its tokenizer. All views stay valid while the vocabulary lives:
 * tx_tokenizer_open copies nothing but what it indexes. */
struct tx_vocab {
    enum tx_tokenizer_kind kind;
    struct hs_str pre;                       /* pre-tokenizer name: "smollm", "gpt-2", ... (BPE) */
    int32_t count;                           /* tokens */
    const struct hs_str *pieces;             /* [count] as stored (GPT-2 byte alphabet for BPE) */
    const uint8_t *types;                    /* [count] enum tx_token_type; NULL: all normal */
    const float *scores;                     /* [count] or NULL (SPM) */
    int32_t merge_count;                     /* BPE */
    const struct hs_str *merges;             /* [merge_count] "left right", best first */
    int32_t bos, eos, eot, unknown, padding; /* -1: none */
    bool add_bos, add_eos;                   /* add_special asks for them */
    bool add_space_prefix;                   /* SPM: plain text begins with a space */
    bool strip_after_special; /* white space behind a special token is dropped (Phi-3) */
};

#endif
