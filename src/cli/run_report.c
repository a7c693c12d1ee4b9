/*
 * What `run` tells about an answer: --stats, --profile, --json.
 *
 * Rates: prompt tokens computed over the time of the prompt; decoding is counted from the first
 * token on, so n tokens have n-1 gaps (the end token is a gap more).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/run_job.h"

static double per_second(int64_t count, uint64_t ns)
{
    return ns > 0 && count > 0 ? (double)count * 1e9 / (double)ns : 0.0;
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double decode_rate(const struct en_generated *generated)
{
    int64_t gaps = generated->completion_tokens - 1 + (generated->finish == EN_FINISH_STOP);
    return per_second(gaps, generated->decode_ns);
}

void run_print_stats(const struct run_job *job, const struct run_answer *answer)
{
    const struct en_generated *g = &answer->generated;
    char size[24];
    fprintf(stderr, "model    %s\n", job->label);
    fprintf(stderr, "recipe   %s, %d thread%s\n", en_recipe(job->model), en_threads(job->model),
            en_threads(job->model) == 1 ? "" : "s");
    fprintf(stderr, "prompt   %" PRId64 " tokens", g->prompt_tokens);
    if (answer->computed != g->prompt_tokens)
        fprintf(stderr, " (%" PRId64 " new)", answer->computed);
    fprintf(stderr, ", %.1f tok/s\n", per_second(answer->computed, g->prompt_ns));
    fprintf(stderr, "decode   %" PRId64 " tokens, %.1f tok/s, ended by %s\n", g->completion_tokens,
            decode_rate(g), en_finish_name(g->finish));
    fprintf(stderr, "first    %.1f ms to the first token\n", milliseconds(g->first_token_ns));
    fprintf(stderr, "between  p50 %.2f ms, p99 %.2f ms\n", milliseconds(g->gap_p50_ns),
            milliseconds(g->gap_p99_ns));
    fprintf(stderr, "memory   %s at most\n", cli_size_text(hs_peak_rss_bytes(), size));
    fprintf(stderr, "load     %.1f ms\n", milliseconds(job->load_ns));
    fprintf(stderr, "counted ");
    for (int i = 0; i < OB_COUNTER_COUNT; i++)
        fprintf(stderr, " %s %" PRIu64, ob_counter_name((enum ob_counter)i),
                ob_counter_get(en_counters(job->model), (enum ob_counter)i));
    fprintf(stderr, "\n");
}

/* --- JSON --- */

static double rounded(double value)
{
    return round(value * 1000.0) / 1000.0;
}

enum hasten_status run_print_json(struct run_job *job, const struct run_answer *answer)
{
    const struct en_generated *g = &answer->generated;
    json_t *tokens = json_array();
    const struct tx_ids *fed = &job->session.fed;
    int64_t count = g->completion_tokens;
    for (int64_t i = 0; i < count && g->prompt_tokens + i < fed->count; i++)
        json_array_append_new(tokens, json_integer(fed->ids[g->prompt_tokens + i]));
    json_t *timings =
        json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "load_ms", rounded(milliseconds(job->load_ns)),
                  "ttft_ms", rounded(milliseconds(g->first_token_ns)), "prompt_tps",
                  rounded(per_second(answer->computed, g->prompt_ns)), "decode_tps",
                  rounded(decode_rate(g)), "itl_p50_ms", rounded(milliseconds(g->gap_p50_ns)),
                  "itl_p99_ms", rounded(milliseconds(g->gap_p99_ns)));
    struct hs_str text = {job->text.data ? job->text.data : "", job->text.size_bytes};
    json_t *value = json_pack(
        "{s:o,s:o,s:s,s:I,s:I,s:o,s:I,s:s,s:s}", "text", cli_json_text(text), "tokens", tokens,
        "finish_reason", en_finish_name(g->finish), "prompt_tokens", (json_int_t)g->prompt_tokens,
        "completion_tokens", (json_int_t)g->completion_tokens, "timings", timings, "peak_rss_bytes",
        (json_int_t)hs_peak_rss_bytes(), "model", job->label, "recipe", en_recipe(job->model));
    if (job->options->logprobs >= 0)
        json_object_set_new(value, "logprobs", run_logprobs_json(job, count));
    return cli_print_json(job->cli, value);
}

/* --- profile --- */

struct profile_group { /* instructions with the same kernel and note */
    const struct pl_instruction *first;
    uint64_t calls, total_ns;
    double weight_bytes, multiply_adds;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct profile_group *group_of(struct profile_group *groups, int *count,
                                      const struct pl_instruction *instruction)
{
    for (int i = 0; i < *count; i++)
        if (groups[i].first->kernel == instruction->kernel &&
            same_text(groups[i].first->note, instruction->note))
            return &groups[i];
    groups[*count] = (struct profile_group){.first = instruction};
    return &groups[(*count)++];
}

static int gather(const struct pl_plan *plan, const struct rt_profile_row *rows,
                  struct profile_group *groups)
{
    int count = 0;
    for (int32_t i = 0; i < plan->instruction_count; i++) {
        const struct pl_instruction *instruction = &plan->instructions[i];
        struct profile_group *group = group_of(groups, &count, instruction);
        group->calls += rows[i].calls;
        group->total_ns += rows[i].total_ns;
        group->weight_bytes += (double)instruction->weight_bytes * (double)rows[i].calls;
        group->multiply_adds += (double)instruction->multiply_adds_row * (double)rows[i].rows;
    }
    return count;
}

static void sort_by_time(struct profile_group *groups, int count)
{
    for (int i = 1; i < count; i++) {
        struct profile_group moved = groups[i];
        int at = i;
        for (; at > 0 && groups[at - 1].total_ns < moved.total_ns; at--)
            groups[at] = groups[at - 1];
        groups[at] = moved;
    }
}

static void print_group(const struct profile_group *group, double total_ns)
{
    double ns = (double)group->total_ns;
    char rate[2][16] = {"-", "-"};
    if (group->weight_bytes > 0 && ns > 0)
        (void)snprintf(rate[0], sizeof rate[0], "%.2f", group->weight_bytes / ns);
    if (group->multiply_adds > 0 && ns > 0)
        (void)snprintf(rate[1], sizeof rate[1], "%.1f", group->multiply_adds / ns);
    fprintf(stderr, "%10" PRIu64 " %10.2f %6.1f %8s %8s  %s%s%s\n", group->calls, ns / 1e6,
            total_ns > 0 ? 100.0 * ns / total_ns : 0.0, rate[0], rate[1],
            group->first->kernel->name, group->first->note ? "  # " : "",
            group->first->note ? group->first->note : "");
}

void run_print_profile(const struct run_job *job)
{
    const struct pl_plan *plan = en_plan(job->model);
    struct profile_group *groups = hs_calloc((size_t)plan->instruction_count + 1, sizeof *groups);
    double total_ns = 0;
    if (!groups)
        return;
    int count = gather(plan, rt_run_profile_rows(en_run(job->model)), groups);
    sort_by_time(groups, count);
    for (int i = 0; i < count; i++)
        total_ns += (double)groups[i].total_ns;
    fprintf(stderr, "%10s %10s %6s %8s %8s  %s\n", "calls", "ms", "%", "GB/s", "GMAC/s",
            "kernel  # passes (GB/s: weights)");
    for (int i = 0; i < count; i++)
        if (groups[i].calls > 0)
            print_group(&groups[i], total_ns);
    fprintf(stderr, "%10s %10.2f\n", "all", total_ns / 1e6);
    hs_free(groups);
}
