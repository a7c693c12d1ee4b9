/*
 * hasten completions SHELL: a script for the shell, made from the tables of commands and options.
 *
 * All three scripts do the same: the first word is a command; after an option with fixed choices
 * come its choices, after any other option with a value come files; a word that begins with '-' is
 * an option of the command; other words are the command's fixed first words ("bash|zsh|fish" in the
 * table), models (asked from `hasten list --names` when the key is pressed) and files.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

const struct hs_option cli_completions_options[] = {{0}};

const char cli_completions_notes[] =
    "bash: source <(hasten completions bash), or save it as\n"
    "      ~/.local/share/bash-completion/completions/hasten\n"
    "zsh:  hasten completions zsh > FOLDER/_hasten, a FOLDER of $fpath\n"
    "fish: hasten completions fish > ~/.config/fish/completions/hasten.fish\n";

/* The command's fixed first words "a|b|c", "" when its first argument is something else. */
static struct hs_str fixed_words(const struct cli_command *command)
{
    const char *at = command->arguments;
    size_t length = strcspn(at, " ");
    bool fixed = length > 0;
    for (size_t i = 0; i < length; i++)
        fixed = fixed && ((at[i] >= 'a' && at[i] <= 'z') || at[i] == '|');
    return (struct hs_str){at, fixed ? length : 0};
}

static bool takes_models(const struct cli_command *command)
{
    return strstr(command->arguments, "MODEL") || strstr(command->arguments, "NAME");
}

static bool takes_files(const struct cli_command *command)
{
    return strstr(command->arguments, "MODEL") || strstr(command->arguments, "FILE") ||
           strstr(command->arguments, "OUT");
}

/* "a|b" as "a b". */
static void append_choices(struct hs_buffer *out, struct hs_str choices)
{
    for (size_t i = 0; i < choices.size_bytes; i++)
        hs_buffer_append(out, choices.data[i] == '|' ? " " : &choices.data[i], 1);
}

/* Text inside single quotes. */
static void append_quoted(struct hs_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            hs_buffer_printf(out, "'\\''");
        else
            hs_buffer_append(out, text, 1);
    }
}

/* "run --kv-type"|"run -k" as patterns of a case; the shells agree on that. */
static void append_option_pattern(struct hs_buffer *out, const struct cli_command *command,
                                  const struct hs_option *option)
{
    hs_buffer_printf(out, "\"%s --%s\"", command->name, option->name);
    if (option->letter)
        hs_buffer_printf(out, "|\"%s -%c\"", command->name, option->letter);
}

/* What a shell does with the word after an option. */
struct value_texts {
    const char *choices, *choices_end; /* around the option's choices */
    const char *files, *anything;
};

/* A branch of a case for each option with a value. */
static void append_values(struct hs_buffer *out, const struct cli_command *command,
                          const struct value_texts *texts)
{
    for (const struct hs_option *option = command->options; option->name; option++) {
        if (option->kind == HS_OPTION_FLAG)
            continue;
        hs_buffer_printf(out, "    ");
        append_option_pattern(out, command, option);
        if (option->kind == HS_OPTION_CHOICE) {
            hs_buffer_printf(out, ") %s", texts->choices);
            append_choices(out, hs_str_of(option->choices));
            hs_buffer_printf(out, "%s ;;\n", texts->choices_end);
        } else {
            hs_buffer_printf(out, ") %s ;;\n",
                             option->kind == HS_OPTION_TEXT ? texts->files : texts->anything);
        }
    }
}

static void append_options(struct hs_buffer *out, const struct cli_command *command)
{
    for (const struct hs_option *option = command->options; option->name; option++)
        hs_buffer_printf(out, "--%s ", option->name);
    hs_buffer_printf(out, "--help");
}

/* ---- bash ---- */

