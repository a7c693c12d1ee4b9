/*
 * Parser of catalog files. The form is described at the head of models/catalog.ini.
 *
 * Strict on purpose: an unknown key, a missing one or a malformed value is an error with file and
 * line, since a mistyped line silently ignored would show up much later as a failed download. Texts
 * are copied into the catalog's arena. Names of models and files have a small alphabet, so that
 * they can become path components and arguments of programs.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/options.h"
#include "catalog/catalog_internal.h"

#define LINE_BYTES_MOST      4096
#define NAME_BYTES_MOST      64
#define FILE_NAME_BYTES_MOST 200 /* leaves room for the suffixes of temporary files */
#define MODELS_MOST          4096

enum key {
    KEY_DESCRIPTION,
    KEY_SOURCE,
    KEY_PART,
    KEY_FILE,
    KEY_SHA256,
    KEY_SIZE,
    KEY_LICENCE,
    KEY_TERMS,
    KEY_DEFAULT
};
static const char *const key_names[] = {"description", "source",  "part",  "file",   "sha256",
                                        "size",        "licence", "terms", "default"};
#define KEY_COUNT (int)(sizeof(key_names) / sizeof(key_names[0]))

struct ini {
    struct ct_catalog *catalog;
    const char *file_name;
    struct hs_error *error;
    int line;
    struct ct_model model; /* section being read; name NULL before the first */
    int section_line;
    bool seen[KEY_COUNT];
    bool *own; /* [MODELS_MOST] true: the model came from this file */
    bool has_default;
};

static enum hasten_status fail_line(const struct ini *ini, int line, const char *hint,
                                    const char *message)
{
    (void)hs_fail(ini->error, HASTEN_CORRUPT_INPUT, hint, "%s", message);
    (void)hs_error_at(ini->error, "%s:%d", ini->file_name, line);
    return HASTEN_CORRUPT_INPUT;
}

static enum hasten_status wrong(const struct ini *ini, const char *message)
{
    return fail_line(ini, ini->line, NULL, message);
}

static enum hasten_status out_of_memory(const struct ini *ini)
{
    return hs_fail(ini->error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for the catalog");
}

static struct hs_str trim(struct hs_str text)
{
    while (text.size_bytes && (text.data[0] == ' ' || text.data[0] == '\t'))
        text.data++, text.size_bytes--;
    while (text.size_bytes && memchr(" \t\r", text.data[text.size_bytes - 1], 3))
        text.size_bytes--;
    return text;
}

static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
static const char mixed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";

/* Only characters of the alphabet, first one a letter or digit, length in range. */
static bool is_name(struct hs_str text, const char *alphabet, size_t bytes_most)
{
    if (text.size_bytes == 0 || text.size_bytes > bytes_most || strchr("._+-", text.data[0]))
        return false;
    for (size_t i = 0; i < text.size_bytes; i++)
        if (!strchr(alphabet, text.data[i]))
            return false;
    return true;
}

/* ---- Values ---- */

static enum hasten_status check_part(struct ini *ini, struct hs_str part)
{
    const char *rest, *reason;
    char *text = hs_arena_strndup(&ini->catalog->arena, part.data, part.size_bytes);
    if (!text)
        return out_of_memory(ini);
    const struct ct_source_kind *kind = ct_source_kind_of(text, &rest);
    if (!kind)
        return fail_line(ini, ini->line,
                         "known are pypi:, https:, hf: and file:", "unknown kind of source");
    reason = kind->check(rest);
    return reason ? wrong(ini, reason) : HASTEN_OK;
}

static enum hasten_status check_parts(struct ini *ini, const char *value)
{
    const char *rest = value;
    for (struct hs_str part = ct_next_part(&rest); part.data; part = ct_next_part(&rest))
        HS_TRY(check_part(ini, part));
    return HASTEN_OK;
}

static enum hasten_status set_source(struct ini *ini, const char *value)
{
    if (ini->model.source_count == CT_SOURCES)
        return wrong(ini, "too many sources, 4 are allowed");
    HS_TRY(check_parts(ini, value));
    if (ct_count_parts(value) > CT_PARTS)
        return wrong(ini, "too many parts, 64 are allowed");
    ini->model.sources[ini->model.source_count++] = value;
    return HASTEN_OK;
}

/* Appends to the source above. */
static enum hasten_status set_part(struct ini *ini, const char *value)
{
    if (ini->model.source_count == 0)
        return fail_line(ini, ini->line, "the first part is a line 'source = ...'",
                         "part before the first source");
    HS_TRY(check_parts(ini, value));
    const char **source = &ini->model.sources[ini->model.source_count - 1];
    if (ct_count_parts(*source) + ct_count_parts(value) > CT_PARTS)
        return wrong(ini, "too many parts, 64 are allowed");
    const char *joined =
        hs_arena_printf(&ini->catalog->arena, "%s" CT_PART_JOINT "%s", *source, value);
    if (!joined)
        return out_of_memory(ini);
    *source = joined;
    return HASTEN_OK;
}

static enum hasten_status set_sha256(struct ini *ini, char *value)
{
    for (char *at = value; *at; at++)
        if (*at >= 'A' && *at <= 'F')
            *at = (char)(*at + ('a' - 'A'));
    if (strlen(value) != CT_SHA256_HEX || strspn(value, "0123456789abcdef") != CT_SHA256_HEX)
        return wrong(ini, "sha256 must have 64 hex digits");
    ini->model.sha256 = value;
    return HASTEN_OK;
}

static enum hasten_status set_size(struct ini *ini, const char *value)
{
    uint64_t size_bytes = 0;
    for (const char *at = value; *at; at++) {
        if (*at < '0' || *at > '9' || size_bytes > (INT64_MAX - 9) / 10)
            return wrong(ini, "size must be a number of bytes");
        size_bytes = size_bytes * 10 + (uint64_t)(*at - '0');
    }
    if (size_bytes == 0)
        return wrong(ini, "size must not be 0");
    ini->model.size_bytes = size_bytes;
    return HASTEN_OK;
}

static enum hasten_status set_default(struct ini *ini, const char *value)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return wrong(ini, "default must be yes or no");
    if (strcmp(value, "no") == 0)
        return HASTEN_OK;
    if (ini->has_default)
        return wrong(ini, "another model of this file is the default already");
    ini->has_default = true;
    ini->model.is_default = true;
    return HASTEN_OK;
}

