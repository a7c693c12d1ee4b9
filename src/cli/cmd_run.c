/*
 * hasten run: chat in a terminal, or one answer.
 *
 * stdout holds the answer and nothing else, handed out token by token; newlines at its end are held
 * back, so that the output ends with exactly one. Everything said about the answer goes to stderr.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/run_job.h"

#define PROMPT_LIMIT_BYTES ((size_t)64 << 20)

#define AT(member)         offsetof(struct run_options, member)
/* clang-format off */
const struct hs_option cli_run_options[] = {
    {"prompt", 'p', HS_OPTION_TEXT, AT(prompt), "TEXT", NULL, 0, 0,
     "answer this and exit (default: chat in a terminal, else the prompt is all of standard input)"},
    {"system", 's', HS_OPTION_TEXT, AT(system), "TEXT", NULL, 0, 0,
     "system message before the conversation (default: what the model's template brings)"},
    {"raw", 0, HS_OPTION_FLAG, AT(raw), NULL, NULL, 0, 0,
     "continue the text as it stands, without the model's chat template; special tokens written in it count"},
    {"max-tokens", 'n', HS_OPTION_INT, AT(max_tokens), "N", NULL, -1, 1e9,
     "tokens of an answer at most (default: -1, until it ends or the context is full)"},
    {"temperature", 0, HS_OPTION_REAL, AT(temperature), "X", NULL, 0, 100,
     "randomness; 0 always takes the likeliest token (default: 0)"},
    {"top-k", 0, HS_OPTION_INT, AT(top_k), "N", NULL, 0, 1e9,
     "sample from the N likeliest tokens (default: 0, off)"},
    {"top-p", 0, HS_OPTION_REAL, AT(top_p), "X", NULL, 0, 1,
     "sample from the likeliest tokens that have this share together (default: 1, off)"},
    {"min-p", 0, HS_OPTION_REAL, AT(min_p), "X", NULL, 0, 1,
     "leave out tokens less likely than X times the likeliest (default: 0, off)"},
    {"typical-p", 0, HS_OPTION_REAL, AT(typical_p), "X", NULL, 0, 1,
     "sample from the most typical tokens that have this share together (default: 1, off)"},
    {"repeat-penalty", 0, HS_OPTION_REAL, AT(repeat_penalty), "X", NULL, 0, 100,
     "make tokens that were there less likely by this factor on their logits (default: 1, off)"},
    {"repeat-last-n", 0, HS_OPTION_INT, AT(repeat_last_n), "N", NULL, -1, 1e9,
     "tokens that the three penalties look back on; -1: all (default: 64)"},
    {"presence-penalty", 0, HS_OPTION_REAL, AT(presence_penalty), "X", NULL, -100, 100,
     "taken from the logits of tokens that were there (default: 0)"},
    {"frequency-penalty", 0, HS_OPTION_REAL, AT(frequency_penalty), "X", NULL, -100, 100,
     "taken from the logits of tokens for each time they were there (default: 0)"},
    {"logit-bias", 0, HS_OPTION_LIST, AT(logit_bias), "ID=BIAS", NULL, 0, 0,
     "add BIAS to the logit of token ID; -inf forbids it; may be given several times"},
    {"seed", 0, HS_OPTION_INT, AT(seed), "N", NULL, 0, 0,
     "seed of the random numbers (default: 0)"},
    {"stop", 0, HS_OPTION_LIST, AT(stop), "TEXT", NULL, 0, 0,
     "end the answer before this text; may be given several times"},
    {"ignore-eos", 0, HS_OPTION_FLAG, AT(ignore_eos), NULL, NULL, 0, 0,
     "go on after end tokens (for measuring)"},
    CLI_CONTEXT_OPTION,
    CLI_MODEL_OPTIONS,
    {"stats", 0, HS_OPTION_FLAG, AT(stats), NULL, NULL, 0, 0,
     "speed and memory on stderr after each answer"},
    {"profile", 0, HS_OPTION_FLAG, AT(profile), NULL, NULL, 0, 0,
     "time per kernel on stderr at the end"},
    {"logprobs", 0, HS_OPTION_INT, AT(logprobs), "N", NULL, 0, TX_LOGPROBS_MAX,
     "with --json, log probabilities of each token and of the N likeliest ones"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_run_notes[] =
    "In a terminal this starts a chat (/help there lists its commands). With -p, or with text on\n"
    "standard input, it answers once: stdout holds the answer only. One newline at the end of\n"
    "standard input is dropped. Ctrl-C ends an answer early (exit code 130).\n";

/* --- answers --- */

static void print_held(struct run_job *job, struct hs_str text)
{
    size_t end = text.size_bytes;
    while (end > 0 && text.data[end - 1] == '\n')
        end--;
    if (end > 0) {
        for (; job->held_newlines > 0; job->held_newlines--)
            (void)cli_write("\n", 1);
        (void)cli_write(text.data, end);
    }
    job->held_newlines += text.size_bytes - end;
}

static bool on_text(void *context, const char *text, size_t size_bytes)
{
    struct run_job *job = context;
    hs_buffer_append(&job->text, text, size_bytes);
    if (cli_interrupted() || job->text.failed)
        return false;
    if (job->options->json)
        return true;
    print_held(job, (struct hs_str){text, size_bytes});
    return cli_flush();
}

enum hasten_status run_answer(struct run_job *job, const struct tx_ids *ids,
                              struct run_answer *answer_out)
{
    struct en_generate_options options = {
        .max_tokens = job->options->max_tokens,
        .ignore_end = job->options->ignore_eos,
        .on_text = on_text,
        .context = job,
    };
    struct hs_error *error = &job->cli->error;
    run_sampling_apply(job, &options);
    hs_buffer_clear(&job->text);
    job->held_newlines = 0;
    enum hasten_status status = chat_session_answer(&job->session, ids, &options, error,
                                                    &answer_out->generated, &answer_out->computed);
    if (!job->options->json && (status == HASTEN_OK || job->text.size_bytes > 0)) {
        (void)cli_write("\n", 1);
        (void)cli_flush();
    }
    if (status == HASTEN_OK && (job->text.failed || job->sampling.logprobs.failed))
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the answer");
    return status;
}

/* --- one answer --- */

static enum hasten_status prompt_ids(struct run_job *job, struct hs_str prompt, struct tx_ids *ids)
{
    struct hs_error *error = &job->cli->error;
    const struct run_options *options = job->options;
    if (options->raw)
        return en_prompt_ids(job->model, prompt, error, ids);
    if (options->system)
        HS_TRY(chat_session_say(&job->session, "system", hs_str_of(options->system), error));
    HS_TRY(chat_session_say(&job->session, "user", prompt, error));
    return chat_session_ids(&job->session, error, ids);
}

static enum hasten_status answer_once(struct run_job *job)
{
    struct cli *cli = job->cli;
    struct tx_ids ids = {0};
    struct run_answer answer;
    enum hasten_status status = prompt_ids(job, job->prompt, &ids);
    if (status == HASTEN_OK)
        status = run_answer(job, &ids, &answer);
    tx_ids_free(&ids);
    HS_TRY(status);
    HS_TRY(cli_output_check(&cli->error));
    if (answer.generated.finish == EN_FINISH_CANCEL)
        cli->is_cancelled = true;
    if (job->options->json)
        HS_TRY(run_print_json(job, &answer));
    if (job->options->stats)
        run_print_stats(job, &answer);
    return HASTEN_OK;
}

/* The one prompt, from -p or from standard input: read before the model, so that a wrong call fails
 * at once. */
static enum hasten_status read_prompt(struct run_job *job)
{
    const char *text = job->options->prompt;
    struct hs_error *error = &job->cli->error;
    size_t size;
    if (text) {
        job->prompt = hs_str_of(text);
    } else {
        HS_TRY(hs_file_read("-", PROMPT_LIMIT_BYTES, error, &job->input, &size));
        if (size > 0 && job->input[size - 1] == '\n')
            size--;
        job->prompt = (struct hs_str){job->input, size};
    }
    if (job->prompt.size_bytes > 0)
        return HASTEN_OK;
    return hs_fail(error, HASTEN_INVALID_ARGUMENT,
                   text ? "write a text after -p" : "give a text with -p, or on standard input",
                   "the prompt is empty");
}

/* --- opening --- */

/* Without a template there is no chat; a template we cannot read is an error unless --raw. */
static enum hasten_status choose_form(struct run_job *job, struct run_options *options,
                                      bool is_chat)
{
    struct hs_error *error = &job->cli->error;
    const struct hs_error *reason = en_chat_template_error(job->model);
    if (!en_tokenizer(job->model)) {
        *error = *en_tokenizer_error(job->model);
        return hs_error_at(error, "%s", job->path);
    }
    if (options->raw || en_chat_template(job->model))
        return HASTEN_OK;
    if (reason->status != HASTEN_OK) {
        (void)hs_fail(error, reason->status, "use --raw to continue plain text instead",
                      "the model's chat template cannot be used: %s", reason->message);
        return hs_error_at(error, "%s%s%s", job->path, reason->place[0] ? ", " : "", reason->place);
    }
    if (is_chat) {
        (void)hs_fail(error, HASTEN_UNSUPPORTED, "give a text to continue: --raw -p TEXT",
                      "the model has no chat template, so it cannot chat");
        return hs_error_at(error, "%s", job->path);
    }
    if (options->system)
        return hs_fail(error, HASTEN_UNSUPPORTED, "put the text before the prompt",
                       "the model has no chat template, so there is no place for --system");
    cli_note(job->cli, "the model has no chat template: the prompt is continued as it stands");
    options->raw = true;
    return HASTEN_OK;
}

static enum hasten_status check_line(struct cli *cli, const struct run_options *options,
                                     bool is_chat)
{
    struct hs_error *error = &cli->error;
    if (is_chat && (options->json || options->raw))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "give the text with -p",
                       "--%s needs a prompt", options->json ? "json" : "raw");
    if (options->raw && options->system)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "leave one of them out",
                       "--system has no meaning with --raw");
    return HASTEN_OK;
}

