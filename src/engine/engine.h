/*
 * Engine: opened models and what is done with them. No sockets, no printing.
 *
 * en_open takes a model file through the house: formats -> models -> passes -> plan -> constant
 * store -> KV cache -> run. en_step computes one step for any mix of sequences (prompt chunks and
 * single tokens). The result of a sequence depends on the model, its numerics recipe and its own
 * tokens only: same bits alone or in any batch, chunking, thread count or page order.
 *
 * Threads: several threads may use one model, each with sequences of its own; their steps take
 * turns. en_generate and en_read are made for that. The logits that en_step and en_feed point to
 * are gone with the next step of any thread: they, and what is built on them (perplexity,
 * benchmark), are for a model that one thread uses. Any thread or signal handler may call
 * en_cancel. Models with the same number of threads share one team.
 */
#ifndef HASTEN_ENGINE_ENGINE_H
#define HASTEN_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "base/cpu.h"
#include "base/team.h"
#include "models/model.h"
#include "observe/counters.h"
#include "plan/plan.h"
#include "runtime/run.h"
#include "text/chat_template.h"
#include "text/sampler.h"
#include "text/stop_strings.h"
#include "text/tokenizer.h"

struct en_options {
    enum tn_dtype kv_dtype;  /* TN_F16 (default), TN_F32, TN_BF16, TN_Q8_0 */
    int threads;             /* 0: all usable CPUs */
    int64_t context;         /* positions a sequence may have; 0: min(trained context, 4096) */
    int64_t cache_positions; /* positions over all sequences; 0: cache_contexts * context */
    int32_t cache_contexts;  /* 0: 1 */
    int32_t step_tokens;     /* bound of tokens per step (T); 0: 512 */
    int32_t wanted_rows;     /* bound of rows with logits per step (R); 0: 64 */
    int32_t sequences;       /* bound of sequences per step; 0: 16 */
    enum hs_cpu_class cpu_class_max; /* cap; HS_CPU_CLASS_COUNT: what the CPU has */
    const char *const *disabled_passes;
    int disabled_pass_count;
    /* Full pages of computed tokens stay and new requests of a service start on them. Costs nothing
     * but memory that would be free: they are given up when pages run out. */
    bool keep_prefixes;
    uint64_t page_shuffle_seed; /* tests: pages in random order */
    bool without_plan;          /* stop after building the canonical graph (inspect, ir) */
    struct md_options build;    /* kv_dtype is taken from above; planted faults for tests */
};
/* Defaults as noted above. */
struct en_options en_options_default(void);

struct en_model;

/* Opens a model file. Errors as of each stage, place = path. Caller owns: en_close. */
HS_MUST_USE enum hasten_status en_open(const char *path, const struct en_options *options,
                                       struct hs_error *error, struct en_model **model_out);
void en_close(struct en_model **model);

/* Parts of an opened model; borrowed, live as long as it. */
const struct md_facts *en_facts(const struct en_model *model);
const struct gguf_file *en_file(const struct en_model *model);
const struct tx_tokenizer *en_tokenizer(const struct en_model *model); /* NULL: none that we can */
/* Why there is no tokenizer: NOT_FOUND (the file has none) or UNSUPPORTED; OK when there is one.
 * The model runs on token ids all the same. */
const struct hs_error *en_tokenizer_error(const struct en_model *model);
const struct tx_template *en_chat_template(const struct en_model *model); /* NULL: none */
struct hs_str en_chat_template_source(const struct en_model *model);
/* Why a template that the file has could not be read (status OK: no such problem). */
const struct hs_error *en_chat_template_error(const struct en_model *model);
const struct ir_graph *en_canonical(const struct en_model *model);
const struct ir_graph *en_lowered(const struct en_model *model);
const struct pl_plan *en_plan(const struct en_model *model);
struct rt_cache *en_cache(struct en_model *model);
struct rt_run *en_run(struct en_model *model);
int64_t en_context(const struct en_model *model);
int64_t en_hidden_size(const struct en_model *model); /* of a hidden state; 0: gives none */
int en_threads(const struct en_model *model);
/* Short text that names everything bits depend on besides model and tokens:
 * "avx512vnni-a8.32-kv.f16". */
