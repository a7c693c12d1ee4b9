/*
 * One line from a terminal, edited with libedit, with a history kept between calls.
 *
 * Ctrl-C is a key here, not a signal: libedit's raw mode is told to pass it on, so that no system
 * call has to be broken off. Prompts go to stdout when that is a terminal, else to stderr.
 */
#ifndef HASTEN_CLI_LINE_EDITOR_H
#define HASTEN_CLI_LINE_EDITOR_H

#include "base/bytes.h"
#include "base/status.h"

enum line_result { LINE_TEXT, LINE_END /* Ctrl-D */, LINE_INTERRUPT /* Ctrl-C */ };

struct line_editor;
/* history_path: file of the history (NULL: none is kept), its folder is made. */
HS_MUST_USE enum hasten_status line_editor_open(const char *history_path, struct hs_error *error,
                                                struct line_editor **editor_out);
/* Saves the history. NULL inside is allowed. */
void line_editor_close(struct line_editor **editor);
/* *line_out without line end, valid until the next call. */
enum line_result line_editor_read(struct line_editor *editor, struct hs_str *line_out);

#endif
