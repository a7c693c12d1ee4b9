/*
 * hasten: the program. Finds the command, prints help and errors, chooses the exit code.
 *
 * --help is looked for before a command's options are parsed, so that it works on a line that is
 * wrong otherwise; --json likewise, since it decides how the errors of parsing look.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"

enum { EXIT_CANCELLED = 130 };

#define COMMAND_ROW(name, arguments, help, function)                                               \
    {name, arguments, help, function##_notes, function##_options, function},
const struct cli_command cli_commands[] = {CLI_COMMAND_TABLE(COMMAND_ROW)};
#undef COMMAND_ROW

enum { COMMAND_COUNT = sizeof cli_commands / sizeof cli_commands[0] };
const int cli_command_count = COMMAND_COUNT;

static const struct cli_command *find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    return NULL;
}

static enum hasten_status unknown_command(struct cli *cli, const char *name)
{
    const char *names[COMMAND_COUNT];
    char hint[96] = "see hasten --help";
    for (int i = 0; i < COMMAND_COUNT; i++)
        names[i] = cli_commands[i].name;
    const char *nearest = hs_nearest(name, names, COMMAND_COUNT);
    if (nearest)
        (void)snprintf(hint, sizeof hint, "did you mean hasten %s?", nearest);
    (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, hint, "unknown command '%s'", name);
    return hs_error_at(&cli->error, "%s", name);
}

static void program_help(struct hs_buffer *out)
{
    hs_buffer_printf(out, "hasten: language models, answered fast\n\n"
                          "usage: hasten COMMAND [options] [arguments]\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        hs_buffer_printf(out, "  %-12s%s\n", cli_commands[i].name, cli_commands[i].help);
    hs_buffer_printf(
        out,
        "\nA MODEL is a name of 'hasten list', the path of a GGUF file, hf:OWNER/NAME/FILE.gguf,\n"
        "hf:OWNER/NAME[:QUANT] or https://HOST/PATH.gguf; 'hasten pull --help' tells more.\n"
        "'hasten COMMAND --help' lists a command's options.\n");
}

static enum hasten_status command_help(struct cli *cli, const struct cli_command *command)
{
    struct hs_buffer out = {0};
    bool has_options = command->options[0].name != NULL;
    hs_buffer_printf(&out, "usage: hasten %s%s%s%s\n\n%s\n", command->name,
                     has_options ? " [options]" : "", command->arguments[0] ? " " : "",
                     command->arguments, command->help);
    if (command->notes[0])
        hs_buffer_printf(&out, "\n%s", command->notes);
    if (has_options)
        hs_buffer_printf(&out, "\noptions:\n");
    hs_options_help(command->options, &out);
    return cli_print_buffer(cli, &out);
}

/* hasten help [COMMAND], hasten --help */
static enum hasten_status help(struct cli *cli, int argc, char *const argv[])
{
    if (argc == 0) {
        struct hs_buffer out = {0};
        program_help(&out);
        return cli_print_buffer(cli, &out);
    }
    const struct cli_command *command = find_command(argv[0]);
    return command ? command_help(cli, command) : unknown_command(cli, argv[0]);
}

static enum hasten_status no_command(struct cli *cli)
{
    return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT,
                   "hasten run starts a chat, hasten --help lists the commands",
                   "no command given");
}

static enum hasten_status unknown_option(struct cli *cli, const char *text)
{
    (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "options come after the command",
                  "unknown option %s before a command", text);
    return hs_error_at(&cli->error, "%s", text);
}

static enum hasten_status dispatch(struct cli *cli, int argc, char *const argv[])
{
    if (argc < 1)
        return no_command(cli);
    if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0)
        return help(cli, argc - 1, argv + 1);
    bool wants_version = strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0;
    if (argv[0][0] == '-' && !wants_version)
        return unknown_option(cli, argv[0]);
    cli->command = find_command(wants_version ? "version" : argv[0]);
    if (!cli->command)
        return unknown_command(cli, argv[0]);
    if (cli_line_has(cli->command->options, argc - 1, argv + 1, "--help", 'h'))
        return command_help(cli, cli->command);
    cli->json = cli_line_has(cli->command->options, argc - 1, argv + 1, "--json", 0);
    return cli->command->run(cli, argc - 1, argv + 1);
}

static void log_line(void *context, enum hs_log_level level, const char *line)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", level <= HS_LOG_ERROR ? "error" : "warning", line);
}

static int finish(struct cli *cli, enum hasten_status status)
{
    struct hs_error output;
    hs_error_clear(&output);
    bool cancelled = cli->is_cancelled || (status != HASTEN_OK && cli_interrupted());
    int code = cancelled ? EXIT_CANCELLED : hs_status_exit_code(status);
    if (status != HASTEN_OK && !cancelled)
        cli_print_error(&cli->error, cli->json);
    if (cli_output_check(&output) != HASTEN_OK) {
        if (status == HASTEN_OK)
            cli_print_error(&output, cli->json);
        code = code ? code : 1;
    }
    hs_arena_free(&cli->arena);
    return code;
}

int main(int argc, char *argv[])
{
    struct cli cli = {0};
    cli_output_open();
    hs_log_set(log_line, NULL, HS_LOG_WARN);
    enum hasten_status status = dispatch(&cli, argc - 1, argv + 1);
    return finish(&cli, status);
}