static const char bash_head[] = "# bash completion of hasten, made by: hasten completions bash\n"
                                "_hasten() {\n"
                                "    local cur prev line command='' words='' models='' files='' i\n"
                                "    cur=${COMP_WORDS[COMP_CWORD]}\n"
                                "    prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                                "    # '=' and ':' are words of their own for bash\n"
                                "    if [ \"$cur\" = = ]; then cur=''\n"
                                "    elif [ \"$prev\" = = ] && [ \"$COMP_CWORD\" -ge 2 ]; then "
                                "prev=${COMP_WORDS[COMP_CWORD-2]}; "
                                "fi\n"
                                "    line=${COMP_LINE:0:${COMP_POINT:-0}}\n"
                                "    case ${line##*[[:space:]]} in\n"
                                "    *:*) cur=${line##*[[:space:]]} ;;\n"
                                "    esac\n"
                                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                                "        case ${COMP_WORDS[i]} in\n"
                                "        -*) ;;\n"
                                "        *) command=${COMP_WORDS[i]}; break ;;\n"
                                "        esac\n"
                                "    done\n"
                                "    COMPREPLY=()\n"
                                "    case \"$command $prev\" in\n";

static const char bash_tail[] =
    "    [ -z \"$models\" ] || words=\"$words $(\"${COMP_WORDS[0]}\" list --names 2>/dev/null)\"\n"
    "    while IFS= read -r i; do COMPREPLY+=(\"$i\"); done < <(compgen -W \"$words\" -- "
    "\"$cur\")\n"
    "    if [ -n \"$files\" ]; then\n"
    "        while IFS= read -r i; do COMPREPLY+=(\"$i\"); done < <(compgen -f -- \"$cur\")\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "    case $cur in # what is before the last ':' stands there already\n"
    "    *:*) i=${cur%\"${cur##*:}\"}; COMPREPLY=(\"${COMPREPLY[@]#\"$i\"}\") ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _hasten hasten\n";

static const struct value_texts bash_values = {
    .choices = "words='", .choices_end = "'", .files = "files=1", .anything = "words=''"};

static void bash_words(struct hs_buffer *out, const struct cli_command *command)
{
    hs_buffer_printf(out, "        %s)\n            case $cur in\n            -*) words='",
                     command->name);
    append_options(out, command);
    hs_buffer_printf(out, "' ;;\n            *) words='");
    append_choices(out, fixed_words(command));
    hs_buffer_printf(out, "'; models=%s; files=%s ;;\n            esac ;;\n",
                     takes_models(command) ? "1" : "''", takes_files(command) ? "1" : "''");
}

static void append_bash(struct hs_buffer *out)
{
    hs_buffer_printf(out, "%s", bash_head);
    for (int i = 0; i < cli_command_count; i++)
        append_values(out, &cli_commands[i], &bash_values);
    hs_buffer_printf(out, "    *)\n        case $command in\n        '') words='help");
    for (int i = 0; i < cli_command_count; i++)
        hs_buffer_printf(out, " %s", cli_commands[i].name);
    hs_buffer_printf(out, " --help --version' ;;\n");
    for (int i = 0; i < cli_command_count; i++)
        bash_words(out, &cli_commands[i]);
    hs_buffer_printf(out, "        help) words='");
    for (int i = 0; i < cli_command_count; i++)
        hs_buffer_printf(out, "%s ", cli_commands[i].name);
    hs_buffer_printf(out, "' ;;\n        esac ;;\n    esac\n%s", bash_tail);
}

/* ---- zsh ---- */

static const struct value_texts zsh_values = {.choices = "compadd -- ",
                                              .choices_end = "; return",
                                              .files = "_files; return",
                                              .anything = "_message value; return"};

static void zsh_words(struct hs_buffer *out, const struct cli_command *command)
{
    hs_buffer_printf(out, "    %s)\n        if [[ $PREFIX == -* ]]; then\n            options=(\n",
                     command->name);
    for (const struct hs_option *option = command->options; option->name; option++) {
        hs_buffer_printf(out, "                '--%s:", option->name);
        append_quoted(out, option->help ? option->help : "");
        hs_buffer_printf(out, "'\n");
    }
    hs_buffer_printf(out, "                '--help:what the command does')\n"
                          "            _describe -o option options\n        else\n");
    struct hs_str fixed = fixed_words(command);
    if (fixed.size_bytes) {
        hs_buffer_printf(out, "            compadd -- ");
        append_choices(out, fixed);
        hs_buffer_printf(out, "\n");
    }
    if (takes_models(command))
        hs_buffer_printf(
            out, "            compadd -- ${(f)\"$($words[1] list --names 2>/dev/null)\"}\n");
    if (takes_files(command))
        hs_buffer_printf(out, "            _files\n");
    hs_buffer_printf(out, "            true\n        fi ;;\n");
}

