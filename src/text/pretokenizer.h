/*
 * Pre-tokenizer: cuts text into words before BPE merging, by the published patterns of a model
 * family (table: pretokenizer_rules.c). The patterns of a rule are applied one after the other:
 * each cuts the pieces that the previous one left into matches and the gaps between them.
 *
 * A pretokenizer is immutable and shared by threads; a splitter is the work memory of one call.
 */
#ifndef HASTEN_TEXT_PRETOKENIZER_H
#define HASTEN_TEXT_PRETOKENIZER_H

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"

enum { TX_RULE_PATTERNS = 6 };

struct tx_pretokenizer_rule {
    const char *names;  /* metadata names of the rule, separated by spaces */
    bool ignore_merges; /* a word that is a token as a whole is not merged from its parts */
    const char *patterns[TX_RULE_PATTERNS]; /* NULL after the last */
};
extern const struct tx_pretokenizer_rule tx_pretokenizer_rules[];
extern const int tx_pretokenizer_rule_count;

struct tx_pretokenizer;
/* Compiles the rule of that name (empty: "default"). UNSUPPORTED when no rule has it. */
HS_MUST_USE enum hasten_status tx_pretokenizer_open(struct hs_str name, struct hs_error *error,
                                                    struct tx_pretokenizer **pretokenizer_out);
void tx_pretokenizer_close(struct tx_pretokenizer **pretokenizer);
bool tx_pretokenizer_ignores_merges(const struct tx_pretokenizer *pretokenizer);

struct tx_splitter;
HS_MUST_USE enum hasten_status tx_splitter_open(const struct tx_pretokenizer *pretokenizer,
                                                struct hs_error *error,
                                                struct tx_splitter **splitter_out);
void tx_splitter_close(struct tx_splitter **splitter);
/* Cuts text (well-formed UTF-8, under 2 GiB). The words end at (*ends_out)[0..*count_out),
 * ascending, the last one at the end of text; valid until the next call. */
HS_MUST_USE enum hasten_status tx_split(struct tx_splitter *splitter, struct hs_str text,
                                        struct hs_error *error, const uint32_t **ends_out,
                                        size_t *count_out);

#endif
