/*
 * Sampling: how a token is chosen from logits.
 *
 * Greedy by default. Otherwise, in this order: logit bias and penalties, top-k, typical, top-p,
 * min-p, temperature, then one draw. The random number depends on the seed and on how many tokens
 * the generation gave before, on nothing else: same seed, same tokens. Ties go to the lower id.
 * Sources: top-k Fan et al. 2018, nucleus (top-p) Holtzman et al. 2020, typical Meister et al.
 * 2022, min-p Nguyen et al. 2024, repetition penalty Keskar et al. 2019.
 */
#ifndef HASTEN_SAMPLING_H
#define HASTEN_SAMPLING_H

#include <hasten/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hasten_logit_bias {
    int32_t id;  /* outside the vocabulary: ignored */
    double bias; /* added to the logit; -INFINITY forbids the token */
};

struct hasten_sampling {
    size_t size;        /* bytes of this struct; set by hasten_sampling_init */
    uint64_t seed;      /* default 0 */
    double temperature; /* 0 .. 100; 0 (default): greedy */
    int64_t top_k;      /* the likeliest so many; 0 (default): off */
    double top_p;       /* 0 .. 1; 1 (default): off */
    double min_p;       /* 0 .. 1; 0 (default): off */
    double typical_p;   /* 0 .. 1; 1 (default): off */
    int64_t last_n;     /* tokens that penalties look back on; -1: all, default 64 */
    double
        repetition_penalty; /* logits of seen tokens / (positive) or * (negative) this; default 1 */
    double presence_penalty;  /* taken from logits of seen tokens; default 0 */
    double frequency_penalty; /* the same for each time a token was seen; default 0 */
    const struct hasten_logit_bias *logit_bias; /* [logit_bias_count], borrowed during the call */
    int32_t logit_bias_count;                   /* at most 1024 */
};

/* Fills in the defaults above. Called through hasten_sampling_init, which knows the size. */
HASTEN_API void hasten_sampling_fill(struct hasten_sampling *sampling, size_t size);
static inline void hasten_sampling_init(struct hasten_sampling *sampling)
{
    hasten_sampling_fill(sampling, sizeof *sampling);
}

#ifdef __cplusplus
}
#endif
#endif
