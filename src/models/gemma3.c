/*
 * Family "gemma3": Gemma 3 text models.
 *
 * Four norms a layer: x += post_norm(o(attention(...)) of norm(x)); x += post_norm(down(gelu(gate)
 * * up)) of norm(x). Q and K are normed head by head before rope over halves (NEOX). Embeddings are
 * scaled by sqrt(E). Five layers of six see a sliding window only and rotate with a base of their
 * own; every sixth sees everything, with the file's base and linear position scaling. Norm weights
 * are stored as 1 + w. The head is tied unless the file has output.weight. Source: Gemma 3
 * technical report (2025); key names and what holds when a file is silent as in llama.cpp's loader:
 * no attention.sliding_window: no windows at all; pattern 6; rope.freq_base_swa 10000 (never
 * scaled); rope.freq_base 10000.
 *
 * Page groups: window layers share one that gives pages back, global layers another.
 *
 * Refused: what dense families refuse, and window layers whose heads differ in size. A soft cap of
 * scores (attn_logit_softcapping, which no Gemma 3 has) is honoured.
 */
#include <math.h>

#include "models/dense.h"
#include "models/family_table.h"

#define ARCH "gemma3"

enum { PATTERN_DEFAULT = 6, LAYERS_27B = 62 };

struct gemma3 {
    struct md_facts facts;
    struct md_rope global_rope, local_rope;
    int64_t window; /* 0: every layer sees everything */
    uint8_t is_local[MD_LAYERS_MOST];
    double scale, score_cap, logit_cap;
};

/* ---- metadata ---- */

/* Which layers have a window: one flag a layer, or every n-th has none (n = 0: all have one). */
static enum hasten_status read_pattern(const struct gguf_file *file, struct hs_error *error,
                                       struct gemma3 *gemma)
{
    const char *key = ARCH ".attention.sliding_window_pattern";
    const struct gguf_entry *entry = gguf_find(file, key);
    const struct md_range any = {0, UINT32_MAX};
    int64_t pattern = PATTERN_DEFAULT, layers = gemma->facts.layers;
    if (entry && entry->type == GGUF_ARRAY) {
        if (entry->count != (uint64_t)layers)
            return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                           "metadata '%s' has %llu entries, expected %lld", key,
                           (unsigned long long)entry->count, (long long)layers);
        for (int64_t i = 0; i < layers; i++) {
            int64_t flag = 0;
            if (!gguf_array_i64(entry, (uint64_t)i, &flag))
                return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                               "metadata '%s' is not an array of flags", key);
            gemma->is_local[i] = flag != 0;
        }
        return HASTEN_OK;
    }
    HS_TRY(md_read_int(file, ARCH, "attention.sliding_window_pattern", any, error, &pattern));
    for (int64_t i = 0; i < layers; i++)
        gemma->is_local[i] = pattern == 0 || i % pattern < pattern - 1;
    return HASTEN_OK;
}

/* Sizes that window layers could have of their own. */
static enum hasten_status refuse_other_sizes(const struct gguf_file *file, struct hs_error *error,
                                             const struct gemma3 *gemma)
{
    static const char *const keys[] = {"attention.key_length_swa", "attention.value_length_swa",
                                       "rope.dimension_count_swa"};
    const struct md_range any = {0, INT64_MAX};
    for (int i = 0; i < 3; i++) {
        int64_t expected = i == 2 ? gemma->global_rope.dims : gemma->facts.head_dim;
        int64_t value = expected;
        HS_TRY(md_read_int(file, ARCH, keys[i], any, error, &value));
        if (value != expected)
            return md_fail(file, error, HASTEN_UNSUPPORTED,
                           "models whose layers differ in size are not supported",
                           "metadata '" ARCH ".%s' is %lld, global layers have %lld", keys[i],
                           (long long)value, (long long)expected);
    }
    return HASTEN_OK;
}

static enum hasten_status read_windows(const struct gguf_file *file, struct hs_error *error,
                                       struct gemma3 *gemma)
{
    const struct md_range window = {0, md_context_range.high};
    HS_TRY(md_read_int(file, ARCH, "attention.sliding_window", window, error, &gemma->window));
    gemma->local_rope = gemma->global_rope;
    gemma->local_rope.base = 10000;
    gemma->local_rope.position_scale = 1;
    if (gemma->window == 0)
        return HASTEN_OK;
    HS_TRY(read_pattern(file, error, gemma));
    HS_TRY(refuse_other_sizes(file, error, gemma));
    return md_read_real(file, ARCH, "rope.freq_base_swa", md_rope_base_range, error,
                        &gemma->local_rope.base);
}

