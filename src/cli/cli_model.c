/* From what a user wrote to an opened model: names, pulls with progress, engine options. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

#define TERMINAL_PERIOD_NS 100000000ull   /* 0.1 s */
#define PLAIN_PERIOD_NS    10000000000ull /* 10 s */

/* --- progress --- */

void cli_progress_line(struct cli_progress *progress, const char *line, bool always)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t now = hs_clock_ns();
    uint64_t period_ns = terminal ? TERMINAL_PERIOD_NS : PLAIN_PERIOD_NS;
    if (!terminal && !progress->shown_ns)
        progress->shown_ns = now; /* a log gets lines only when it takes long */
    if (progress->cli->json || (!always && now - progress->shown_ns < period_ns))
        return;
    progress->shown_ns = now;
    if (terminal)
        fprintf(stderr, "\r\033[K%s", line);
    else
        fprintf(stderr, "%s\n", line);
    progress->line_open = terminal;
}

bool cli_progress_show(void *context, const char *what, uint64_t done, uint64_t total)
{
    struct cli_progress *progress = context;
    char done_text[24], total_text[24], line[200];
    if (cli_interrupted())
        return false;
    if (strncmp(what, CT_TERMS_MARK, strlen(CT_TERMS_MARK)) == 0) {
        fprintf(stderr, "%s\n", what); /* whatever the form of the output: they must be seen */
        return true;
    }
    bool is_new = strncmp(progress->what, what, sizeof progress->what - 1) != 0;
    if (is_new) {
        cli_progress_end(progress);
        (void)snprintf(progress->what, sizeof progress->what, "%s", what);
    }
    cli_size_text(done, done_text);
    cli_size_text(total, total_text);
    if (is_new && total && isatty(STDERR_FILENO) != 1)
        (void)snprintf(line, sizeof line, "%s (%s)", what, total_text);
    else if (total)
        (void)snprintf(line, sizeof line, "%s: %s of %s (%d %%)", what, done_text, total_text,
                       (int)(100.0 * (double)done / (double)total));
    else if (done)
        (void)snprintf(line, sizeof line, "%s: %s", what, done_text);
    else
        (void)snprintf(line, sizeof line, "%s", what);
    cli_progress_line(progress, line, is_new || (progress->line_open && done == total));
    return true;
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

/* --- finding --- */

static enum hasten_status resolve(struct cli *cli, struct ct_catalog *catalog, const char *name,
                                  const char **path_out)
{
    struct cli_progress progress = {.cli = cli};
    char *path = NULL;
    cli_interrupt_catch(NULL);
    enum hasten_status status =
        ct_resolve(catalog, name, true, cli_progress_show, &progress, &cli->error, &path);
    cli_progress_end(&progress);
    cli_interrupt_release();
    HS_TRY(status);
    *path_out = hs_arena_strndup(&cli->arena, path, strlen(path));
    hs_free(path);
    if (!*path_out)
        return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a path");
    return HASTEN_OK;
}

enum hasten_status cli_find_model(struct cli *cli, const char *name, const char **path_out,
                                  const char **label_out)
{
    struct ct_catalog *catalog = NULL;
    HS_TRY(ct_open(&cli->error, &catalog));
    const struct ct_model *standard = ct_default(catalog);
    enum hasten_status status;
    if (!name && !standard) {
        status = hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "name a model, or see hasten list",
                         "no model given, and the catalog has no default");
    } else {
        const char *wanted = name ? name : standard->name;
        const char *label = hs_arena_strndup(&cli->arena, wanted, strlen(wanted));
        status = label ? resolve(cli, catalog, label, path_out)
                       : hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a name");
        if (status == HASTEN_OK)
            *label_out = label;
    }
    ct_close(&catalog);
    return status;
}

/* --- options --- */

enum hasten_status cli_engine_options(struct cli *cli, const struct cli_model_options *options,
                                      struct en_options *engine)
{
    const struct hs_cpu *cpu = hs_cpu_get();
    if (cpu->cap_ignored[0])
        cli_note(cli, "HASTEN_CPU=%s names no machine class and is ignored", cpu->cap_ignored);
    if (options->threads > 0)
        engine->threads = (int)options->threads;
    if (options->context > 0)
        engine->context = options->context;
    if (options->kv_type && !tn_dtype_from_name(hs_str_of(options->kv_type), &engine->kv_dtype))
        return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, NULL, "no type is called '%s'",
                       options->kv_type);
    for (int c = 0; options->cpu && c < HS_CPU_CLASS_COUNT; c++)
        if (strcmp(options->cpu, hs_cpu_class_name((enum hs_cpu_class)c)) == 0)
            engine->cpu_class_max = (enum hs_cpu_class)c;
    engine->disabled_passes = options->no_pass.items;
    engine->disabled_pass_count = options->no_pass.count;
    return HASTEN_OK;
}

/* --- tokenizer only --- */

enum hasten_status cli_text_open(struct cli *cli, const char *name, struct cli_text_model *text_out)
{
    const char *path, *label;
    struct hs_error *error = &cli->error;
    HS_TRY(cli_find_model(cli, name, &path, &label));
    enum hasten_status status = gguf_open(path, error, &text_out->file);
    if (status == HASTEN_OK)
        status = md_vocab_read(text_out->file, &text_out->arena, error, &text_out->vocab);
    if (status == HASTEN_OK)
        status = tx_tokenizer_open(&text_out->vocab, error, &text_out->tokenizer);
    if (status != HASTEN_OK) {
        hs_error_at(error, "%s", path);
        cli_text_close(text_out);
    }
    return status;
}

void cli_text_close(struct cli_text_model *text)
{
    tx_tokenizer_close(&text->tokenizer);
    gguf_close(&text->file);
    hs_arena_free(&text->arena);
}