static void append_zsh(struct hs_buffer *out)
{
    hs_buffer_printf(out,
                     "#compdef hasten\n"
                     "# zsh completion of hasten, made by: hasten completions zsh\n"
                     "_hasten() {\n    local command=$words[2]\n    local -a commands options\n"
                     "    if (( CURRENT == 2 )); then\n        commands=(\n");
    for (int i = 0; i < cli_command_count; i++) {
        hs_buffer_printf(out, "            '%s:", cli_commands[i].name);
        append_quoted(out, cli_commands[i].help);
        hs_buffer_printf(out, "'\n");
    }
    hs_buffer_printf(out, "            'help:what hasten or a command does')\n"
                          "        _describe command commands\n        return\n    fi\n"
                          "    case \"$command $words[CURRENT-1]\" in\n");
    for (int i = 0; i < cli_command_count; i++)
        append_values(out, &cli_commands[i], &zsh_values);
    hs_buffer_printf(out, "    esac\n    case $command in\n");
    for (int i = 0; i < cli_command_count; i++)
        zsh_words(out, &cli_commands[i]);
    hs_buffer_printf(out, "    esac\n}\n"
                          "# sourced: tell the shell; found in $fpath: this is the call\n"
                          "if [[ $funcstack[1] == _hasten ]]; then _hasten \"$@\"; "
                          "else compdef _hasten hasten; fi\n");
}

/* ---- fish ---- */

static void fish_command(struct hs_buffer *out, const struct cli_command *command)
{
    const char *seen = "complete -c hasten -n '__fish_seen_subcommand_from";
    hs_buffer_printf(out, "complete -c hasten -n __fish_use_subcommand -f -a %s -d '",
                     command->name);
    append_quoted(out, command->help);
    hs_buffer_printf(out, "'\n");
    struct hs_str fixed = fixed_words(command);
    if (fixed.size_bytes) {
        hs_buffer_printf(out, "%s %s' -f -a '", seen, command->name);
        append_choices(out, fixed);
        hs_buffer_printf(out, "'\n");
    }
    if (takes_models(command))
        hs_buffer_printf(out, "%s %s' %s-a '(hasten list --names 2>/dev/null)'\n", seen,
                         command->name, takes_files(command) ? "" : "-f ");
    for (const struct hs_option *option = command->options; option->name; option++) {
        hs_buffer_printf(out, "%s %s' -l %s", seen, command->name, option->name);
        if (option->letter)
            hs_buffer_printf(out, " -s %c", option->letter);
        if (option->kind == HS_OPTION_CHOICE) {
            hs_buffer_printf(out, " -x -a '");
            append_choices(out, hs_str_of(option->choices));
            hs_buffer_printf(out, "'");
        } else if (option->kind != HS_OPTION_FLAG) {
            hs_buffer_printf(out, option->kind == HS_OPTION_TEXT ? " -r" : " -x");
        }
        hs_buffer_printf(out, " -d '");
        append_quoted(out, option->help ? option->help : "");
        hs_buffer_printf(out, "'\n");
    }
}

static void append_fish(struct hs_buffer *out)
{
    hs_buffer_printf(out, "# fish completion of hasten, made by: hasten completions fish\n");
    for (int i = 0; i < cli_command_count; i++)
        fish_command(out, &cli_commands[i]);
}

/* ---- */

static const struct {
    const char *name;
    void (*append)(struct hs_buffer *out);
} shells[] = {{"bash", append_bash}, {"zsh", append_zsh}, {"fish", append_fish}};

enum hasten_status cli_completions(struct cli *cli, int argc, char *const argv[])
{
    struct cli_arguments arguments;
    struct hs_buffer out = {0};
    char none; /* no options, nothing to fill */
    HS_TRY(cli_parse(cli, argc, argv, &none, 1, 1, &arguments));
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        if (strcmp(arguments.items[0], shells[i].name) == 0) {
            shells[i].append(&out);
            return cli_print_buffer(cli, &out);
        }
    (void)hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "write bash, zsh or fish",
                  "there are no completions for '%s'", arguments.items[0]);
    return hs_error_at(&cli->error, "%s", arguments.items[0]);
}
