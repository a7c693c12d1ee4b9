/*
 * hasten inspect: what a model file holds. Reads tables only: no weights, no graph, so files of
 * unknown architectures can be looked at too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "text/text_utf8.h"

enum { JSON_ARRAY_LIMIT = 64, TEXT_ARRAY_LIMIT = 6, TEXT_LIMIT = 100 };

struct inspect_options {
    bool full, json;
};

#define AT(member) offsetof(struct inspect_options, member)
/* clang-format off */
const struct hs_option cli_inspect_options[] = {
    {"full", 0, HS_OPTION_FLAG, AT(full), NULL, NULL, 0, 0,
     "print long metadata texts and arrays whole"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_inspect_notes[] = "With --json, metadata arrays of more than 64 elements are "
                                 "{\"type\", \"count\"} unless --full.\n"
                                 "Shapes are [rows, columns], outermost first.\n";

/* --- values --- */

static json_t *json_element(const struct gguf_entry *entry, uint64_t index)
{
    enum gguf_type type = entry->type == GGUF_ARRAY ? entry->element : entry->type;
    struct gguf_entry as_array = *entry; /* the readers take arrays: a value is an array of one */
    int64_t integer;
    double real;
    as_array.type = GGUF_ARRAY;
    as_array.element = type;
    if (type == GGUF_STRING)
        return cli_json_text(entry->type == GGUF_ARRAY ? entry->texts[index] : entry->text);
    if (type == GGUF_BOOL)
        return json_boolean(entry->data[index] != 0);
    if (type == GGUF_F32 || type == GGUF_F64)
        return gguf_array_f64(&as_array, index, &real) ? json_real(real) : json_null();
    if (gguf_array_i64(&as_array, index, &integer))
        return json_integer(integer);
    return gguf_array_f64(&as_array, index, &real) ? json_real(real) : json_null();
}

static json_t *json_value(const struct gguf_entry *entry, bool full)
{
    if (entry->type != GGUF_ARRAY)
        return json_element(entry, 0);
    if (entry->count > JSON_ARRAY_LIMIT && !full)
        return json_pack("{s:s,s:I}", "type", gguf_type_name(entry->element), "count",
                         (json_int_t)entry->count);
    json_t *array = json_array();
    for (uint64_t i = 0; i < entry->count; i++)
        json_array_append_new(array, json_element(entry, i));
    return array;
}

static void print_text(struct hs_str text, bool full)
{
    size_t shown = text.size_bytes, cut = 0;
    if (!full && shown > TEXT_LIMIT) {
        shown = tx_utf8_valid_prefix((struct hs_str){text.data, TEXT_LIMIT});
        shown = shown ? shown : TEXT_LIMIT;
        cut = text.size_bytes - shown;
    }
    json_t *value = cli_json_text((struct hs_str){text.data, shown});
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    cli_print("%s", quoted ? quoted : "?");
    if (cut)
        cli_print(" (and %zu more bytes)", cut);
    hs_free(quoted);
    json_decref(value);
}

static void print_element(const struct gguf_entry *entry, uint64_t index, bool full)
{
    enum gguf_type type = entry->type == GGUF_ARRAY ? entry->element : entry->type;
    if (type == GGUF_STRING) {
        print_text(entry->type == GGUF_ARRAY ? entry->texts[index] : entry->text, full);
        return;
    }
    json_t *value = json_element(entry, index);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7)) : NULL;
    cli_print("%s", text ? text : "?");
    hs_free(text);
    json_decref(value);
}

static void print_entry(const struct gguf_entry *entry, bool full)
{
    bool is_array = entry->type == GGUF_ARRAY;
    uint64_t shown =
        is_array && !full && entry->count > TEXT_ARRAY_LIMIT ? TEXT_ARRAY_LIMIT : entry->count;
    cli_print("  %.*s = ", HS_STR(entry->key));
    if (is_array)
        cli_print("%s[%" PRIu64 "] ", gguf_type_name(entry->element), entry->count);
    for (uint64_t i = 0; i < shown; i++) {
        cli_print(i ? ", " : "");
        print_element(entry, i, full);
    }
    cli_print(shown < entry->count ? ", ...\n" : "\n");
}

