/*
 * Entry of the room: finds the family of a file in the table and calls it.
 */
#include "models/model.h"

#include "models/facts.h"
#include "models/family_table.h"

struct family {
    const char *name;
    enum hasten_status (*facts)(const struct gguf_file *file, struct hs_error *error,
                                struct md_facts *facts_out);
    enum hasten_status (*build)(const struct gguf_file *file, const struct md_options *options,
                                struct hs_error *error, struct ir_graph **graph_out);
};

#define FAMILY_ROW(family, text) {text, md_##family##_facts, md_##family##_build},
static const struct family families[] = {MD_FAMILY_TABLE(FAMILY_ROW)};
#define FAMILY_NAME(family, text) " " text
static const char known_families[] = "known architectures:" MD_FAMILY_TABLE(FAMILY_NAME);

static enum hasten_status find_family(const struct gguf_file *file, struct hs_error *error,
                                      const struct family **family_out)
{
    struct hs_str name = {0};
    if (!gguf_get_text(file, "general.architecture", &name))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "is this a language model?",
                       "metadata 'general.architecture' is missing or not a text");
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (hs_str_is(name, families[i].name)) {
            *family_out = &families[i];
            return HASTEN_OK;
        }
    int shown = name.size_bytes > 64 ? 64 : (int)name.size_bytes;
    return md_fail(file, error, HASTEN_UNSUPPORTED, known_families, "unknown architecture '%.*s'",
                   shown, name.data);
}

enum hasten_status md_facts_read(const struct gguf_file *file, struct hs_error *error,
                                 struct md_facts *facts_out)
{
    const struct family *family = NULL;
    HS_TRY(find_family(file, error, &family));
    struct md_facts facts = {.architecture = family->name};
    HS_TRY(family->facts(file, error, &facts));
    gguf_get_text(file, "general.name", &facts.name);
    facts.parameters = md_count_parameters(file);
    *facts_out = facts;
    return HASTEN_OK;
}

enum hasten_status md_build(const struct gguf_file *file, const struct md_options *options,
                            struct hs_error *error, struct ir_graph **graph_out)
{
    const struct family *family = NULL;
    HS_TRY(find_family(file, error, &family));
    return family->build(file, options, error, graph_out);
}

struct hs_str md_chat_template(const struct gguf_file *file)
{
    struct hs_str text = {0};
    gguf_get_text(file, "tokenizer.chat_template", &text);
    return text;
}
