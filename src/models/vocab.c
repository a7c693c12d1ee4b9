/*
 * Vocabulary: tokenizer.ggml.* -> struct tx_vocab. Texts stay views into the file; types and
 * scores are converted into the caller's arena. Defaults where a key is missing are those that
 * files are written against (llama.cpp's loader): byte-level BPE adds no BOS except under a few
 * pre-tokenizers, SentencePiece adds BOS and a leading space.
 */
#include <strings.h>

#include "models/facts.h"
#include "models/model.h"

#define MAX_TOKENS (1 << 22)
#define MAX_MERGES (1 << 24)

/* Pre-tokenizers under which BPE adds a BOS unless the file says otherwise. */
static const char *const bos_pre_tokenizers[] = {"llama3",    "llama-v3", "llama-bpe", "falcon3",
                                                 "falcon-h1", "pixtral",  "tekken",    "chameleon"};
/* Names of end-of-turn tokens, best first, for files without eot_token_id. */
static const char *const eot_names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static enum hasten_status read_kind(const struct gguf_file *file, struct hs_error *error,
                                    struct tx_vocab *vocab)
{
    struct hs_str model = {0};
    if (!gguf_get_text(file, "tokenizer.ggml.model", &model))
        return md_fail(file, error, HASTEN_NOT_FOUND, NULL, "the file has no tokenizer");
    if (hs_str_is(model, "none") || hs_str_is(model, "no_vocab"))
        return md_fail(file, error, HASTEN_NOT_FOUND, NULL, "the file has no tokenizer");
    if (hs_str_is(model, "gpt2"))
        vocab->kind = TX_TOKENIZER_BPE;
    else if (hs_str_is(model, "llama"))
        vocab->kind = TX_TOKENIZER_SPM;
    else
        return md_fail(file, error, HASTEN_UNSUPPORTED, "known tokenizers: gpt2 llama",
                       "unknown tokenizer '%.*s'",
                       model.size_bytes > 64 ? 64 : (int)model.size_bytes, model.data);
    return HASTEN_OK;
}

static enum hasten_status read_texts(const struct gguf_file *file, const char *key, uint64_t limit,
                                     struct hs_error *error, const struct gguf_entry **entry_out)
{
    const struct gguf_entry *entry = gguf_find(file, key);
    if (!entry || entry->type != GGUF_ARRAY || entry->element != GGUF_STRING)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "metadata '%s' is missing or not an array of texts", key);
    if (entry->count > limit)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "metadata '%s' has %llu entries, expected at most %llu", key,
                       (unsigned long long)entry->count, (unsigned long long)limit);
    *entry_out = entry;
    return HASTEN_OK;
}

static enum hasten_status read_tokens(const struct gguf_file *file, struct hs_error *error,
                                      struct tx_vocab *vocab)
{
    const struct gguf_entry *entry = NULL;
    HS_TRY(read_texts(file, "tokenizer.ggml.tokens", MAX_TOKENS, error, &entry));
    const struct gguf_tensor *table = gguf_find_tensor(file, "token_embd.weight");
    if (entry->count == 0 || (table && (int64_t)entry->count > table->shape[1]))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "the tokenizer has %llu tokens, the embedding table %lld rows",
                       (unsigned long long)entry->count, table ? (long long)table->shape[1] : 0LL);
    vocab->count = (int32_t)entry->count;
    vocab->pieces = entry->texts;
    return HASTEN_OK;
}

static enum hasten_status read_merges(const struct gguf_file *file, struct hs_error *error,
                                      struct tx_vocab *vocab)
{
    const struct gguf_entry *entry = NULL;
    if (vocab->kind != TX_TOKENIZER_BPE)
        return HASTEN_OK;
    HS_TRY(read_texts(file, "tokenizer.ggml.merges", MAX_MERGES, error, &entry));
    vocab->merge_count = (int32_t)entry->count;
    vocab->merges = entry->texts;
    return HASTEN_OK;
}

/* An array with one number a token, or NULL when the file has none. */
static enum hasten_status find_per_token(const struct gguf_file *file, const char *key,
                                         int32_t count, struct hs_error *error,
                                         const struct gguf_entry **entry_out)
{
    const struct gguf_entry *entry = gguf_find(file, key);
    double number = 0;
    *entry_out = entry;
    if (!entry)
        return HASTEN_OK;
    if (entry->type != GGUF_ARRAY || entry->count != (uint64_t)count ||
        !gguf_array_f64(entry, 0, &number))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "metadata '%s' is not an array of %d numbers", key, count);
    return HASTEN_OK;
}

static enum hasten_status read_types(const struct gguf_file *file, struct hs_arena *arena,
                                     struct hs_error *error, struct tx_vocab *vocab)
{
    const struct gguf_entry *entry = NULL;
    HS_TRY(find_per_token(file, "tokenizer.ggml.token_type", vocab->count, error, &entry));
    if (!entry)
        return HASTEN_OK;
    uint8_t *types = hs_arena_alloc(arena, (size_t)vocab->count, 1);
    if (!types)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for %d tokens", vocab->count);
    for (int32_t i = 0; i < vocab->count; i++) {
        int64_t type = 0;
        gguf_array_i64(entry, (uint64_t)i, &type);
        /* 0 = undefined: taken as normal, as every loader does */
        if (type < 0 || type > TX_TOKEN_BYTE)
            return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL, "token %d has type %lld", i,
                           (long long)type);
        types[i] = type ? (uint8_t)type : TX_TOKEN_NORMAL;
    }
    vocab->types = types;
    return HASTEN_OK;
}

