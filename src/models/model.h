/*
 * Model families: metadata and tensor table of a model file -> canonical graph, vocabulary, facts.
 *
 * One family a file (llama.c, ...), listed in the family table (family_table.h); adding a family
 * means one row and one builder. Builders emit plain canonical ops: no fusion, no layouts.
 */
#ifndef HASTEN_MODELS_MODEL_H
#define HASTEN_MODELS_MODEL_H

#include "formats/gguf.h"
#include "ir/graph.h"
#include "text/vocab.h"

struct md_options {
    enum tn_dtype kv_dtype; /* of the KV pages: F32, F16, BF16 or Q8_0 */
    /* Planted faults for tests: the quality proofs must fail under them. 0 / false = none. */
    double fault_rope_base_factor; /* rope base times this */
    bool fault_skip_norm;          /* leave out the first layer's ffn norm */
    int32_t fault_window_delta;    /* sliding window changed by this */
};

struct md_facts {             /* what a family knows about a file */
    const char *architecture; /* "llama" */
    struct hs_str name;       /* general.name, may be empty */
    int64_t layers, embedding, heads, kv_heads, head_dim, feed_forward, vocab;
    int64_t context_length; /* trained context */
    double rope_base;
    float norm_eps;
    int64_t parameters; /* sum of tensor elements */
};

/* Reads the facts (all values range-checked: a family's limits stand at its head). UNSUPPORTED for
 * an unknown architecture (hint lists the known ones), CORRUPT_INPUT for missing or impossible
 * metadata or tensors (message names key or tensor, expected and found shape). */
HS_MUST_USE enum hasten_status md_facts_read(const struct gguf_file *file, struct hs_error *error,
                                             struct md_facts *facts_out);
/* Builds the canonical graph. Constants name tensors of the file. Caller frees the graph. */
HS_MUST_USE enum hasten_status md_build(const struct gguf_file *file,
                                        const struct md_options *options, struct hs_error *error,
                                        struct ir_graph **graph_out);
/* Vocabulary from tokenizer.ggml.*; arrays live in arena, texts point into the file. NOT_FOUND when
 * the file has no tokenizer. */
HS_MUST_USE enum hasten_status md_vocab_read(const struct gguf_file *file, struct hs_arena *arena,
                                             struct hs_error *error, struct tx_vocab *vocab_out);
/* Source of the chat template, or an empty view. */
struct hs_str md_chat_template(const struct gguf_file *file);

#endif
