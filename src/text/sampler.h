/*
 * Sampling: logits to one token. Greedy by default. Otherwise, in this order: logit bias and
 * penalties, top-k, typical, top-p, min-p, temperature, then one draw. The random number is
 * f(seed, output index), so batch, threads and recompute never change a sample. Ties are broken by
 * the lower id.
 */
#ifndef HASTEN_TEXT_SAMPLER_H
#define HASTEN_TEXT_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { TX_LOGIT_BIASES_MAX = 1024, TX_LOGPROBS_MAX = 64, TX_LAST_N_DEFAULT = 64 };

struct tx_logit_bias {
    int32_t id;  /* outside the vocabulary: ignored */
    double bias; /* added to the logit; -INFINITY forbids the token */
};

struct tx_sampling {
    double temperature; /* 0: greedy */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
    uint64_t seed;
    double typical_p; /* 0 or 1: off */
    /* Penalties look at the last last_n tokens of prompt and output (0: off, -1: all). */
    int64_t last_n;
    double repetition_penalty; /* logits of seen tokens: / (positive) or * (negative); 0, 1: off */
    double presence_penalty;   /* taken from the logits of tokens that were seen */
    double frequency_penalty;  /* taken once for each time a token was seen */
    const struct tx_logit_bias *logit_bias; /* [logit_bias_count], at most TX_LOGIT_BIASES_MAX */
    int32_t logit_bias_count;
};

/* Greedy, everything else off, last_n TX_LAST_N_DEFAULT, seed 0. */
struct tx_sampling tx_sampling_default(void);
/* INVALID_ARGUMENT when a setting is out of range. */
HS_MUST_USE enum hasten_status tx_sampling_check(const struct tx_sampling *sampling,
                                                 struct hs_error *error);

/* Whether it reads `recent`. */
bool tx_sampling_looks_back(const struct tx_sampling *sampling);

/* Work memory for one vocabulary size, 32 bytes a token; keeps nothing between samples. One thread
 * at a time. */
struct tx_sampler;
HS_MUST_USE enum hasten_status tx_sampler_open(int32_t vocab_size, struct hs_error *error,
                                               struct tx_sampler **sampler_out);
void tx_sampler_close(struct tx_sampler **sampler);

/* What a sample depends on besides the settings. */
struct tx_sample_input {
    const float *logits;   /* f32[vocab_size], not changed */
    uint64_t output_index; /* how many tokens this sequence has got before */
    const int32_t
        *recent; /* [recent_count] tokens of prompt and output, the latest last: at least */
    int64_t recent_count; /* the last last_n, or all there are; only read for penalties */
};

/* Chooses a token. NaN counts as -inf; all NaN or -inf is an INTERNAL error ("logits are all NaN"),
 * a bias that leaves no token is INVALID_ARGUMENT. Allocates nothing. */
HS_MUST_USE enum hasten_status tx_sample(struct tx_sampler *sampler,
                                         const struct tx_sampling *sampling,
                                         const struct tx_sample_input *input,
                                         struct hs_error *error, int32_t *token_out);

/* Log probabilities after the softmax of the raw logits (no bias, penalty or temperature). */
struct tx_logprob {
    int32_t id;
    double logprob; /* natural logarithm; -INFINITY for a NaN logit */
};
struct tx_logprobs {
    struct tx_logprob chosen;
    struct tx_logprob top[TX_LOGPROBS_MAX]; /* likeliest first, ties by the lower id */
    int32_t top_count;
};
/* Log probabilities of token `id` and of the `top` likeliest (cut to TX_LOGPROBS_MAX and the size
 * of the vocabulary). Allocates nothing. */
void tx_logprobs_of(const float *logits, int32_t vocab_size, int32_t id, int32_t top,
                    struct tx_logprobs *logprobs_out);

#endif
