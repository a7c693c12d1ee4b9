/*
 * hasten man: the manual page, made from the tables of commands and options, so that it cannot say
 * anything else than --help. roff with the man macros (groff_man(7)), in the subset that mandoc's
 * lint takes without a word.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define LINE_COLUMNS 72
#define MAN_DATE     "2026-11-21" /* of the last change of this page's own texts */

const struct hs_option cli_man_options[] = {{0}};

const char cli_man_notes[] = "Read it with: hasten man | man -l -\n";

struct man_row { /* a term and what it means */
    const char *term, *text;
};

static const struct man_row model_names[] = {
    {"NAME", "a model of 'hasten list'; fetched when it is missing"},
    {"PATH",
     "a GGUF file: anything with a '/' or ending in .gguf, or a file of that name. Of a split "
     "model (-00001-of-00003.gguf) the first part"},
    {"hf:OWNER/NAME/FILE.gguf", "a file of a model hub in the layout of huggingface.co; "
                                "hf:OWNER/NAME@REVISION/FILE.gguf for a branch, tag or commit"},
    {"hf:OWNER/NAME[:QUANT]",
     "the file of that repository whose name has the type QUANT as a word; "
     "without QUANT Q4_K_M, else the nearest to it that there is. The choice "
     "is kept"},
    {"https://HOST/PATH.gguf", "a file of any server; http only for this machine itself"},
};

static const struct man_row environment[] = {
    {"HASTEN_HOME", "folder of models and catalog.ini (default: $XDG_CACHE_HOME/hasten, else "
                    "~/.cache/hasten)"},
    {"HASTEN_CPU", "ref, avx2 or avx512vnni: use kernels of at most this machine class"},
    {"HF_TOKEN", "sent to the model hub, and to no other server, for private and gated models"},
    {"HF_ENDPOINT", "address of the model hub (default: https://huggingface.co)"},
    {"HASTEN_ALLOW_HTTP", "1 allows downloads without TLS from other machines"},
    {"HASTEN_NET_STALL_S", "seconds without progress after which a connection counts as lost "
                           "(default: 30)"},
    {"HASTEN_NET_RETRIES", "failures in a row after which a download is given up (default: 6)"},
    {"HASTEN_NET_BACKOFF_MS", "wait before the first retry; doubles up to 30 s (default: 500)"},
    {"https_proxy, no_proxy, SSL_CERT_FILE", "proxy, exceptions, and certificates to trust, for "
                                             "downloads by https and hf; pip has its own"},
};

static const struct man_row exit_codes[] = {
    {"0", "success"},
    {"1", "failed; standard error says why and what to do"},
    {"2", "wrong usage"},
    {"130", "ended by Ctrl-C"},
};

static const struct man_row files[] = {
    {"$HASTEN_HOME/models/", "fetched models, complete and verified; those of servers below https/ "
                             "and hf/. FILE.part is an unfinished download, which the next pull "
                             "continues and 'hasten rm' removes"},
    {"$HASTEN_HOME/catalog.ini", "models of the user's own, in the form of the built-in catalog"},
};

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Text in which roff shall see nothing of its own, in lines of about 72 columns. */
static void append_text(struct hs_buffer *out, const char *text)
{
    bool line_start = out->size_bytes == 0 || out->data[out->size_bytes - 1] == '\n';
    size_t column = 0;
    for (const char *at = text; *at; at++, column++) {
        if (*at == ' ' && column + strcspn(at + 1, " \n") >= LINE_COLUMNS) {
            hs_buffer_printf(out, "\n");
            line_start = true;
            column = 0;
            continue;
        }
        if (line_start && (*at == '.' || *at == '\''))
            hs_buffer_printf(out, "\\&");
        if (*at == '\\')
            hs_buffer_printf(out, "\\e");
        else if (*at == '-')
            hs_buffer_printf(out, "\\-");
        else if (*at == '~')
            hs_buffer_printf(out, "\\(ti");
        else if (*at == '^')
            hs_buffer_printf(out, "\\(ha");
        else if (*at == '\'')
            hs_buffer_printf(out, "\\(aq");
        else
            hs_buffer_append(out, at, 1);
        line_start = *at == '\n';
        column = line_start ? 0 : column;
    }
}