/* --- file --- */

static int64_t tensor_elements(const struct gguf_tensor *tensor)
{
    int64_t elements = 1; /* the reader has checked the product */
    for (int d = 0; d < GGUF_DIMS; d++)
        elements *= tensor->shape[d];
    return elements;
}

static int64_t parameters_of(const struct gguf_file *file)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < file->tensor_count; i++)
        sum += tensor_elements(&file->tensors[i]);
    return sum;
}

static json_t *json_tensor(const struct gguf_tensor *tensor)
{
    json_t *shape = json_array();
    for (int d = tensor->dims - 1; d >= 0; d--)
        json_array_append_new(shape, json_integer(tensor->shape[d]));
    return json_pack("{s:o,s:s,s:o,s:I}", "name", cli_json_text(tensor->name), "type",
                     tn_dtype_info(tensor->dtype)->name, "shape", shape, "size_bytes",
                     (json_int_t)tensor->size_bytes);
}

static enum hasten_status print_json(struct cli *cli, const struct gguf_file *file, bool full)
{
    struct hs_str architecture = {0};
    json_t *metadata = json_object(), *tensors = json_array();
    (void)gguf_get_text(file, "general.architecture", &architecture);
    for (int64_t i = 0; i < file->entry_count; i++) {
        const struct gguf_entry *entry = &file->entries[i];
        char *key = hs_strndup(entry->key.data, entry->key.size_bytes);
        if (key)
            json_object_set_new(metadata, key, json_value(entry, full));
        hs_free(key);
    }
    for (int64_t i = 0; i < file->tensor_count; i++)
        json_array_append_new(tensors, json_tensor(&file->tensors[i]));
    return cli_print_json(
        cli, json_pack("{s:o,s:I,s:I,s:o,s:o}", "architecture", cli_json_text(architecture),
                       "parameters", (json_int_t)parameters_of(file), "size_bytes",
                       (json_int_t)file->size_bytes, "metadata", metadata, "tensors", tensors));
}

static void print_tensor(const struct gguf_tensor *tensor)
{
    char size[24];
    cli_print("  %-32.*s %-6s [", HS_STR(tensor->name), tn_dtype_info(tensor->dtype)->name);
    for (int d = tensor->dims - 1; d >= 0; d--)
        cli_print("%" PRId64 "%s", tensor->shape[d], d ? ", " : "");
    cli_print("]  %s\n", cli_size_text(tensor->size_bytes, size));
}

static void print_plain(const struct gguf_file *file, const char *label, bool full)
{
    struct hs_str architecture = hs_str_of("unknown");
    char size[24];
    (void)gguf_get_text(file, "general.architecture", &architecture);
    cli_print("model         %s\n", label);
    cli_print("format        GGUF version %u, %d file%s\n", file->version, file->part_count,
              file->part_count == 1 ? "" : "s");
    cli_print("architecture  %.*s\n", HS_STR(architecture));
    cli_print("parameters    %.1f million\n", (double)parameters_of(file) / 1e6);
    cli_print("size          %s\n", cli_size_text(file->size_bytes, size));
    cli_print("\nmetadata (%" PRId64 ")\n", file->entry_count);
    for (int64_t i = 0; i < file->entry_count; i++)
        print_entry(&file->entries[i], full);
    cli_print("\ntensors (%" PRId64 ")\n", file->tensor_count);
    for (int64_t i = 0; i < file->tensor_count; i++)
        print_tensor(&file->tensors[i]);
}

enum hasten_status cli_inspect(struct cli *cli, int argc, char *const argv[])
{
    struct inspect_options options = {0};
    struct cli_arguments arguments;
    struct gguf_file *file = NULL;
    const char *path, *label;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 1, &arguments));
    HS_TRY(cli_find_model(cli, arguments.count ? arguments.items[0] : NULL, &path, &label));
    enum hasten_status status = gguf_open(path, &cli->error, &file);
    if (status != HASTEN_OK)
        return hs_error_at(&cli->error, "%s", path);
    if (options.json)
        status = print_json(cli, file, options.full);
    else
        print_plain(file, label, options.full);
    gguf_close(&file);
    return status;
}
