/* What the tests on models share: finding the model, opening it, watching answers, golden files,
 * KL. */
#ifndef HASTEN_TESTS_MODEL_TEST_H
#define HASTEN_TESTS_MODEL_TEST_H

#include <stdbool.h>

#include "engine/engine.h"

/* Path of a catalog model in the cache, pulled when missing. Caller frees with hs_free. Ends the
 * test program when there is none. */
char *mt_model_path(const char *name);
/* Opens a model or ends the program with the error's text. */
struct en_model *mt_open(const char *path, const struct en_options *options);
/* Ends the program with a message. */
__attribute__((format(printf, 1, 2), noreturn)) void mt_fail(const char *format, ...);
/* Prints the error and ends the program when status is not OK. */
void mt_must(enum hasten_status status, const struct hs_error *error);
/* F32 form of a model, made once beside it in the cache (PATH.f32.gguf). Caller frees. */
char *mt_f32_form(const char *path);
/* Whole text file under tests/data. Caller frees with hs_free. */
char *mt_text(const char *name, size_t *size_bytes_out);

enum { MT_TOP = 64 };
struct mt_golden_row {
    uint32_t window, position;
    double log_sum_exp;
    uint32_t id[MT_TOP];
    float logit[MT_TOP];
};
struct mt_golden {
    uint32_t ctx, vocab, windows, rows;
    uint32_t *ids;             /* [windows][ctx] */
    struct mt_golden_row *row; /* [rows] windows ascending, positions ascending */
    char *bytes;
};
/* Reads tests/golden/NAME; ends the program on a malformed file. */
struct mt_golden mt_golden_read(const char *name);
void mt_golden_free(struct mt_golden *golden);
/* KL of our logits against a golden row over 64 ids and one rest bucket. */
double mt_golden_kl(const struct mt_golden_row *row, const float *logits, int64_t vocab);

/* Allocations from an answer's first token to its last, seen by on_token; its context begins with
 * one of these. */
struct mt_watch {
    uint64_t first, last;
    int tokens;
};
void mt_watch_token(void *watch, int32_t id);
/* An on_text that wants more. */
bool mt_ignore_text(void *context, const char *text, size_t size_bytes);
/* Generates past the end with every feature of sampling, stop strings and log probabilities. */
struct en_generate_options mt_generate_everything(void);

struct mt_kl {
    double mean, largest;
    uint32_t rows, argmax_differs;
};
/*
 * Checks a token golden (tests/golden/make_tokens.c): the catalog model `name` gives the golden's
 * ids for every string of tests/golden/GOLDEN, and every string comes back from its ids except
 * those that `loses` (NULL: none) names. HASTEN_TOKENS_GOLDEN names a larger golden for an offline
 * run. Ends the program on the first difference; returns how many strings there were.
 */
uint32_t mt_check_tokens(const char *name, const char *golden, bool (*loses)(struct hs_str text));

/* Runs the golden's windows through a model and compares every golden row. */
struct mt_kl mt_compare(struct en_model *model, const struct mt_golden *golden);
/* The same on the caller's sequence, which is rewound first and holds the last window afterwards.
 */
struct mt_kl mt_compare_on(struct en_model *model, struct rt_sequence *sequence,
                           const struct mt_golden *golden);

/*
 * KL of one model against another over all positions from `first` on of the golden's windows; only
 * the ids of the golden are used. Both have the same vocabulary.
 */
struct mt_kl mt_compare_models(struct en_model *model, struct en_model *reference,
                               const struct mt_golden *golden, int32_t first);

/* The texts of a model's graphs, canonical and lowered, are read back to graphs of the same text;
 * ends the program otherwise. */
void mt_check_round_trip(const struct en_model *model);

#endif