static enum hasten_status set_value(struct ini *ini, enum key key, char *value)
{
    switch (key) {
    case KEY_DESCRIPTION:
        ini->model.description = value;
        return HASTEN_OK;
    case KEY_SOURCE:
        return set_source(ini, value);
    case KEY_PART:
        return set_part(ini, value);
    case KEY_FILE:
        if (!is_name(hs_str_of(value), mixed, FILE_NAME_BYTES_MOST))
            return wrong(ini, "file must be a name of letters, digits, '.', '_', '+' and '-'");
        ini->model.file_name = value;
        return HASTEN_OK;
    case KEY_SHA256:
        return set_sha256(ini, value);
    case KEY_SIZE:
        return set_size(ini, value);
    case KEY_LICENCE:
        ini->model.licence = value;
        return HASTEN_OK;
    case KEY_TERMS:
        ini->model.terms = value;
        return HASTEN_OK;
    case KEY_DEFAULT:
        return set_default(ini, value);
    }
    return HASTEN_INTERNAL;
}

/* ---- Sections ---- */

/* The model's place in the catalog: that of the same name, or a new one. */
static enum hasten_status place_for(struct ini *ini, int *index_out)
{
    struct ct_catalog *catalog = ini->catalog;
    for (int i = 0; i < catalog->count; i++)
        if (strcmp(catalog->models[i].name, ini->model.name) == 0) {
            *index_out = i;
            return HASTEN_OK;
        }
    if (catalog->count == MODELS_MOST)
        return wrong(ini, "too many models");
    if (!ct_model_new(catalog))
        return out_of_memory(ini);
    *index_out = catalog->count - 1;
    return HASTEN_OK;
}

/* One file in the cache may not stand for two contents. */
static bool file_name_taken(const struct ct_catalog *catalog, const struct ct_model *model)
{
    for (int i = 0; i < catalog->count; i++) {
        const struct ct_model *other = &catalog->models[i];
        if (strcmp(other->name, model->name) != 0 &&
            strcmp(other->file_name, model->file_name) == 0 &&
            strcmp(other->sha256, model->sha256) != 0)
            return true;
    }
    return false;
}

static enum hasten_status end_section(struct ini *ini)
{
    struct ct_model *model = &ini->model;
    int index = 0, line = ini->section_line;
    if (!model->name)
        return HASTEN_OK;
    static const enum key needed[] = {KEY_SOURCE, KEY_FILE, KEY_SHA256, KEY_SIZE, KEY_LICENCE};
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!ini->seen[needed[i]]) {
            char message[128];
            (void)snprintf(message, sizeof(message), "section [%s] has no line '%s ='", model->name,
                           key_names[needed[i]]);
            return fail_line(ini, line, NULL, message);
        }
    if (file_name_taken(ini->catalog, model))
        return fail_line(ini, line, "give it another name in the cache (file = ...)",
                         "another model has the same file name and another content");
    if (!model->description)
        model->description = "";
    HS_TRY(place_for(ini, &index));
    for (int i = 0; model->is_default && i < ini->catalog->count; i++)
        ini->catalog->models[i].is_default = false;
    ini->catalog->models[index] = *model;
    ini->own[index] = true;
    return HASTEN_OK;
}