static void append_rows(struct hs_buffer *out, const struct man_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hs_buffer_printf(out, ".TP\n.B ");
        append_text(out, rows[i].term);
        hs_buffer_printf(out, "\n");
        append_text(out, rows[i].text);
        hs_buffer_printf(out, "\n");
    }
}

static void append_option(struct hs_buffer *out, const struct hs_option *option)
{
    hs_buffer_printf(out, ".TP\n");
    if (option->letter)
        hs_buffer_printf(out, "\\fB\\-%c\\fR, ", option->letter);
    hs_buffer_printf(out, "\\fB\\-\\-");
    append_text(out, option->name);
    hs_buffer_printf(out, "\\fR");
    if (option->kind != HS_OPTION_FLAG) {
        hs_buffer_printf(out, " \\fI");
        append_text(out, option->value_name ? option->value_name : "VALUE");
        hs_buffer_printf(out, "\\fR");
    }
    hs_buffer_printf(out, "\n");
    append_text(out, option->help ? option->help : "");
    if (option->kind == HS_OPTION_CHOICE) {
        hs_buffer_printf(out, "\n(");
        append_text(out, option->choices);
        hs_buffer_printf(out, ")");
    }
    if (option->kind == HS_OPTION_LIST)
        hs_buffer_printf(out, "\n(repeatable)");
    hs_buffer_printf(out, "\n");
}

static void append_command(struct hs_buffer *out, const struct cli_command *command)
{
    bool has_options = command->options[0].name != NULL;
    hs_buffer_printf(out, ".SS ");
    append_text(out, command->name);
    hs_buffer_printf(out, "\n.B hasten ");
    append_text(out, command->name);
    hs_buffer_printf(out, "\n%s", has_options ? ".RI [ options ]\n" : "");
    if (command->arguments[0]) {
        append_text(out, command->arguments);
        hs_buffer_printf(out, "\n");
    }
    hs_buffer_printf(out, ".PP\n");
    append_text(out, command->help);
    hs_buffer_printf(out, ".\n");
    if (command->notes[0])
        append_text(out, command->notes);
    for (const struct hs_option *option = command->options; option->name; option++)
        append_option(out, option);
}

static void append_page(struct hs_buffer *out)
{
    hs_buffer_printf(out,
                     ".\\\" Made by hasten man from the tables of commands and options.\n"
                     ".TH HASTEN 1 %s \"hasten %s\" \"User Commands\"\n"
                     ".SH NAME\nhasten \\- run language models, with low latency\n"
                     ".SH SYNOPSIS\n.B hasten\n.I command\n.RI [ options ]\n.RI [ arguments ]\n"
                     ".SH DESCRIPTION\n"
                     "hasten opens a model file, rewrites it into a faster form, and runs it on\n"
                     "this machine\\(aqs processors. Standard output holds results only; notes,\n"
                     "progress and errors go to standard error. Every command takes\n"
                     "\\fB\\-\\-help\\fR; a flag \\fB\\-\\-x\\fR has the opposite "
                     "\\fB\\-\\-no\\-x\\fR; \\fB\\-\\-\\fR\nends the options.\n",
                     MAN_DATE, HASTEN_VERSION);
    hs_buffer_printf(out, ".SH MODELS\nWhere a command takes a model:\n");
    append_rows(out, model_names, COUNT(model_names));
    hs_buffer_printf(out, ".SH COMMANDS\n");
    for (int i = 0; i < cli_command_count; i++)
        append_command(out, &cli_commands[i]);
    hs_buffer_printf(out, ".SH ENVIRONMENT\n");
    append_rows(out, environment, COUNT(environment));
    hs_buffer_printf(out, ".SH FILES\n");
    append_rows(out, files, COUNT(files));
    hs_buffer_printf(out, ".SH EXIT STATUS\n");
    append_rows(out, exit_codes, COUNT(exit_codes));
}

enum hasten_status cli_man(struct cli *cli, int argc, char *const argv[])
{
    struct cli_arguments arguments;
    struct hs_buffer out = {0};
    char none; /* no options, nothing to fill */
    HS_TRY(cli_parse(cli, argc, argv, &none, 0, 0, &arguments));
    append_page(&out);
    return cli_print_buffer(cli, &out);
}
