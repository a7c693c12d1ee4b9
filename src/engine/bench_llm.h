/*
 * Speed of a language model: tokens per second of prompts and of decoding, as llama-bench measures
 * them. Random token ids, logits of the last token only, no sampling; one run to warm up, then the
 * timed ones. The sequence is rewound between runs, not refilled.
 */
#ifndef HASTEN_ENGINE_BENCH_LLM_H
#define HASTEN_ENGINE_BENCH_LLM_H

#include "engine/engine.h"

struct en_bench {
    int64_t tokens;      /* per run, >= 1 */
    int64_t depth;       /* tokens in the sequence before each run */
    bool is_decode;      /* token by token with logits each; else a prompt, logits of its end */
    int32_t batch;       /* prompt tokens per step, >= 1 */
    int32_t repetitions; /* timed runs, >= 1 */
    uint64_t seed;
};

struct en_bench_rate { /* tokens per second */
    double min, median, max;
};

/* The model's context must hold depth + tokens. CANCELLED after en_cancel. */
HS_MUST_USE enum hasten_status en_bench_run(struct en_model *model, const struct en_bench *bench,
                                            struct hs_error *error, struct en_bench_rate *rate_out);

#endif