static enum hasten_status begin_section(struct ini *ini, struct hs_str line)
{
    HS_TRY(end_section(ini));
    if (line.data[line.size_bytes - 1] != ']')
        return wrong(ini, "section line has no closing ']'");
    struct hs_str name = trim((struct hs_str){line.data + 1, line.size_bytes - 2});
    if (!is_name(name, lower, NAME_BYTES_MOST))
        return fail_line(ini, ini->line, "use lower-case letters, digits, '.', '_' and '-'",
                         "wrong model name");
    ini->model = (struct ct_model){0};
    memset(ini->seen, 0, sizeof(ini->seen));
    ini->section_line = ini->line;
    ini->model.name = hs_arena_strndup(&ini->catalog->arena, name.data, name.size_bytes);
    if (!ini->model.name)
        return out_of_memory(ini);
    for (int i = 0; i < ini->catalog->count; i++)
        if (ini->own[i] && strcmp(ini->catalog->models[i].name, ini->model.name) == 0)
            return wrong(ini, "the model has a section already");
    return HASTEN_OK;
}

static enum hasten_status unknown_key(const struct ini *ini, struct hs_str key)
{
    char text[32], hint[64] = "";
    size_t length = key.size_bytes < sizeof(text) ? key.size_bytes : sizeof(text) - 1;
    memcpy(text, key.data, length);
    text[length] = 0;
    const char *near = hs_nearest(text, key_names, KEY_COUNT);
    if (near)
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
    (void)hs_fail(ini->error, HASTEN_CORRUPT_INPUT, near ? hint : NULL, "unknown key '%s'", text);
    (void)hs_error_at(ini->error, "%s:%d", ini->file_name, ini->line);
    return HASTEN_CORRUPT_INPUT;
}

static enum hasten_status read_pair(struct ini *ini, struct hs_str line)
{
    const char *equals = memchr(line.data, '=', line.size_bytes);
    if (!equals)
        return wrong(ini, "line is neither [name], key = value nor a comment");
    if (!ini->model.name)
        return wrong(ini, "line before the first [name]");
    size_t before = (size_t)(equals - line.data);
    struct hs_str key = trim((struct hs_str){line.data, before});
    struct hs_str value = trim((struct hs_str){equals + 1, line.size_bytes - before - 1});
    int found = 0;
    while (found < KEY_COUNT && !hs_str_is(key, key_names[found]))
        found++;
    if (found == KEY_COUNT)
        return unknown_key(ini, key);
    if (ini->seen[found] && found != KEY_SOURCE && found != KEY_PART)
        return wrong(ini, "the key stands twice in this section");
    if (value.size_bytes == 0)
        return wrong(ini, "the value is empty");
    ini->seen[found] = true;
    char *copy = hs_arena_strndup(&ini->catalog->arena, value.data, value.size_bytes);
    return copy ? set_value(ini, (enum key)found, copy) : out_of_memory(ini);
}

static enum hasten_status read_line(struct ini *ini, struct hs_str line)
{
    line = trim(line);
    if (line.size_bytes > LINE_BYTES_MOST)
        return wrong(ini, "line is too long");
    for (size_t i = 0; i < line.size_bytes; i++)
        if ((unsigned char)line.data[i] < 0x20 && line.data[i] != '\t')
            return wrong(ini, "line has control characters");
    if (line.size_bytes == 0 || line.data[0] == '#' || line.data[0] == ';')
        return HASTEN_OK;
    return line.data[0] == '[' ? begin_section(ini, line) : read_pair(ini, line);
}

static enum hasten_status read_lines(struct ini *ini, const char *text, size_t size_bytes)
{
    static const char mark[] = "\xef\xbb\xbf"; /* byte order mark of UTF-8 */
    size_t at = size_bytes >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    while (at < size_bytes) {
        const char *end = memchr(text + at, '\n', size_bytes - at);
        size_t length = end ? (size_t)(end - text) - at : size_bytes - at;
        ini->line++;
        HS_TRY(read_line(ini, (struct hs_str){text + at, length}));
        at += length + 1;
    }
    return end_section(ini);
}

enum hasten_status ct_ini_parse(struct ct_catalog *catalog, const char *file_name, const char *text,
                                size_t size_bytes, struct hs_error *error)
{
    struct ini ini = {.catalog = catalog, .file_name = file_name, .error = error};
    ini.own = hs_calloc(MODELS_MOST, sizeof(*ini.own));
    if (!ini.own)
        return out_of_memory(&ini);
    enum hasten_status status = read_lines(&ini, text, size_bytes);
    hs_free(ini.own);
    return status;
}
