/*
 * JSON reading: the bodies of requests, from anybody.
 *
 * jansson parses; before it does, one pass over the bytes counts nesting and values, because a tree
 * costs up to a hundred times its text and a parser's stack grows with depth. Getters check kind
 * and range and name the field in the problem. A field that is null counts as not given.
 */
#ifndef HASTEN_SERVE_JSON_SOURCE_H
#define HASTEN_SERVE_JSON_SOURCE_H

#include <jansson.h>

#include "base/bytes.h"
#include "serve/serve_problem.h"

enum { SV_JSON_DEPTH_MAX = 64, SV_JSON_VALUES_MAX = 1 << 18 };

/* An object; false with a 400. Caller owns it: json_decref. */
bool sv_json_read(struct hs_str body, struct sv_problem *problem, json_t **root_out);

/* NULL when there is none or it is null. */
const json_t *sv_json_field(const json_t *object, const char *name);
/* These leave *out as it is when the field is not given, and are false when it is wrong. */
bool sv_json_bool(const json_t *object, const char *name, struct sv_problem *problem, bool *out);
struct sv_json_range {
    double low, high;
};
bool sv_json_int(const json_t *object, const char *name, struct sv_json_range range,
                 struct sv_problem *problem, int64_t *out);
bool sv_json_real(const json_t *object, const char *name, struct sv_json_range range,
                  struct sv_problem *problem, double *out);
bool sv_json_text(const json_t *object, const char *name, struct sv_problem *problem,
                  struct hs_str *out);
/* A view of a JSON string. */
struct hs_str sv_json_view(const json_t *string);

#endif
