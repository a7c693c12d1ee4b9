/*
 * The interactive chat: lines from the terminal, answers below them, until Ctrl-D, /exit or two
 * Ctrl-C at the prompt. An error of one turn (a prompt that is too long) ends that turn only, and
 * the turn is forgotten.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/line_editor.h"
#include "cli/run_job.h"

enum chat_next { CHAT_GO_ON, CHAT_EXIT };

/* $HASTEN_HOME/chat_history, $XDG_STATE_HOME/hasten/..., ~/.local/state/hasten/...; NULL: none. */
static const char *history_path(struct cli *cli)
{
    static const struct {
        const char *variable, *rest;
    } places[] = {
        {"HASTEN_HOME", "chat_history"},
        {"XDG_STATE_HOME", "hasten/chat_history"},
        {"HOME", ".local/state/hasten/chat_history"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *folder = getenv(places[i].variable);
        if (folder && folder[0])
            return hs_arena_printf(&cli->arena, "%s/%s", folder, places[i].rest);
    }
    return NULL;
}

/* --- commands of the chat --- */

static enum hasten_status start_over(struct run_job *job)
{
    struct hs_error *error = &job->cli->error;
    chat_session_truncate(&job->session, 0);
    if (job->options->system)
        return chat_session_say(&job->session, "system", hs_str_of(job->options->system), error);
    return HASTEN_OK;
}

static enum hasten_status chat_reset(struct run_job *job, enum chat_next *next)
{
    (void)next;
    fprintf(stderr, "the conversation starts anew\n");
    return start_over(job);
}

static enum hasten_status chat_exit(struct run_job *job, enum chat_next *next)
{
    (void)job;
    *next = CHAT_EXIT;
    return HASTEN_OK;
}

static enum hasten_status chat_help(struct run_job *job, enum chat_next *next);

static const struct {
    const char *name, *help;
    enum hasten_status (*run)(struct run_job *job, enum chat_next *next);
} chat_commands[] = {
    {"/help", "this list", chat_help},
    {"/reset", "forget the conversation", chat_reset},
    {"/exit", "leave (as Ctrl-D does)", chat_exit},
};

enum { CHAT_COMMANDS = sizeof chat_commands / sizeof chat_commands[0] };

static enum hasten_status chat_help(struct run_job *job, enum chat_next *next)
{
    (void)job;
    (void)next;
    for (int i = 0; i < CHAT_COMMANDS; i++)
        fprintf(stderr, "  %-8s %s\n", chat_commands[i].name, chat_commands[i].help);
    fprintf(stderr, "  Ctrl-C   stop an answer; twice at the prompt: leave\n");
    return HASTEN_OK;
}

/* Lines that begin with '/' and a letter are commands; unknown ones are not sent to the model. */
static enum hasten_status chat_command(struct run_job *job, struct hs_str line,
                                       enum chat_next *next)
{
    const char *names[CHAT_COMMANDS];
    char text[40];
    while (line.size_bytes > 0 && line.data[line.size_bytes - 1] == ' ')
        line.size_bytes--;
    for (int i = 0; i < CHAT_COMMANDS; i++) {
        names[i] = chat_commands[i].name;
        if (hs_str_is(line, names[i]))
            return chat_commands[i].run(job, next);
    }
    (void)snprintf(text, sizeof text, "%.*s", HS_STR(line));
    const char *nearest = hs_nearest(text, names, CHAT_COMMANDS);
    fprintf(stderr, "unknown command %s; %s%s\n", text, nearest ? "did you mean " : "see ",
            nearest ? nearest : "/help");
    return HASTEN_OK;
}

static bool is_command(struct hs_str line)
{
    return line.size_bytes > 1 && line.data[0] == '/' && line.data[1] >= 'a' &&
           line.data[1] <= 'z' && !memchr(line.data + 1, '/', line.size_bytes - 1);
}

/* --- turns --- */

static enum hasten_status answer_turn(struct run_job *job, struct hs_str line)
{
    struct hs_error *error = &job->cli->error;
    struct tx_ids ids = {0};
    struct run_answer answer;
    int32_t before = job->session.message_count;
    cli_interrupt_clear();
    enum hasten_status status = chat_session_say(&job->session, "user", line, error);
    if (status == HASTEN_OK)
        status = chat_session_ids(&job->session, error, &ids);
    if (status == HASTEN_OK)
        status = run_answer(job, &ids, &answer);
    tx_ids_free(&ids);
    struct hs_str text = {job->text.data, job->text.size_bytes};
    if (status == HASTEN_OK && text.size_bytes > 0)
        status = chat_session_say(&job->session, "assistant", text, error);
    else
        chat_session_truncate(&job->session, before); /* a turn without an answer never was */
    if (status == HASTEN_OK && answer.generated.finish == EN_FINISH_CANCEL)
        fprintf(stderr, "(stopped)\n");
    if (status == HASTEN_OK && answer.generated.finish == EN_FINISH_LENGTH &&
        job->options->max_tokens < 0)
        cli_note(job->cli, "the context is full; /reset starts anew, -c N makes it larger");
    if (status == HASTEN_OK && job->options->stats)
        run_print_stats(job, &answer);
    return status;
}

static enum hasten_status take_line(struct run_job *job, struct hs_str line, enum chat_next *next)
{
    struct cli *cli = job->cli;
    if (line.size_bytes == 0)
        return HASTEN_OK;
    if (is_command(line))
        return chat_command(job, line, next);
    if (answer_turn(job, line) != HASTEN_OK) {
        cli_print_error(&cli->error, false);
        hs_error_clear(&cli->error);
    }
    return cli_output_check(&cli->error);
}

static enum hasten_status chat_loop(struct run_job *job, struct line_editor *editor)
{
    enum chat_next next = CHAT_GO_ON;
    int interrupts = 0;
    while (next == CHAT_GO_ON) {
        struct hs_str line;
        enum line_result result = line_editor_read(editor, &line);
        if (result == LINE_TEXT) {
            interrupts = 0;
            HS_TRY(take_line(job, line, &next));
            continue;
        }
        fputc('\n', stderr);
        if (result == LINE_END || ++interrupts == 2)
            break;
        fprintf(stderr, "(Ctrl-C again or /exit leaves)\n");
    }
    return HASTEN_OK;
}

enum hasten_status run_chat(struct run_job *job)
{
    struct line_editor *editor = NULL;
    HS_TRY(start_over(job));
    HS_TRY(line_editor_open(history_path(job->cli), &job->cli->error, &editor));
    fprintf(stderr, "%s, %d thread%s; /help lists commands, Ctrl-D leaves\n", job->label,
            en_threads(job->model), en_threads(job->model) == 1 ? "" : "s");
    enum hasten_status status = chat_loop(job, editor);
    line_editor_close(&editor);
    cli_interrupt_clear();
    return status;
}
