/*
 * The model families, one row each: function prefix and architecture name in general.architecture.
 * A family FAMILY provides md_FAMILY_facts and md_FAMILY_build, declared here by expansion.
 */
#ifndef HASTEN_MODELS_FAMILY_TABLE_H
#define HASTEN_MODELS_FAMILY_TABLE_H

#include "models/model.h"

#define MD_FAMILY_TABLE(X)                                                                         \
    X(llama, "llama")                                                                              \
    X(gemma3, "gemma3")

#define MD_FAMILY_DECLARE(family, name)                                                            \
    enum hasten_status md_##family##_facts(const struct gguf_file *file, struct hs_error *error,   \
                                           struct md_facts *facts_out);                            \
    enum hasten_status md_##family##_build(const struct gguf_file *file,                           \
                                           const struct md_options *options,                       \
                                           struct hs_error *error, struct ir_graph **graph_out);
MD_FAMILY_TABLE(MD_FAMILY_DECLARE)
#undef MD_FAMILY_DECLARE

#endif
