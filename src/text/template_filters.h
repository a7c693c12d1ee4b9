/* Filters of chat templates that stand in files of their own (internal to the template files); the
 * table is in template_filters.c. */
#ifndef HASTEN_TEXT_TEMPLATE_FILTERS_H
#define HASTEN_TEXT_TEMPLATE_FILTERS_H

#include "text/template_eval.h"

typedef enum hasten_status tx_filter_fn(struct tx_eval *eval, const struct tx_value *value,
                                        const struct tx_arguments *arguments,
                                        struct tx_value *value_out);

/* template_sequences.c: over items */
tx_filter_fn tx_filter_map, tx_filter_select, tx_filter_reject, tx_filter_selectattr,
    tx_filter_rejectattr, tx_filter_sort, tx_filter_unique, tx_filter_dictsort, tx_filter_sum,
    tx_filter_min, tx_filter_max, tx_filter_join;

/* template_format.c: texts and numbers in a wanted form */
tx_filter_fn tx_filter_indent, tx_filter_title, tx_filter_escape, tx_filter_round, tx_filter_format,
    tx_filter_tojson;

#endif
