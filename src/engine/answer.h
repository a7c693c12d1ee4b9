/*
 * An answer in the making: from the logits of a sequence to tokens, text and figures. Shared by
 * en_generate (one sequence, the caller's thread) and the service (many, its own thread).
 *
 * Everything is allocated when it opens; sampling and handing out allocate nothing. One thread at a
 * time. For the files of this room only.
 */
#ifndef HASTEN_ENGINE_ANSWER_H
#define HASTEN_ENGINE_ANSWER_H

#include "engine/model_priv.h"
#include "observe/samples.h"

/* Tokens that penalties look at: the last `window` stand at the end of tokens[0..count). */
struct en_recent {
    int32_t *tokens; /* [2 * window] */
    int64_t window, count;
};

struct en_answer {
    const struct en_model *model;
    const struct en_generate_options *options;
    struct ob_samples gaps;
    struct tx_stream stream;
    struct tx_stops *stops;       /* NULL: none */
    struct hs_buffer text, shown; /* characters of the current token; what of them goes out */
    struct en_recent recent;
    struct tx_logprobs logprobs;
    bool is_stopped;                /* by a stop string */
    bool is_lost;                   /* there was no memory for some text */
    uint64_t start_ns, previous_ns; /* of the request, of the previous token (0: none yet) */
    struct en_generated result;
};

/* The options are borrowed for the answer's life, the prompt only here. start_ns: when the request
 * came. On failure nothing is held. */
HS_MUST_USE enum hasten_status en_answer_open(const struct en_model *model,
                                              const struct en_generate_options *options,
                                              const int32_t *prompt, int64_t prompt_count,
                                              uint64_t start_ns, struct hs_error *error,
                                              struct en_answer *answer_out);
void en_answer_close(struct en_answer *answer);

/* Samples the next token with anybody's sampler, which keeps nothing between calls; whoever calls
 * holds the logits, f32[vocab]. CORRUPT_INPUT when they hold NaN. */
HS_MUST_USE enum hasten_status en_answer_sample(struct en_answer *answer,
                                                struct tx_sampler *sampler, const float *logits,
                                                struct hs_error *error, int32_t *token_out);
/* Hands the sampled token on through the options' callbacks. room: positions the sequence has left.
 * False, with the finish reason set, when it is the last one. */
bool en_answer_accept(struct en_answer *answer, int32_t token, int64_t room);
/* Hands out what was held back and completes the result; call once, at the end. OUT_OF_MEMORY when
 * text was lost. */
HS_MUST_USE enum hasten_status en_answer_end(struct en_answer *answer, struct hs_error *error);

#endif
