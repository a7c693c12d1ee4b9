/* Command lines: a command's table and its arguments, lists of numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static bool is_valued(const struct hs_option *table, const char *text)
{
    bool is_long = text[1] == '-';
    if (is_long ? strchr(text, '=') != NULL : text[2] != 0)
        return false; /* the value is attached */
    for (; table->name; table++)
        if (is_long ? strcmp(table->name, text + 2) == 0 : table->letter == text[1])
            return table->kind != HS_OPTION_FLAG;
    return false;
}

bool cli_line_has(const struct hs_option *table, int argc, char *const argv[], const char *name,
                  char letter)
{
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (text[0] != '-' || !text[1])
            continue;
        if (strcmp(text, "--") == 0)
            return false;
        if (strcmp(text, name) == 0 || (letter && text[1] == letter && !text[2]))
            return true;
        i += is_valued(table, text);
    }
    return false;
}

enum hasten_status cli_parse(struct cli *cli, int argc, char *const argv[], void *options,
                             int least, int most, struct cli_arguments *arguments_out)
{
    struct cli_arguments arguments;
    char hint[96];
    (void)snprintf(hint, sizeof hint, "see hasten %s --help", cli->command->name);
    arguments.items = hs_arena_alloc(&cli->arena, (size_t)argc + 1, sizeof *arguments.items);
    if (!arguments.items)
        return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the command line");
    HS_TRY(hs_options_parse(cli->command->options, argc, argv, options, arguments.items,
                            &arguments.count, &cli->error));
    if (arguments.count > most) {
        (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, hint, "unexpected argument '%s'",
                      arguments.items[most]);
        return hs_error_at(&cli->error, "%s", arguments.items[most]);
    }
    if (arguments.count < least)
        return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, hint,
                       "an argument is missing: hasten %s %s", cli->command->name,
                       cli->command->arguments);
    *arguments_out = arguments;
    return HASTEN_OK;
}

/* Whole decimal number at *text, which moves behind it. */
static bool take_number(const char **text, int64_t *value_out)
{
    const char *at = *text;
    int64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > INT64_MAX / 10 - 10)
            return false;
        value = value * 10 + (*at - '0');
    }
    if (at == *text)
        return false;
    *text = at;
    *value_out = value;
    return true;
}

enum hasten_status cli_parse_numbers(struct cli *cli, const char *name, const char *text,
                                     const int64_t range[2], struct cli_numbers *numbers_out)
{
    struct cli_numbers numbers = {0};
    const int most = (int)(sizeof numbers.values / sizeof numbers.values[0]);
    const char *at = text;
    char hint[128];
    (void)snprintf(hint, sizeof hint, "write up to %d numbers from %lld to %lld, as in 1,2", most,
                   (long long)range[0], (long long)range[1]);
    for (;;) {
        int64_t value;
        if (numbers.count == most || !take_number(&at, &value) || value < range[0] ||
            value > range[1] || (*at && *at != ',')) {
            (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, hint,
                          "--%s is '%s', which is no list of fitting numbers", name, text);
            return hs_error_at(&cli->error, "--%s", name);
        }
        numbers.values[numbers.count++] = value;
        if (!*at)
            break;
        at++;
    }
    *numbers_out = numbers;
    return HASTEN_OK;
}