const char *en_recipe(const struct en_model *model);
/* Counts since the model was opened; read with ob_counter_get from any thread. */
const struct ob_counters *en_counters(const struct en_model *model);

/* Ids of a prompt (appended): special tokens written in the text count; the begin token comes once,
 * where the model wants one, whether the text (of a template) begins with it or not; no end token,
 * which would end the text before the answer. Fails with the reason when there is no tokenizer. */
HS_MUST_USE enum hasten_status en_prompt_ids(const struct en_model *model, struct hs_str text,
                                             struct hs_error *error, struct tx_ids *ids);
/* The same for a text that is complete, to be embedded: with the end token, too, where the model
 * wants one. */
HS_MUST_USE enum hasten_status en_text_ids(const struct en_model *model, struct hs_str text,
                                           struct hs_error *error, struct tx_ids *ids);
/* Appends the conversation as the model's template writes it, up to where the next answer begins;
 * templates see the local time. Fails with the reason when there is no usable template. */
HS_MUST_USE enum hasten_status en_chat_render(const struct en_model *model,
                                              const struct tx_message *messages, int32_t count,
                                              struct hs_error *error, struct hs_buffer *text);

/* A sequence of this model; at most en_context positions. */
HS_MUST_USE enum hasten_status en_sequence_open(struct en_model *model, struct hs_error *error,
                                                struct rt_sequence **sequence_out);

/* Gives its pages back; for models that several threads use (else rt_sequence_close will do). */
void en_sequence_close(struct en_model *model, struct rt_sequence **sequence);
/* rt_sequence_rewind, while other threads may use the model. */
HS_MUST_USE enum hasten_status en_sequence_rewind(struct en_model *model,
                                                  struct rt_sequence *sequence, int64_t length,
                                                  struct hs_error *error);

/* Makes a sequence hold no more than the beginning that it shares with tokens, so that only the
 * rest must be computed; at least the last of tokens is left to feed. Goes back to 0 where a
 * sliding window cannot go back so far. *kept_out: positions that are left. */
struct en_prefix {
    struct rt_sequence *sequence;
    const int32_t *held; /* [held_count] tokens that it holds, at least as many as its length */
    int64_t held_count;
    const int32_t *tokens; /* [count] all that it shall hold */
    int64_t count;
};
HS_MUST_USE enum hasten_status en_keep_prefix(struct en_model *model,
                                              const struct en_prefix *prefix,
                                              struct hs_error *error, int64_t *kept_out);

struct en_item { /* one sequence's share of a step */
    struct rt_sequence *sequence;
    const int32_t *tokens; /* [count] next tokens */
    int32_t count;
    enum rt_wanted wanted;
};
/* One step. *logits_out: f32[wanted rows in order][vocab], valid until the next step. On failure no
 * sequence has advanced. INVALID_ARGUMENT for token ids outside the vocabulary. */
HS_MUST_USE enum hasten_status en_step(struct en_model *model, const struct en_item *items,
                                       int count, struct hs_error *error, const float **logits_out);
/* Feeds `count` tokens in chunks of at most `chunk` (0: the step bound); logits of the last token
 * (NULL when count is 0). */
HS_MUST_USE enum hasten_status en_feed(struct en_model *model, struct rt_sequence *sequence,
                                       const int32_t *tokens, int64_t count, int32_t chunk,
                                       struct hs_error *error, const float **logits_out);
/* The same with a copy of the last token's logits, f32[vocab] (NULL: not wanted), made before any
 * other thread's step. CANCELLED soon after *cancel (NULL: none) becomes true. */
HS_MUST_USE enum hasten_status en_read(struct en_model *model, struct rt_sequence *sequence,
                                       const int32_t *tokens, int64_t count,
                                       const atomic_bool *cancel, struct hs_error *error,
                                       float *logits_out);
