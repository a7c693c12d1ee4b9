/*
 * Table-driven command line parser.
 *
 * One table feeds parsing, --help, completions and the man page. Tables live with their users (the
 * commands); this file knows no option by name. Values are written straight into a struct of the
 * caller by offset. Accepted forms: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, grouped short
 * flags are not. "--" ends options; a lone "-" is a positional argument. A flag --name has the
 * negative form --no-name. Unknown options get the nearest name as hint (Damerau-Levenshtein
 * distance <= 1/3 of the length, at least 1). Everything is checked: a number must use the whole
 * text and lie in [min, max].
 */
#ifndef HASTEN_BASE_OPTIONS_H
#define HASTEN_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum hs_option_kind {
    HS_OPTION_FLAG,   /* bool */
    HS_OPTION_INT,    /* int64_t, decimal or 0x */
    HS_OPTION_REAL,   /* double */
    HS_OPTION_TEXT,   /* const char *, points into argv */
    HS_OPTION_CHOICE, /* const char *, one of choices ("f16|f32") */
    HS_OPTION_LIST    /* struct hs_text_list, repeatable, entries point into argv */
};

struct hs_text_list {
    const char *items[32];
    int count;
};

struct hs_option {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short form, 0 for none */
    enum hs_option_kind kind;
    size_t offset;          /* offsetof in the caller's struct */
    const char *value_name; /* shown in help, e.g. "N"; NULL for flags */
    const char *choices;    /* CHOICE only */
    double min, max;        /* INT and REAL: inclusive range; both 0 means no range */
    const char *help;       /* one line, no final period; defaults stand in it */
};

/* Parses argv[0..argc) (program and command names already removed) into target; positional
 * arguments are kept in order in positionals (capacity argc), their number in *count_out.
 * INVALID_ARGUMENT with message, hint and place (the argument) on a wrong line. */
HS_MUST_USE enum hasten_status hs_options_parse(const struct hs_option *table, int argc,
                                                char *const argv[], void *target,
                                                const char **positionals, int *count_out,
                                                struct hs_error *error);
/* Appends the aligned help lines of the table, wrapped at 100 columns. */
void hs_options_help(const struct hs_option *table, struct hs_buffer *out);
/* Nearest of names[0..count) to text, or NULL when none is near. */
const char *hs_nearest(const char *text, const char *const *names, int count);

#endif