static enum hasten_status open_job(struct run_job *job, const char *name)
{
    struct cli *cli = job->cli;
    struct en_options engine = en_options_default();
    HS_TRY(cli_engine_options(cli, &job->options->model, &engine));
    HS_TRY(cli_find_model(cli, name, &job->path, &job->label));
    uint64_t start_ns = hs_clock_ns();
    HS_TRY(en_open(job->path, &engine, &cli->error, &job->model));
    job->load_ns = hs_clock_ns() - start_ns;
    int64_t trained = en_facts(job->model)->context_length;
    if (trained > 0 && en_context(job->model) > trained)
        cli_note(cli, "the model was trained for %lld tokens of context", (long long)trained);
    return chat_session_open(job->model, &cli->error, &job->session);
}

static enum hasten_status run_opened(struct run_job *job, struct run_options *options, bool is_chat)
{
    HS_TRY(choose_form(job, options, is_chat));
    if (options->profile)
        rt_run_profile(en_run(job->model), true);
    cli_interrupt_catch(job->model);
    enum hasten_status status = is_chat ? run_chat(job) : answer_once(job);
    cli_interrupt_release();
    if (options->profile && status == HASTEN_OK)
        run_print_profile(job);
    return status;
}

enum hasten_status cli_run(struct cli *cli, int argc, char *const argv[])
{
    struct run_options options = {.max_tokens = -1,
                                  .top_p = 1.0,
                                  .typical_p = 1.0,
                                  .repeat_penalty = 1.0,
                                  .repeat_last_n = TX_LAST_N_DEFAULT,
                                  .logprobs = -1};
    struct run_job job = {.cli = cli, .options = &options};
    struct cli_arguments arguments;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 1, &arguments));
    bool is_chat = !options.prompt && isatty(STDIN_FILENO) == 1;
    HS_TRY(check_line(cli, &options, is_chat));
    HS_TRY(run_sampling_open(&job));
    enum hasten_status status = is_chat ? HASTEN_OK : read_prompt(&job);
    if (status == HASTEN_OK)
        status = open_job(&job, arguments.count ? arguments.items[0] : NULL);
    if (status == HASTEN_OK)
        status = run_opened(&job, &options, is_chat);
    chat_session_close(&job.session);
    run_sampling_close(&job);
    hs_buffer_free(&job.text);
    hs_free(job.input);
    en_close(&job.model);
    return status;
}