/* Stops all running steps and generations (CANCELLED / finish reason "cancel") soon. */
void en_cancel(struct en_model *model);

/* Generation. */
enum en_finish { EN_FINISH_STOP, EN_FINISH_LENGTH, EN_FINISH_CANCEL };
const char *en_finish_name(enum en_finish finish); /* "stop", "length", "cancel" */

struct en_generate_options {
    struct tx_sampling sampling;
    int64_t max_tokens; /* -1: until the context is full */
    bool ignore_end;    /* go on after end tokens (benchmarks) */
    /* Texts that end the answer (finish reason "stop") and are not handed out; see stop_strings.h.
     * Text that could be the beginning of one is held back. */
    const struct hs_str *stop; /* [stop_count] */
    int stop_count;
    /* Tokens that the sequence holds already, for the penalties' window; NULL: none. */
    const int32_t *history; /* [history_count] */
    int64_t history_count;
    /* Whole characters as they come; return false to stop (finish reason "cancel"). NULL: none. */
    bool (*on_text)(void *context, const char *text, size_t size_bytes);
    /* Each token id, end tokens included; NULL: none. */
    void (*on_token)(void *context, int32_t id);
    /* Before on_token, log probabilities of the token and of the logprobs_top likeliest (at most
     * TX_LOGPROBS_MAX); NULL: none. */
    void (*on_logprobs)(void *context, const struct tx_logprobs *logprobs);
    int32_t logprobs_top;
    void *context;
    /* Once true, this generation ends soon, also in the middle of a step, with finish reason
     * "cancel"; others go on. Any thread may set it. NULL: none. */
    const atomic_bool *cancel;
};

struct en_generated {
    enum en_finish finish;
    int64_t prompt_tokens, completion_tokens; /* the end token is not counted */
    uint64_t prompt_ns;                       /* prompt processing */
    uint64_t first_token_ns;                  /* from the call to the first token sampled */
    uint64_t decode_ns;                       /* from the first token on */
    uint64_t gap_p50_ns, gap_p99_ns; /* between tokens, nearest rank; 0 with fewer than 2 tokens */
};

/* Feeds prompt (at least one token) and samples until an end token, a stop string, max_tokens, the
 * end of the context or a cancel. The sequence keeps everything but the last sampled token, so a
 * chat goes on by feeding what follows. Steady state allocates nothing. Callbacks run on the
 * calling thread while other threads may step; they must not use this sequence. */
HS_MUST_USE enum hasten_status en_generate(struct en_model *model, struct rt_sequence *sequence,
                                           const int32_t *prompt, int64_t prompt_count,
                                           const struct en_generate_options *options,
                                           struct hs_error *error, struct en_generated *result_out);

/* Perplexity as docs/QUALITY.md defines it. */
struct en_perplexity_options {
    int64_t window;      /* --ctx, default 512 */
    int64_t windows_max; /* 0: all */
    /* Every scored row in order: target token and logits; NULL: none. A status other than OK ends
     * the evaluation. */
    enum hasten_status (*on_row)(void *context, int32_t target, const float *logits, int64_t vocab);
    /* After each window, for progress; NULL: none. */
    void (*on_window)(void *context, int64_t done, int64_t total, double perplexity);
    void *context;
};
struct en_perplexity {
    double perplexity, standard_error;
    int64_t scored_tokens, windows;
};
HS_MUST_USE enum hasten_status en_perplexity(struct en_model *model, struct hs_str text,
                                             const struct en_perplexity_options *options,
                                             struct hs_error *error,
                                             struct en_perplexity *result_out);

/* Writes the F32 form of a model file: every tensor dequantized, metadata copied. The file appears
 * under path_out only when complete; CANCELLED soon after *cancel (NULL: none) becomes true. */
HS_MUST_USE enum hasten_status en_convert_f32(const char *path_in, const char *path_out,
                                              const atomic_bool *cancel, struct hs_error *error);

#endif
