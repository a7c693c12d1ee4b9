/*
 * hasten bench llm: tokens per second of prompts and of decoding. One row a combination of the
 * lists given, prompts and decoding apart; a model is opened once per thread count. hasten bench
 * machine: what the machine reaches at most (bench_machine_report.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench_machine_report.h"
#include "cli/cli.h"
#include "engine/bench_llm.h"
#include "engine/bench_machine.h"

struct bench_options {
    struct cli_model_options model;
    const char *prompt, *generate, *depth, *batch, *threads;
    int64_t repetitions, seed;
    bool json;
};

#define AT(member) offsetof(struct bench_options, member)
/* clang-format off */
const struct hs_option cli_bench_options[] = {
    {"n-prompt", 'p', HS_OPTION_TEXT, AT(prompt), "N[,M]", NULL, 0, 0,
     "tokens of a prompt, 0 for none (default: 512)"},
    {"n-gen", 'n', HS_OPTION_TEXT, AT(generate), "N[,M]", NULL, 0, 0,
     "tokens to decode, 0 for none (default: 128)"},
    {"n-depth", 'd', HS_OPTION_TEXT, AT(depth), "N[,M]", NULL, 0, 0,
     "tokens in the context before (default: 0)"},
    {"batch", 'b', HS_OPTION_TEXT, AT(batch), "N[,M]", NULL, 0, 0,
     "prompt tokens per step (default: 512)"},
    {"threads", 't', HS_OPTION_TEXT, AT(threads), "N[,M]", NULL, 0, 0,
     "threads that compute (default: all CPUs this process may use)"},
    {"repetitions", 'r', HS_OPTION_INT, AT(repetitions), "N", NULL, 1, 100000,
     "timed runs after one to warm up (default: 5)"},
    {"seed", 0, HS_OPTION_INT, AT(seed), "N", NULL, 0, 0,
     "seed of the random token ids (default: 0)"},
    CLI_GRAPH_OPTIONS,
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_bench_notes[] =
    "llm: random token ids, no sampling, logits of the last token only; rates are tokens per\n"
    "second: the slowest run, the median and the fastest. machine: peaks of arithmetic, reading\n"
    "and writing by threads; heeds --threads, --repetitions, --cpu and --json only.\n";

struct bench_job {
    struct cli *cli;
    const struct bench_options *options;
    struct cli_numbers prompt, generate, depth, batch, threads;
    const char *path, *label;
    json_t *rows; /* --json */
};

struct bench_row {
    int64_t prompt, generate;
    struct en_bench bench;
};

static enum hasten_status parse_lists(struct bench_job *job)
{
    static const int64_t any[] = {0, CLI_CONTEXT_MAX}, step[] = {1, 65536}, team[] = {1, 256};
    const struct bench_options *options = job->options;
    struct cli *cli = job->cli;
    HS_TRY(cli_parse_numbers(cli, "n-prompt", options->prompt, any, &job->prompt));
    HS_TRY(cli_parse_numbers(cli, "n-gen", options->generate, any, &job->generate));
    HS_TRY(cli_parse_numbers(cli, "n-depth", options->depth, any, &job->depth));
    HS_TRY(cli_parse_numbers(cli, "batch", options->batch, step, &job->batch));
    if (options->threads)
        return cli_parse_numbers(cli, "threads", options->threads, team, &job->threads);
    job->threads = (struct cli_numbers){.values = {hs_cpu_get()->logical_cpus}, .count = 1};
    return HASTEN_OK;
}

static int64_t largest(const struct cli_numbers *numbers)
{
    int64_t best = 0;
    for (int i = 0; i < numbers->count; i++)
        best = numbers->values[i] > best ? numbers->values[i] : best;
    return best;
}

static void report(struct bench_job *job, struct en_model *model, const struct bench_row *row,
                   const struct en_bench_rate *rate)
{
    if (job->options->json) {
        json_t *rates =
            json_pack("{s:f,s:f,s:f}", "min", rate->min, "median", rate->median, "max", rate->max);
        json_array_append_new(
            job->rows,
            json_pack("{s:s,s:s,s:I,s:I,s:I,s:i,s:i,s:i,s:o}", "model", job->label, "recipe",
                      en_recipe(model), "n_prompt", (json_int_t)row->prompt, "n_gen",
                      (json_int_t)row->generate, "n_depth", (json_int_t)row->bench.depth, "batch",
                      (int)row->bench.batch, "threads", en_threads(model), "repetitions",
                      (int)row->bench.repetitions, "tokens_per_s", rates));
        return;
    }
    cli_print("%-8s %8" PRId64 " %8" PRId64 " %8d %8d %10.2f %10.2f %10.2f\n",
              row->prompt ? "prompt" : "decode", row->bench.tokens, row->bench.depth,
              (int)row->bench.batch, en_threads(model), rate->min, rate->median, rate->max);
    (void)cli_flush();
}

static enum hasten_status measure(struct bench_job *job, struct en_model *model,
                                  const struct bench_row *row)
{
    struct en_bench_rate rate;
    if (row->bench.tokens == 0)
        return HASTEN_OK;
    HS_TRY(en_bench_run(model, &row->bench, &job->cli->error, &rate));
    report(job, model, row, &rate);
    return HASTEN_OK;
}

static enum hasten_status measure_depth(struct bench_job *job, struct en_model *model,
                                        int64_t depth)
{
    struct en_bench base = {.depth = depth,
                            .batch = 1,
                            .repetitions = (int32_t)job->options->repetitions,
                            .seed = (uint64_t)job->options->seed};
    for (int p = 0; p < job->prompt.count; p++) {
        for (int b = 0; b < job->batch.count; b++) {
            struct bench_row row = {job->prompt.values[p], 0, base};
            row.bench.tokens = row.prompt;
            row.bench.batch = (int32_t)job->batch.values[b];
            HS_TRY(measure(job, model, &row));
        }
    }
    for (int n = 0; n < job->generate.count; n++) {
        struct bench_row row = {0, job->generate.values[n], base};
        row.bench.is_decode = true;
        row.bench.tokens = row.generate;
        HS_TRY(measure(job, model, &row));
    }
    return HASTEN_OK;
}

static enum hasten_status measure_threads(struct bench_job *job, int64_t threads)
{
    struct en_options engine = en_options_default();
    struct en_model *model = NULL;
    int64_t prompt = largest(&job->prompt), generate = largest(&job->generate);
    HS_TRY(cli_engine_options(job->cli, &job->options->model, &engine));
    engine.threads = (int)threads;
    engine.context = largest(&job->depth) + (prompt > generate ? prompt : generate) + 1;
    engine.step_tokens = (int32_t)largest(&job->batch);
    HS_TRY(en_open(job->path, &engine, &job->cli->error, &model));
    cli_interrupt_catch(model);
    enum hasten_status status = HASTEN_OK;
    for (int d = 0; d < job->depth.count && status == HASTEN_OK; d++)
        status = measure_depth(job, model, job->depth.values[d]);
    cli_interrupt_release();
    en_close(&model);
    return status;
}

static enum hasten_status measure_all(struct bench_job *job)
{
    if (job->options->json)
        job->rows = json_array();
    else
        cli_print("%-8s %8s %8s %8s %8s %10s %10s %10s\n", "test", "tokens", "depth", "batch",
                  "threads", "min tok/s", "median", "max");
    for (int t = 0; t < job->threads.count; t++)
        HS_TRY(measure_threads(job, job->threads.values[t]));
    if (!job->options->json)
        return HASTEN_OK;
    json_t *rows = job->rows;
    job->rows = NULL;
    return cli_print_json(job->cli, rows);
}

static enum hasten_status measure_machine(struct bench_job *job)
{
    struct en_options engine = en_options_default();
    HS_TRY(parse_lists(job));
    HS_TRY(cli_engine_options(job->cli, &job->options->model, &engine));
    enum hs_cpu_class chosen = hs_cpu_get()->chosen;
    struct en_machine machine = {
        .cpu_class = engine.cpu_class_max < chosen ? engine.cpu_class_max : chosen,
        .threads = (int)largest(&job->threads),
        .rounds = (int)job->options->repetitions,
    };
    return bench_machine_report(job->cli, &machine, job->options->json);
}

enum hasten_status cli_bench(struct cli *cli, int argc, char *const argv[])
{
    struct bench_options options = {
        .prompt = "512", .generate = "128", .depth = "0", .batch = "512", .repetitions = 5};
    struct bench_job job = {.cli = cli, .options = &options};
    struct cli_arguments arguments;
    HS_TRY(cli_parse(cli, argc, argv, &options, 1, 2, &arguments));
    if (strcmp(arguments.items[0], "machine") == 0 && arguments.count == 1)
        return measure_machine(&job);
    if (strcmp(arguments.items[0], "llm") != 0) {
        (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT,
                      "write hasten bench llm [MODEL] or hasten bench machine",
                      "there is no benchmark '%s'", arguments.items[0]);
        return hs_error_at(&cli->error, "%s", arguments.items[0]);
    }
    HS_TRY(parse_lists(&job));
    HS_TRY(cli_find_model(cli, arguments.count > 1 ? arguments.items[1] : NULL, &job.path,
                          &job.label));
    enum hasten_status status = measure_all(&job);
    json_decref(job.rows);
    return status;
}
