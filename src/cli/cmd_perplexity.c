/*
 * hasten perplexity: how well a model predicts a text, and the logits behind it.
 *
 * --logits-out writes float32 [scored rows][vocab], before softmax, in this machine's byte order
 * (little endian). With --logits-top K the compact form, without padding:
 *   char magic[4] "HTOP", u32 version 1, u32 vocab, u32 K, u64 rows, then per row
 *   i32 target, f64 log_sum_exp (whole vocabulary, in double), u32 id[K], f32 logit[K],
 *   descending, equal logits by ascending id.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define TEXT_LIMIT_BYTES  ((size_t)1 << 30)
#define LOGITS_FREE_BYTES 4294967296.0 /* larger files need --force */

struct perplexity_options {
    struct cli_model_options model;
    int64_t window, chunks, logits_top;
    const char *logits_out;
    bool force, json;
};

#define AT(member) offsetof(struct perplexity_options, member)
/* clang-format off */
const struct hs_option cli_perplexity_options[] = {
    {"ctx", 'c', HS_OPTION_INT, AT(window), "N", NULL, 4, CLI_CONTEXT_MAX,
     "tokens of a window (default: 512)"},
    {"chunks", 0, HS_OPTION_INT, AT(chunks), "N", NULL, 0, 1e9,
     "windows to score (default: 0, all)"},
    CLI_MODEL_OPTIONS,
    {"logits-out", 0, HS_OPTION_TEXT, AT(logits_out), "FILE", NULL, 0, 0,
     "write the logits of all scored rows, float32 [rows][vocab]"},
    {"logits-top", 0, HS_OPTION_INT, AT(logits_top), "K", NULL, 1, 65536,
     "write only the K largest of each row, in the form described at the head of cmd_perplexity.c"},
    {"force", 0, HS_OPTION_FLAG, AT(force), NULL, NULL, 0, 0,
     "write logits of more than 4 GiB"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_perplexity_notes[] =
    "FILE is a text, - standard input. Its last newline is dropped; windows of --ctx tokens are "
    "cut,\n"
    "the second half of each is scored; a last partial window is dropped.\n";

struct perplexity_job {
    struct cli *cli;
    const struct perplexity_options *options;
    struct hs_file_writer *writer; /* NULL: no logits wanted */
    struct cli_progress progress;
    uint32_t *ids; /* [K] of --logits-top */
    float *logits; /* [K] */
};

/* --- logits --- */

static double log_sum_exp(const float *logits, int64_t count)
{
    double largest = (double)logits[0], sum = 0.0;
    for (int64_t i = 1; i < count; i++)
        largest = (double)logits[i] > largest ? (double)logits[i] : largest;
    for (int64_t i = 0; i < count; i++)
        sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

/* The K largest into job's arrays; ids come in ascending order, so an equal one stays behind. */
static void select_top(struct perplexity_job *job, const float *logits, int64_t vocab)
{
    int64_t top = job->options->logits_top, held = 0;
    for (int64_t i = 0; i < vocab; i++) {
        if (held == top && !(logits[i] > job->logits[held - 1]))
            continue;
        int64_t at = held < top ? held++ : held - 1;
        for (; at > 0 && logits[i] > job->logits[at - 1]; at--) {
            job->logits[at] = job->logits[at - 1];
            job->ids[at] = job->ids[at - 1];
        }
        job->logits[at] = logits[i];
        job->ids[at] = (uint32_t)i;
    }
}

static enum hasten_status put(struct perplexity_job *job, const void *data, size_t size_bytes)
{
    return hs_file_writer_write(job->writer, data, size_bytes, &job->cli->error);
}

static enum hasten_status on_row(void *context, int32_t target, const float *logits, int64_t vocab)
{
    struct perplexity_job *job = context;
    size_t top = (size_t)job->options->logits_top;
    if (!job->writer)
        return HASTEN_OK;
    if (top == 0)
        return put(job, logits, (size_t)vocab * sizeof *logits);
    double sum = log_sum_exp(logits, vocab);
    select_top(job, logits, vocab);
    HS_TRY(put(job, &target, sizeof target));
    HS_TRY(put(job, &sum, sizeof sum));
    HS_TRY(put(job, job->ids, top * sizeof *job->ids));
    return put(job, job->logits, top * sizeof *job->logits);
}

/* Scored rows of the text, so that the size is known before anything is computed. */
static enum hasten_status count_rows(struct perplexity_job *job, const struct en_model *model,
                                     struct hs_str text, int64_t *rows_out)
{
    struct tx_ids ids = {0};
    struct tx_encode_options encode = {.add_special = true};
    int64_t window = job->options->window, chunks = job->options->chunks;
    if (text.size_bytes > 0 && text.data[text.size_bytes - 1] == '\n')
        text.size_bytes--;
    enum hasten_status status =
        tx_encode(en_tokenizer(model), text, encode, &job->cli->error, &ids);
    int64_t windows = ids.count / window;
    if (chunks > 0 && windows > chunks)
        windows = chunks;
    tx_ids_free(&ids);
    if (status == HASTEN_OK)
        *rows_out = windows * (window - 1 - window / 2);
    return status;
}

static enum hasten_status write_top_header(struct perplexity_job *job, int64_t vocab, int64_t rows)
{
    const uint32_t words[] = {1, (uint32_t)vocab, (uint32_t)job->options->logits_top};
    const uint64_t count = (uint64_t)rows;
    HS_TRY(put(job, "HTOP", 4));
    HS_TRY(put(job, words, sizeof words));
    return put(job, &count, sizeof count);
}

static enum hasten_status open_logits(struct perplexity_job *job, const struct en_model *model,
                                      struct hs_str text)
{
    const struct perplexity_options *options = job->options;
    struct hs_error *error = &job->cli->error;
    int64_t vocab = en_facts(model)->vocab, rows;
    size_t top = (size_t)options->logits_top;
    if (!en_tokenizer(model))
        return HASTEN_OK; /* en_perplexity says so */
    if (options->logits_top > vocab)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "--logits-top is %" PRId64 ", the vocabulary has %" PRId64,
                       options->logits_top, vocab);
    HS_TRY(count_rows(job, model, text, &rows));
    double size = (double)rows * (top ? 12.0 + 8.0 * (double)top : 4.0 * (double)vocab);
    if (size > LOGITS_FREE_BYTES && !options->force)
        return hs_fail(error, HASTEN_LIMIT, "use --chunks N, --logits-top K, or --force",
                       "the logits would take %.1f GiB", size / 1073741824.0);
    if (top) {
        job->ids = hs_arena_alloc(&job->cli->arena, top, sizeof *job->ids);
        job->logits = hs_arena_alloc(&job->cli->arena, top, sizeof *job->logits);
        if (!job->ids || !job->logits)
            return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for logits");
    }
    HS_TRY(hs_file_writer_open(options->logits_out, error, &job->writer));
    return top ? write_top_header(job, vocab, rows) : HASTEN_OK;
}

/* --- evaluation --- */

static void on_window(void *context, int64_t done, int64_t total, double perplexity)
{
    struct perplexity_job *job = context;
    char line[120];
    (void)snprintf(line, sizeof line, "window %" PRId64 " of %" PRId64 ", perplexity %.4f", done,
                   total, perplexity);
    cli_progress_line(&job->progress, line, job->progress.line_open && done == total);
}

static enum hasten_status print_result(struct perplexity_job *job,
                                       const struct en_perplexity *result)
{
    const struct perplexity_options *options = job->options;
    if (options->json)
        return cli_print_json(
            job->cli,
            json_pack("{s:f,s:f,s:I,s:I,s:I,s:s}", "perplexity", result->perplexity, "stderr",
                      result->standard_error, "scored_tokens", (json_int_t)result->scored_tokens,
                      "ctx", (json_int_t)options->window, "chunks", (json_int_t)result->windows,
                      "kv_type", options->model.kv_type));
    cli_print("perplexity %.4f +- %.4f (%" PRId64 " tokens scored in %" PRId64
              " windows of %" PRId64 ", KV %s)\n",
              result->perplexity, result->standard_error, result->scored_tokens, result->windows,
              options->window, options->model.kv_type);
    return HASTEN_OK;
}

static enum hasten_status evaluate(struct perplexity_job *job, struct en_model *model,
                                   struct hs_str text)
{
    const struct perplexity_options *options = job->options;
    struct hs_error *error = &job->cli->error;
    struct en_perplexity result;
    struct en_perplexity_options engine = {
        .window = options->window,
        .windows_max = options->chunks,
        .on_row = on_row,
        .on_window = on_window,
        .context = job,
    };
    cli_interrupt_catch(model); /* before there is a partial file to remove */
    if (options->logits_out)
        HS_TRY(open_logits(job, model, text));
    enum hasten_status status = en_perplexity(model, text, &engine, error, &result);
    cli_progress_end(&job->progress);
    if (status == HASTEN_OK && job->writer)
        status = hs_file_writer_commit(&job->writer, error);
    HS_TRY(status);
    return print_result(job, &result);
}

enum hasten_status cli_perplexity(struct cli *cli, int argc, char *const argv[])
{
    struct perplexity_options options = {.window = 512, .model = {.kv_type = "f16"}};
    struct perplexity_job job = {.cli = cli, .options = &options, .progress = {.cli = cli}};
    struct cli_arguments arguments;
    struct en_options engine = en_options_default();
    struct en_model *model = NULL;
    struct hs_str text;
    char *bytes = NULL;
    const char *path, *label;
    HS_TRY(cli_parse(cli, argc, argv, &options, 1, 2, &arguments));
    if (options.logits_top && !options.logits_out)
        return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "name a file with --logits-out",
                       "--logits-top without --logits-out");
    HS_TRY(cli_engine_options(cli, &options.model, &engine));
    engine.context = options.window;
    enum hasten_status status;
    const char *file = arguments.items[arguments.count - 1];
    status = hs_file_read(file, TEXT_LIMIT_BYTES, &cli->error, &bytes, &text.size_bytes);
    if (status == HASTEN_NOT_FOUND && arguments.count == 1)
        (void)snprintf(cli->error.hint, sizeof cli->error.hint,
                       "check the path; a model alone is not enough: %s MODEL FILE",
                       cli->command->name);
    if (status != HASTEN_OK)
        goto out;
    text.data = bytes;
    HS_TRY_GOTO(status,
                cli_find_model(cli, arguments.count > 1 ? arguments.items[0] : NULL, &path, &label),
                out);
    HS_TRY_GOTO(status, en_open(path, &engine, &cli->error, &model), out);
    status = evaluate(&job, model, text);
out:
    cli_interrupt_release();
    hs_file_writer_abort(&job.writer);
    en_close(&model);
    hs_free(bytes);
    return status;
}
