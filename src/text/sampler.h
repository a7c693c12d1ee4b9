/*
 * Sampling: logits to one token. Greedy by default; otherwise top-k, top-p, min-p and temperature
 * in that order, then one draw. The random number is f(seed, output index), so batch, threads and
 * recompute never change a sample. Ties are broken by the lower id.
 */
#ifndef HASTEN_TEXT_SAMPLER_H
#define HASTEN_TEXT_SAMPLER_H

#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct tx_sampling {
    double temperature; /* 0: greedy */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
    uint64_t seed;
};

/* Greedy, everything else off, seed 0. */
struct tx_sampling tx_sampling_default(void);

struct tx_sampler; /* work memory for one vocabulary size; one thread at a time */
HS_MUST_USE enum hasten_status tx_sampler_open(int32_t vocab_size, struct hs_error *error,
                                               struct tx_sampler **sampler_out);
void tx_sampler_close(struct tx_sampler **sampler);

/* Chooses a token from logits f32[vocab_size] (not changed). NaN counts as -inf; all NaN or -inf is
 * an INTERNAL error ("logits are all NaN"). output_index: how many tokens this sequence has got
 * before. Allocates nothing. */
HS_MUST_USE enum hasten_status tx_sample(struct tx_sampler *sampler, const float *logits,
                                         const struct tx_sampling *sampling, uint64_t output_index,
                                         struct hs_error *error, int32_t *token_out);

#endif
