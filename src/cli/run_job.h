/* What the files of the run command share: the opened job, its options, its reports. */
#ifndef HASTEN_CLI_RUN_JOB_H
#define HASTEN_CLI_RUN_JOB_H

#include "cli/chat_session.h"
#include "cli/cli.h"

struct run_options {
    struct cli_model_options model;
    const char *prompt, *system;
    bool raw, ignore_eos, stats, profile, json;
    int64_t max_tokens, top_k, seed, repeat_last_n;
    int64_t logprobs; /* -1: none */
    double temperature, top_p, min_p, typical_p;
    double repeat_penalty, presence_penalty, frequency_penalty;
    struct hs_text_list logit_bias, stop;
};

/* What the sampling options say, in the engine's terms (run_sampling.c). */
struct run_sampling {
    struct tx_sampling settings;
    struct tx_logit_bias biases[32];
    struct hs_str stops[32];
    struct hs_buffer logprobs; /* struct tx_logprobs of each token of the answer */
};

struct run_job {
    struct cli *cli;
    const struct run_options *options;
    const char *path, *label; /* of the model */
    char *input;              /* what standard input held, or NULL */
    struct hs_str prompt;     /* the one prompt, unless this is a chat */
    struct en_model *model;
    struct chat_session session;
    uint64_t load_ns;
    struct run_sampling sampling;
    struct hs_buffer text; /* the answer so far */
    size_t held_newlines;  /* newlines at the end of the answer, not printed yet */
};

struct run_answer {
    struct en_generated generated;
    int64_t computed; /* prompt tokens that were not in the sequence yet */
};

/* Answers the prompt `ids`; text goes to stdout as it comes (not with --json) and to job->text.
 * Ends with exactly one newline. */
HS_MUST_USE enum hasten_status run_answer(struct run_job *job, const struct tx_ids *ids,
                                          struct run_answer *answer_out);

/* Interactive chat until the end of input (run_chat.c). */
HS_MUST_USE enum hasten_status run_chat(struct run_job *job);

/* Sampling options (run_sampling.c): reads them, INVALID_ARGUMENT for a wrong one; puts them into
 * the options of a generation, whose context must be the job. */
HS_MUST_USE enum hasten_status run_sampling_open(struct run_job *job);
void run_sampling_apply(struct run_job *job, struct en_generate_options *options);
void run_sampling_close(struct run_job *job);
/* Log probabilities of the first `count` tokens of the answer. */
json_t *run_logprobs_json(const struct run_job *job, int64_t count);

/* Reports (run_report.c). */
void run_print_stats(const struct run_job *job, const struct run_answer *answer);
void run_print_profile(const struct run_job *job);
HS_MUST_USE enum hasten_status run_print_json(struct run_job *job, const struct run_answer *answer);

#endif