static enum hasten_status read_gemma3(const struct gguf_file *file, struct hs_error *error,
                                      struct gemma3 *gemma)
{
    /* 0 is "none", and the range begins above its low end */
    static const double cap_range[2] = {-1e-30, 1e6};
    struct md_facts *facts = &gemma->facts;
    HS_TRY(md_read_dense(file, ARCH, error, facts));
    HS_TRY(md_read_rope(file, ARCH, facts, error, &gemma->global_rope));
    gemma->global_rope.style = OP_ROPE_HALVES;
    HS_TRY(read_windows(file, error, gemma));
    HS_TRY(md_read_real(file, ARCH, "attn_logit_softcapping", cap_range, error, &gemma->score_cap));
    HS_TRY(
        md_read_real(file, ARCH, "final_logit_softcapping", cap_range, error, &gemma->logit_cap));
    /* The 27B model, known by its layers, was trained with another scale. */
    int64_t scale_dim =
        facts->layers == LAYERS_27B ? facts->embedding / facts->heads : facts->head_dim;
    gemma->scale = 1 / sqrt((double)(scale_dim > 0 ? scale_dim : 1));
    return HASTEN_OK;
}

enum hasten_status md_gemma3_facts(const struct gguf_file *file, struct hs_error *error,
                                   struct md_facts *facts_out)
{
    struct gemma3 gemma = {.facts = *facts_out};
    HS_TRY(read_gemma3(file, error, &gemma));
    *facts_out = gemma.facts;
    return HASTEN_OK;
}

/* ---- graph ---- */

struct layer_kinds { /* what local and global layers differ in */
    const struct md_rope *rope;
    struct md_attention attention;
};

static ir_value_id build_attention(struct md_builder *b, const struct layer_kinds *kind,
                                   ir_value_id x)
{
    const struct md_facts *facts = b->facts;
    int64_t d = facts->head_dim, e = facts->embedding;
    ir_value_id qkv[3];
    md_project_qkv(b, x, qkv);
    qkv[0] = md_head_rmsnorm(b, qkv[0], md_layer_weight(b, "attn_q_norm", 0, d), facts->heads);
    qkv[1] = md_head_rmsnorm(b, qkv[1], md_layer_weight(b, "attn_k_norm", 0, d), facts->kv_heads);
    qkv[0] = md_rope(b, qkv[0], facts->heads, kind->rope);
    qkv[1] = md_rope(b, qkv[1], facts->kv_heads, kind->rope);
    ir_value_id o = md_attend(b, qkv, &kind->attention);
    o = md_rmsnorm(b, o, md_layer_weight(b, "post_attention_norm", 0, e), e);
    return md_row_op(b, OP_ADD, o, x, e);
}

static ir_value_id build_feed_forward(struct md_builder *b, ir_value_id x)
{
    int64_t e = b->facts->embedding;
    ir_value_id h = md_gated_feed_forward(b, x, OP_GELU_TANH);
    h = md_rmsnorm(b, h, md_layer_weight(b, "post_ffw_norm", 0, e), e);
    return md_row_op(b, OP_ADD, h, x, e);
}

static void build_graph(struct md_builder *b, const struct gemma3 *gemma)
{
    int64_t window = gemma->window + b->options->fault_window_delta;
    const struct md_attention all = {
        .group = IR_NONE, .scale = gemma->scale, .softcap = gemma->score_cap};
    struct layer_kinds kinds[2] = {{&gemma->global_rope, all}, {&gemma->local_rope, all}};
    kinds[1].attention.window = (int32_t)(window > 1 ? window : 1);
    ir_value_id table = md_table_weight(b);
    ir_value_id x = md_embed(b, table, (float)sqrt((double)b->facts->embedding));
    for (b->layer = 0; b->layer < b->facts->layers; b->layer++) {
        struct layer_kinds *kind = &kinds[gemma->is_local[b->layer]];
        if (kind->attention.group == IR_NONE) /* a group without layers would be an error */
            kind->attention.group = md_group(b, kind->attention.window);
        x = build_feed_forward(b, build_attention(b, kind, x));
    }
    b->layer = IR_NONE;
    md_head(b, x, table, gemma->logit_cap);
}

enum hasten_status md_gemma3_build(const struct gguf_file *file, const struct md_options *options,
                                   struct hs_error *error, struct ir_graph **graph_out)
{
    struct gemma3 gemma = {.facts = {.architecture = ARCH}};
    HS_TRY(read_gemma3(file, error, &gemma));
    struct md_builder b = {.file = file, .options = options, .error = error, .facts = &gemma.facts};
    HS_TRY(md_builder_start(&b));
    build_graph(&b, &gemma);
    return md_builder_finish(&b, graph_out);
}
