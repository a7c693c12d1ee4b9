/* Bounded JSON; see json_source.h. */
#include "serve/json_source.h"

#include <math.h>

/* One pass over well-formed or broken JSON: depth and number of values, neither beyond its cap. */
static bool is_bounded(struct hs_str body, struct sv_problem *problem)
{
    int depth = 0;
    int64_t values = 1;
    bool in_text = false;
    for (size_t i = 0; i < body.size_bytes; i++) {
        char c = body.data[i];
        if (in_text) {
            i += c == '\\';
            in_text = c != '"';
            continue;
        }
        in_text = c == '"';
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        values += c == ',' || c == '{' || c == '[';
        if (depth > SV_JSON_DEPTH_MAX)
            return sv_fail(problem, 400, NULL, "the body is nested deeper than %d",
                           SV_JSON_DEPTH_MAX);
        if (values > SV_JSON_VALUES_MAX)
            return sv_fail(problem, 400, NULL, "the body has more than %d values",
                           SV_JSON_VALUES_MAX);
    }
    return true;
}

bool sv_json_read(struct hs_str body, struct sv_problem *problem, json_t **root_out)
{
    json_error_t error;
    if (!is_bounded(body, problem))
        return false;
    json_t *root = json_loadb(body.data ? body.data : "", body.size_bytes, 0, &error);
    if (!root && json_error_code(&error) == json_error_out_of_memory)
        return sv_fail(problem, 503, NULL, "no memory for the request");
    if (!root)
        return sv_fail(problem, 400, NULL, "the body is no JSON: line %d, column %d: %.100s",
                       error.line, error.column, error.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return sv_fail(problem, 400, NULL, "the body is no JSON object");
    }
    *root_out = root;
    return true;
}

const json_t *sv_json_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool sv_json_bool(const json_t *object, const char *name, struct sv_problem *problem, bool *out)
{
    const json_t *value = sv_json_field(object, name);
    if (value && !json_is_boolean(value))
        return sv_fail(problem, 400, name, "%s must be true or false", name);
    if (value)
        *out = json_is_true(value);
    return true;
}

bool sv_json_real(const json_t *object, const char *name, struct sv_json_range range,
                  struct sv_problem *problem, double *out)
{
    const json_t *value = sv_json_field(object, name);
    if (!value)
        return true;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= range.low && number <= range.high))
        return sv_fail(problem, 400, name, "%s must be a number from %g to %g", name, range.low,
                       range.high);
    *out = number;
    return true;
}

bool sv_json_int(const json_t *object, const char *name, struct sv_json_range range,
                 struct sv_problem *problem, int64_t *out)
{
    const json_t *value = sv_json_field(object, name);
    if (!value)
        return true;
    double number = json_number_value(value);
    bool is_whole = json_is_integer(value) ||
                    (json_is_real(value) && fabs(number) < 9e15 && number == floor(number));
    if (!is_whole || !(number >= range.low && number <= range.high))
        return sv_fail(problem, 400, name, "%s must be a whole number from %.0f to %.0f", name,
                       range.low, range.high);
    *out = json_is_integer(value) ? (int64_t)json_integer_value(value) : (int64_t)number;
    return true;
}

bool sv_json_text(const json_t *object, const char *name, struct sv_problem *problem,
                  struct hs_str *out)
{
    const json_t *value = sv_json_field(object, name);
    if (value && !json_is_string(value))
        return sv_fail(problem, 400, name, "%s must be a string", name);
    if (value)
        *out = sv_json_view(value);
    return true;
}

struct hs_str sv_json_view(const json_t *string)
{
    return (struct hs_str){json_string_value(string), json_string_length(string)};
}
