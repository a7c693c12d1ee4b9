/*
 * What the commands of the program share: the call, output, errors, models, interrupts.
 *
 * A command parses its own option table, calls the library and prints. It returns a status; the
 * error record of the call is printed by main, which also chooses the exit code: 0 success,
 * 1 failed, 2 wrong usage, 130 ended by Ctrl-C. Only this room prints. One thread; the signal
 * handler sets a flag and calls en_cancel.
 */
#ifndef HASTEN_CLI_CLI_H
#define HASTEN_CLI_CLI_H

#include <hasten/version.h>
#include <jansson.h>

#include "base/options.h"
#include "catalog/catalog.h"
#include "cli/command_table.h"
#include "engine/engine.h"

struct cli_command;

struct cli { /* one call of the program */
    const struct cli_command *command;
    struct hs_error error;
    struct hs_arena arena; /* small things that live as long as the call */
    bool json;             /* errors as JSON, no progress lines */
    bool is_cancelled;     /* the answer was cut by Ctrl-C: exit code 130 */
};

struct cli_command {
    const char *name, *arguments, *help, *notes;
    const struct hs_option *options;
    enum hasten_status (*run)(struct cli *cli, int argc, char *const argv[]);
};

extern const struct cli_command cli_commands[]; /* main.c, in the order of the table */
extern const int cli_command_count;

#define CLI_DECLARE(name, arguments, help, function)                                               \
    enum hasten_status function(struct cli *cli, int argc, char *const argv[]);                    \
    extern const struct hs_option function##_options[];                                            \
    extern const char function##_notes[];
CLI_COMMAND_TABLE(CLI_DECLARE)
#undef CLI_DECLARE

/* --- options (cli_options.c) --- */

struct cli_arguments { /* what is left beside the options */
    const char **items;
    int count;
};
/* Parses the command's table into options. INVALID_ARGUMENT when there are fewer than least or more
 * than most arguments. */
HS_MUST_USE enum hasten_status cli_parse(struct cli *cli, int argc, char *const argv[],
                                         void *options, int least, int most,
                                         struct cli_arguments *arguments_out);
/* Whether the line holds an option --name or -letter (0: none) that is not another one's value. */
bool cli_line_has(const struct hs_option *table, int argc, char *const argv[], const char *name,
                  char letter);
/* Numbers "N[,M...]" of --name, each in [low, high]. */
struct cli_numbers {
    int64_t values[16];
    int count;
};
HS_MUST_USE enum hasten_status cli_parse_numbers(struct cli *cli, const char *name,
                                                 const char *text, const int64_t range[2],
                                                 struct cli_numbers *numbers_out);

/* Options of every command that opens a model; the member `model` of the command's struct. */
struct cli_model_options {
    int64_t threads, context;
    const char *kv_type, *cpu;
    struct hs_text_list no_pass;
};

#define CLI_CONTEXT_MAX 16777216

/* Rows that the tables of several commands share. Each command's file defines AT(member), the
 * offset in its own struct, which has the member `model` or `json`. */
/* clang-format off */
#define CLI_CONTEXT_OPTION                                                                         \
    {"ctx", 'c', HS_OPTION_INT, AT(model.context), "N", NULL, 1, CLI_CONTEXT_MAX,                  \
     "tokens of prompt and answer together (default: the trained context, at most 4096)"}
#define CLI_GRAPH_OPTIONS                                                                          \
    {"kv-type", 0, HS_OPTION_CHOICE, AT(model.kv_type), "TYPE", "f32|f16|bf16|q8_0", 0, 0,         \
     "element type of the KV cache (default: f16)"},                                               \
    {"cpu", 0, HS_OPTION_CHOICE, AT(model.cpu), "CLASS", "ref|avx2|avx512vnni", 0, 0,              \
     "use kernels of at most this machine class (default: the best one here)"},                    \
    {"no-pass", 0, HS_OPTION_LIST, AT(model.no_pass), "NAME", NULL, 0, 0,                          \
     "leave out an optimization pass; names: hasten ir --passes"}
