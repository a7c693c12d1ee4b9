/*
 * Sequences: tokens that a model has read, and what comes next.
 *
 * A sequence holds the state (KV cache) of the tokens it was given. Its results depend on the
 * model, its recipe and its own tokens only: the same bits alone or beside others, with any number
 * of threads, however the tokens were cut into calls.
 *
 * Threads: a sequence belongs to one thread at a time; hasten_sequence_cancel may be called by any
 * thread or signal handler meanwhile. Different sequences may be used by different threads at once,
 * also of one model: their steps take turns. Callbacks run on the calling thread between steps,
 * while other threads compute; they may use other sequences and models, not their own sequence.
 */
#ifndef HASTEN_SEQUENCE_H
#define HASTEN_SEQUENCE_H

#include <hasten/model.h>
#include <hasten/sampling.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hasten_sequence;

/* Opens an empty sequence of at most the model's context. Errors: OUT_OF_MEMORY. *sequence_out is
 * the caller's: hasten_sequence_close. The model stays alive while it has sequences. */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_sequence_open(
    struct hasten_model *model, struct hasten_error *error, struct hasten_sequence **sequence_out);
/* Closes a sequence and sets *sequence to NULL; NULL inside is allowed. No call may run on it. */
HASTEN_API void hasten_sequence_close(struct hasten_sequence **sequence);

/* Tokens that the sequence holds. */
HASTEN_API int64_t hasten_sequence_length(const struct hasten_sequence *sequence);

/* Forgets all tokens from `length` on. INVALID_ARGUMENT when it holds fewer; LIMIT when a sliding
 * window cannot go back so far (rewinding to 0 always works). Nothing is changed then. */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_sequence_rewind(
    struct hasten_sequence *sequence, int64_t length, struct hasten_error *error);

/*
 * Reads tokens[0..count), count >= 1. logits_out: f32[vocab] of the last token, filled on success;
 * NULL: not wanted. Errors: INVALID_ARGUMENT (ids outside the vocabulary), LIMIT (the context is
 * full), AGAIN (the cache of all sequences is full: close one, or open the model with more
 * cache_positions), CANCELLED. After an error the sequence holds the tokens of the steps (of at
 * most 512 tokens) that were finished before: hasten_sequence_length tells.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_sequence_feed(struct hasten_sequence *sequence,
                                                                   const int32_t *tokens,
                                                                   size_t count,
                                                                   struct hasten_error *error,
                                                                   float *logits_out);

/* Why a generation ended. */
enum hasten_finish {
    HASTEN_FINISH_STOP = 0,   /* an end token, or one of the stop texts */
    HASTEN_FINISH_LENGTH = 1, /* max_tokens, or the context is full */
    HASTEN_FINISH_CANCEL = 2  /* hasten_sequence_cancel, or on_text returned false */
};

struct hasten_generate_options {
    size_t size;        /* bytes of this struct; set by hasten_generate_options_init */
    int64_t max_tokens; /* -1 (default): until an end token or the context is full */
    const struct hasten_sampling *sampling; /* NULL (default): greedy */
    /* Texts that end the answer and are not handed out; text that could begin one is held back. */
    const char *const *stop; /* [stop_count], borrowed during the call */
    int32_t stop_count;      /* default 0 */
    bool ignore_end;         /* go on after end tokens */
    /* The prompt is all that the sequence shall hold, not what comes after it: the sequence keeps
     * the beginning that it has already and computes the rest only. For conversations, which are
     * rendered as a whole each turn. */
    bool whole_prompt;
    /* Whole UTF-8 characters as they come, not ended by a 0 byte; return false to stop. NULL: none.
     * Needs a tokenizer: nothing is called without one. */
    bool (*on_text)(void *context, const char *text, size_t size_bytes);
    /* Each token, end tokens included; before its text. NULL: none. */
    void (*on_token)(void *context, int32_t token);
    void *context; /* handed to both */
};

/* Fills in the defaults above. Called through hasten_generate_options_init, which knows the size.
 */
HASTEN_API void hasten_generate_options_fill(struct hasten_generate_options *options, size_t size);
static inline void hasten_generate_options_init(struct hasten_generate_options *options)
{
    hasten_generate_options_fill(options, sizeof *options);
}

struct hasten_result {
    size_t size; /* bytes of this struct; set by hasten_result_init */
    enum hasten_finish finish;
    int64_t prompt_tokens;           /* in the call */
    int64_t reused_tokens;           /* of them, held already (whole_prompt) */
    int64_t completion_tokens;       /* generated; an end token is not counted */
    uint64_t prompt_ns;              /* nanoseconds of reading the prompt */
    uint64_t first_token_ns;         /* from the call to the first token */
    uint64_t decode_ns;              /* from the first token to the last */
    uint64_t gap_p50_ns, gap_p99_ns; /* between tokens, nearest rank; 0 with fewer than 2 tokens */
};
static inline void hasten_result_init(struct hasten_result *result)
{
    result->size = sizeof *result;
}

/*
 * Reads tokens[0..count), count >= 1, then generates until an end token, a stop text, max_tokens,
 * the end of the context or a cancel (that is HASTEN_OK with finish CANCEL). options: NULL for the
 * defaults; result: NULL when not wanted. Afterwards the sequence holds everything but the last
 * generated token. Errors as of hasten_sequence_feed; INVALID_ARGUMENT also for sampling out of
 * range; CORRUPT_INPUT when the logits hold NaN. Nothing is allocated between the first token and
 * the last.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_sequence_generate(
    struct hasten_sequence *sequence, const int32_t *tokens, size_t count,
    const struct hasten_generate_options *options, struct hasten_error *error,
    struct hasten_result *result);

/* Ends the call that runs on the sequence soon, also in the middle of a step; other sequences are
 * not disturbed. Without a running call nothing happens: a call that begins later is not affected.
 * Any thread, any signal handler; the sequence must not be closed meanwhile. */
HASTEN_API void hasten_sequence_cancel(struct hasten_sequence *sequence);

#ifdef __cplusplus
}
#endif
#endif