static enum hasten_status read_scores(const struct gguf_file *file, struct hs_arena *arena,
                                      struct hs_error *error, struct tx_vocab *vocab)
{
    const struct gguf_entry *entry = NULL;
    HS_TRY(find_per_token(file, "tokenizer.ggml.scores", vocab->count, error, &entry));
    if (!entry)
        return HASTEN_OK;
    float *scores = hs_arena_alloc(arena, (size_t)vocab->count, sizeof *scores);
    if (!scores)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for %d tokens", vocab->count);
    for (int32_t i = 0; i < vocab->count; i++) {
        double score = 0;
        gguf_array_f64(entry, (uint64_t)i, &score);
        scores[i] = (float)score;
    }
    vocab->scores = scores;
    return HASTEN_OK;
}

/* A token id; -1 when the key is there but negative; the fallback, if the vocabulary has it, when
 * the key is absent or its id is beyond the vocabulary. */
static int32_t read_id(const struct gguf_file *file, const char *key, int32_t fallback,
                       int32_t count)
{
    uint64_t id = 0;
    bool natural = gguf_get_u64(file, key, &id);
    if (natural && id < (uint64_t)count)
        return (int32_t)id;
    if (!natural && gguf_find(file, key))
        return -1;
    return fallback < count ? fallback : -1;
}

static int32_t find_eot(const struct tx_vocab *vocab)
{
    size_t best = COUNT_OF(eot_names);
    int32_t eot = -1;
    for (int32_t i = 0; i < vocab->count; i++)
        for (size_t n = 0; n < best; n++)
            if (hs_str_is(vocab->pieces[i], eot_names[n])) {
                best = n;
                eot = i;
            }
    return eot;
}

static void read_ids(const struct gguf_file *file, struct tx_vocab *vocab)
{
    bool spm = vocab->kind == TX_TOKENIZER_SPM;
    int32_t count = vocab->count;
    vocab->bos = read_id(file, "tokenizer.ggml.bos_token_id", spm ? 1 : 11, count);
    vocab->eos = read_id(file, "tokenizer.ggml.eos_token_id", spm ? 2 : 11, count);
    vocab->unknown = read_id(file, "tokenizer.ggml.unknown_token_id", spm ? 0 : -1, count);
    vocab->padding = read_id(file, "tokenizer.ggml.padding_token_id", -1, count);
    vocab->eot = read_id(file, "tokenizer.ggml.eot_token_id", -1, count);
    if (vocab->eot < 0)
        vocab->eot = find_eot(vocab);
}

static void read_flags(const struct gguf_file *file, struct tx_vocab *vocab)
{
    bool spm = vocab->kind == TX_TOKENIZER_SPM;
    vocab->add_bos = spm;
    vocab->add_eos = false;
    vocab->add_space_prefix = spm;
    for (size_t i = 0; i < COUNT_OF(bos_pre_tokenizers) && !spm; i++)
        vocab->add_bos |= hs_str_is(vocab->pre, bos_pre_tokenizers[i]);
    gguf_get_bool(file, "tokenizer.ggml.add_bos_token", &vocab->add_bos);
    gguf_get_bool(file, "tokenizer.ggml.add_eos_token", &vocab->add_eos);
    gguf_get_bool(file, "tokenizer.ggml.add_space_prefix", &vocab->add_space_prefix);
    vocab->add_bos &= vocab->bos >= 0;
    vocab->add_eos &= vocab->eos >= 0;
}

/* Whether name holds part, which is in lower case. */
static bool contains(struct hs_str name, const char *part)
{
    size_t length = strlen(part);
    for (size_t at = 0; at + length <= name.size_bytes; at++)
        if (strncasecmp(name.data + at, part, length) == 0)
            return true;
    return false;
}

/* Phi-3's special tokens swallow the white space behind them; files do not say so, so engines go
 * by the model's name. */
static bool strips_after_special(const struct gguf_file *file)
{
    struct hs_str name = {0};
    return gguf_get_text(file, "general.name", &name) &&
           (contains(name, "phi-3") || contains(name, "phi3"));
}

enum hasten_status md_vocab_read(const struct gguf_file *file, struct hs_arena *arena,
                                 struct hs_error *error, struct tx_vocab *vocab_out)
{
    struct tx_vocab vocab = {.pre = {"default", 7}};
    HS_TRY(read_kind(file, error, &vocab));
    gguf_get_text(file, "tokenizer.ggml.pre", &vocab.pre);
    HS_TRY(read_tokens(file, error, &vocab));
    HS_TRY(read_merges(file, error, &vocab));
    HS_TRY(read_types(file, arena, error, &vocab));
    HS_TRY(read_scores(file, arena, error, &vocab));
    read_ids(file, &vocab);
    read_flags(file, &vocab);
    vocab.strip_after_special = strips_after_special(file);
    *vocab_out = vocab;
    return HASTEN_OK;
}