#define CLI_MODEL_OPTIONS                                                                          \
    {"threads", 't', HS_OPTION_INT, AT(model.threads), "N", NULL, 1, 256,                          \
     "threads that compute (default: all CPUs this process may use)"},                             \
    CLI_GRAPH_OPTIONS
#define CLI_JSON_OPTION                                                                            \
    {"json", 0, HS_OPTION_FLAG, AT(json), NULL, NULL, 0, 0,                                        \
     "print one JSON value; errors are JSON on stderr"}
/* clang-format on */

/* --- output (cli_output.c) --- */

/* Puts standard streams into order: missing ones are made, SIGPIPE is ignored. */
void cli_output_open(void);
/* Text to stdout; false after any failure, which cli_output_close reports. */
bool cli_write(const char *text, size_t size_bytes);
void cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Hands out what is buffered; false on failure. */
bool cli_flush(void);
/* Whether everything printed so far reached stdout; IO with the reason otherwise. */
HS_MUST_USE enum hasten_status cli_output_check(struct hs_error *error);
/* One line on stderr: "note: ..." or "warning: ...". Silent with --json. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints an error record on stderr, as text or as JSON. */
void cli_print_error(const struct hs_error *error, bool json);
/* Prints a JSON value and a newline and drops the reference. NULL: OUT_OF_MEMORY. */
HS_MUST_USE enum hasten_status cli_print_json(struct cli *cli, json_t *value);
/* String of any bytes; broken UTF-8 becomes U+FFFD. */
json_t *cli_json_text(struct hs_str text);
/* Prints a buffer and frees it; OUT_OF_MEMORY when filling it failed. */
HS_MUST_USE enum hasten_status cli_print_buffer(struct cli *cli, struct hs_buffer *buffer);
/* "98.4 MB" into text[24]. */
const char *cli_size_text(uint64_t size_bytes, char *text);

/* --- interrupts (cli_interrupt.c) --- */

/* From now on Ctrl-C sets the flag and cancels model (NULL: only the flag). */
void cli_interrupt_catch(struct en_model *model);
void cli_interrupt_release(void); /* back to the default action */
bool cli_interrupted(void);
const atomic_bool *cli_interrupt_flag(void); /* what cli_interrupted reads */
void cli_interrupt_clear(void);

/* --- models (cli_model.c) --- */

/* Path of the model a user named (NULL: the catalog's default), pulled when missing. *label_out:
 * the name to show. Both live in the call's arena. */
HS_MUST_USE enum hasten_status cli_find_model(struct cli *cli, const char *name,
                                              const char **path_out, const char **label_out);
/* Engine options as the user's options say; base holds what the command asks for. */
HS_MUST_USE enum hasten_status cli_engine_options(struct cli *cli,
                                                  const struct cli_model_options *options,
                                                  struct en_options *engine);
/* Progress lines on stderr: rewritten in place on a terminal, else few plain lines, none with
 * --json. State is one struct; zero-initialise but for cli. */
struct cli_progress {
    const struct cli *cli;
    uint64_t shown_ns;
    char what[80];
    bool line_open;
};
/* Shows a line now and then, or in any case. */
void cli_progress_line(struct cli_progress *progress, const char *line, bool always);
/* A ct_progress_fn over a struct cli_progress; false after Ctrl-C. */
bool cli_progress_show(void *progress, const char *what, uint64_t done, uint64_t total);
void cli_progress_end(struct cli_progress *progress);

/* Tokenizer of a model file without building its graph; for vocabulary-only files too. Zero-
 * initialise. */
struct cli_text_model {
    struct gguf_file *file;
    struct hs_arena arena;
    struct tx_vocab vocab;
    struct tx_tokenizer *tokenizer;
};
HS_MUST_USE enum hasten_status cli_text_open(struct cli *cli, const char *name,
                                             struct cli_text_model *text_out);
void cli_text_close(struct cli_text_model *text);

#endif
