/* Lines from a terminal over libedit (histedit.h); see line_editor.h. */
#include "cli/line_editor.h"

#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { HISTORY_LINES = 1000 };

struct line_editor {
    EditLine *edit;
    History *history;
    char *history_path;
    bool interrupted; /* the last line ended by Ctrl-C */
};

static char *prompt(EditLine *edit)
{
    static char text[] = "> ";
    (void)edit;
    return text;
}

static unsigned char on_interrupt_key(EditLine *edit, int key)
{
    struct line_editor *editor = NULL;
    (void)key;
    if (el_get(edit, EL_CLIENTDATA, &editor) == 0 && editor)
        editor->interrupted = true;
    return CC_EOF;
}

/* What the terminal does with Ctrl-Z by itself. */
static unsigned char on_suspend_key(EditLine *edit, int key)
{
    (void)key;
    (void)el_set(edit, EL_PREP_TERM, 0);
    (void)kill(0, SIGTSTP);
    (void)el_set(edit, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

/* Characters of more than one byte need a UTF-8 locale; numbers keep the form of the C locale. */
static void choose_characters(void)
{
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static void open_history(struct line_editor *editor, const char *path)
{
    HistEvent event;
    editor->history = history_init();
    if (!editor->history)
        return;
    (void)history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(editor->history, &event, H_SETUNIQUE, 1);
    (void)el_set(editor->edit, EL_HIST, history, editor->history);
    editor->history_path = path ? hs_strdup(path) : NULL;
    if (editor->history_path)
        (void)history(editor->history, &event, H_LOAD, editor->history_path);
}

enum hasten_status line_editor_open(const char *history_path, struct hs_error *error,
                                    struct line_editor **editor_out)
{
    struct line_editor *editor = hs_calloc(1, sizeof *editor);
    if (!editor)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the line editor");
    choose_characters();
    FILE *screen = isatty(STDOUT_FILENO) == 1 ? stdout : stderr;
    editor->edit = el_init("hasten", stdin, screen, stderr);
    if (!editor->edit) {
        hs_free(editor);
        return hs_fail(error, HASTEN_IO, "give the prompt with -p",
                       "the terminal cannot be used for line editing");
    }
    (void)el_set(editor->edit, EL_CLIENTDATA, editor);
    (void)el_set(editor->edit, EL_PROMPT, prompt);
    (void)el_set(editor->edit, EL_EDITOR, "emacs");
    (void)el_set(editor->edit, EL_SIGNAL, 0);
    (void)el_set(editor->edit, EL_SETTY, "-d", "-isig", NULL); /* control keys are keys */
    (void)el_set(editor->edit, EL_ADDFN, "hasten-interrupt", "leave the line", on_interrupt_key);
    (void)el_set(editor->edit, EL_ADDFN, "hasten-suspend", "stop the program", on_suspend_key);
    (void)el_set(editor->edit, EL_BIND, "^Z", "hasten-suspend", NULL);
    (void)el_set(editor->edit, EL_BIND, "^C", "hasten-interrupt", NULL);
    (void)el_set(editor->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    open_history(editor, history_path);
    *editor_out = editor;
    return HASTEN_OK;
}

/* History is a convenience: failing to save it is no error. */
static void save_history(struct line_editor *editor)
{
    HistEvent event;
    char *slash = strrchr(editor->history_path, '/');
    if (slash && slash != editor->history_path) {
        *slash = 0;
        bool made = hs_directory_make(editor->history_path, NULL) == HASTEN_OK;
        *slash = '/';
        if (!made)
            return;
    }
    (void)history(editor->history, &event, H_SAVE, editor->history_path);
}

void line_editor_close(struct line_editor **editor_in)
{
    struct line_editor *editor = *editor_in;
    if (!editor)
        return;
    if (editor->history_path)
        save_history(editor);
    el_end(editor->edit);
    if (editor->history)
        history_end(editor->history);
    hs_free(editor->history_path);
    hs_free(editor);
    *editor_in = NULL;
}

enum line_result line_editor_read(struct line_editor *editor, struct hs_str *line_out)
{
    HistEvent event;
    int count = 0;
    editor->interrupted = false;
    /* Before the prompt shows: libedit by itself leaves the terminal as it is until it waits for
     * the first key, and a Ctrl-C in between would be a signal. */
    (void)el_set(editor->edit, EL_PREP_TERM, 1);
    const char *line = el_gets(editor->edit, &count);
    if (editor->interrupted)
        return LINE_INTERRUPT;
    if (!line || count <= 0)
        return LINE_END;
    size_t length = strlen(line);
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        length--;
    if (length > 0 && editor->history)
        (void)history(editor->history, &event, H_ENTER, line);
    *line_out = (struct hs_str){line, length};
    return LINE_TEXT;
}
