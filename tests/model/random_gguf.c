/*
 * Random model files; see random_gguf.h.
 *
 * Element e of tensor t is a function of (seed, t, e): matrices come from kn_random_row (random
 * codes under scales that give the wanted deviation), norm weights are uniform around 1.
 */
#include "random_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "kernels/rows.h"

/* ---- recipes ---- */

static const uint8_t odd_pattern[8] = {1, 0, 1, 1, 0, 1, 1, 1};

/* Shapes whose sizes are no multiples of 32, of pages or of vectors. */
#define ODD_LLAMA                                                                                  \
    .family = RG_LLAMA, .layers = 3, .embedding = 72, .heads = 6, .kv_heads = 2, .head_dim = 12,   \
    .feed_forward = 100, .vocab = 203, .deviation = 2, .dtype = TN_F32
#define ODD_GEMMA3                                                                                 \
    .family = RG_GEMMA3, .layers = 8, .embedding = 72, .heads = 3, .kv_heads = 1, .head_dim = 40,  \
    .feed_forward = 100, .vocab = 203, .deviation = 2, .dtype = TN_F32

/* Every type as llama and as gemma3; widths are odd numbers of blocks where the type allows. */
#define TYPE_LLAMA                                                                                 \
    .family = RG_LLAMA, .layers = 2, .heads = 4, .kv_heads = 2, .vocab = 203, .deviation = 2,      \
    .untied = true
#define TYPE_GEMMA3                                                                                \
    .family = RG_GEMMA3, .layers = 7, .heads = 2, .kv_heads = 1, .vocab = 203, .deviation = 2,     \
    .window = 45
#define SMALL(id, text, llama_kl, gemma3_kl)                                                       \
    {.name = "llama-" text,                                                                        \
     .seed = 100 + id,                                                                             \
     .dtype = id,                                                                                  \
     .embedding = 96,                                                                              \
     .head_dim = 40,                                                                               \
     .feed_forward = 160,                                                                          \
     .peer_kl = llama_kl,                                                                          \
     TYPE_LLAMA},                                                                                  \
        {.name = "gemma3-" text,                                                                   \
         .seed = 200 + id,                                                                         \
         .dtype = id,                                                                              \
         .embedding = 96,                                                                          \
         .head_dim = 48,                                                                           \
         .feed_forward = 160,                                                                      \
         .peer_kl = gemma3_kl,                                                                     \
         TYPE_GEMMA3},
#define LARGE(id, text, llama_kl, gemma3_kl)                                                       \
    {.name = "llama-" text,                                                                        \
     .seed = 100 + id,                                                                             \
     .dtype = id,                                                                                  \
     .embedding = 256,                                                                             \
     .head_dim = 64,                                                                               \
     .feed_forward = 256,                                                                          \
     .peer_kl = llama_kl,                                                                          \
     TYPE_LLAMA},                                                                                  \
        {.name = "gemma3-" text,                                                                   \
         .seed = 200 + id,                                                                         \
         .dtype = id,                                                                              \
         .embedding = 256,                                                                         \
         .head_dim = 128,                                                                          \
         .feed_forward = 256,                                                                      \
         .peer_kl = gemma3_kl,                                                                     \
         TYPE_GEMMA3},

static const struct rg_recipe recipes[] = {
    {.name = "llama-f32", .seed = 1, ODD_LLAMA},
    {.name = "llama-f32-untied-scaled", .seed = 2, .untied = true, .rope_factor = 4, ODD_LLAMA},
    {.name = "gemma3-f32", .seed = 3, .window = 37, ODD_GEMMA3},
    {.name = "gemma3-f32-no-window", .seed = 4, .untied = true, ODD_GEMMA3},
    {.name = "gemma3-f32-array",
     .seed = 5,
     .window = 64,
     .local = odd_pattern,
     .rope_base_swa = 500,
     .rope_factor = 8,
     .logit_cap = 5,
     ODD_GEMMA3},
    /* clang-format off */
    SMALL(TN_F16, "f16", 1.19e-06, 1.42e-07)
    SMALL(TN_BF16, "bf16", 0.000173, 1.66e-05)
    SMALL(TN_Q4_0, "q4_0", 0.00181, 0.000205)
    SMALL(TN_Q4_1, "q4_1", 0.00224, 0.000213)
    SMALL(TN_Q5_0, "q5_0", 0.00168, 0.000201)
    SMALL(TN_Q5_1, "q5_1", 0.0021, 0.000229)
    SMALL(TN_Q8_0, "q8_0", 0.00191, 0.000233)
    SMALL(TN_IQ4_NL, "iq4_nl", 0.00212, 0.000214)
    SMALL(TN_MXFP4, "mxfp4", 0.00351, 0.000181)
    LARGE(TN_Q2_K, "q2_k", 0.00142, 8.82e-05)
    LARGE(TN_Q3_K, "q3_k", 0.00493, 0.000182)
    LARGE(TN_Q4_K, "q4_k", 0.000978, 0.000126)
    LARGE(TN_Q5_K, "q5_k", 0.000985, 0.000129)
    LARGE(TN_Q6_K, "q6_k", 0.00675, 0.000181)
    LARGE(TN_IQ4_XS, "iq4_xs", 0.00631, 0.000423)
    /* clang-format on */
};

int rg_count(void)
{
    return (int)(sizeof recipes / sizeof recipes[0]);
}

const struct rg_recipe *rg_at(int index)
{
    return &recipes[index];
}

const struct rg_recipe *rg_find(const char *name)
{
    for (int i = 0; i < rg_count(); i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

/* ---- tensors ---- */

enum { TENSORS_MOST = 1024 };

struct tensor {
    char name[64];
    enum tn_dtype dtype;
    int64_t rows, cols; /* rows 0: a vector */
    double deviation;
};

struct list {
    const struct rg_recipe *recipe;
    struct tensor tensor[TENSORS_MOST];
    int count;
};

static void add(struct list *list, const char *name, int64_t rows, int64_t cols, double deviation)
{
    if (list->recipe->leave_out_tensor && strcmp(list->recipe->leave_out_tensor, name) == 0)
        return;
    if (list->count == TENSORS_MOST)
        return; /* noticed by whoever opens the file */
    struct tensor *tensor = &list->tensor[list->count++];
    *tensor = (struct tensor){.dtype = rows ? list->recipe->dtype : TN_F32,
                              .rows = rows,
                              .cols = cols,
                              .deviation = deviation};
    snprintf(tensor->name, sizeof tensor->name, "%s.weight", name);
}

/* Matrix of a layer: outputs of `gain` times the deviation of its inputs. */
static void add_matrix(struct list *list, int layer, const char *part, int64_t rows, int64_t cols)
{
    const double gain = 1.5;
    char name[48];
    snprintf(name, sizeof name, "blk.%d.%s", layer, part);
    add(list, name, rows, cols, gain / sqrt((double)cols));
}

static void add_norm(struct list *list, int layer, const char *part, int64_t size)
{
    char name[48];
    snprintf(name, sizeof name, "blk.%d.%s", layer, part);
    add(list, name, 0, size, 0.3);
}

static void add_layer(struct list *list, int layer)
{
    const struct rg_recipe *r = list->recipe;
    int64_t e = r->embedding, d = r->head_dim, f = r->feed_forward;
    add_norm(list, layer, "attn_norm", e);
    add_matrix(list, layer, "attn_q", r->heads * d, e);
    add_matrix(list, layer, "attn_k", r->kv_heads * d, e);
    add_matrix(list, layer, "attn_v", r->kv_heads * d, e);
    add_matrix(list, layer, "attn_output", e, r->heads * d);
    add_norm(list, layer, "ffn_norm", e);
    add_matrix(list, layer, "ffn_gate", f, e);
    add_matrix(list, layer, "ffn_up", f, e);
    add_matrix(list, layer, "ffn_down", e, f);
    if (r->family != RG_GEMMA3)
        return;
    add_norm(list, layer, "attn_q_norm", d);
    add_norm(list, layer, "attn_k_norm", d);
    add_norm(list, layer, "post_attention_norm", e);
    add_norm(list, layer, "post_ffw_norm", e);
}

/* A normed row has deviation 1, so the head's rows carry the deviation of the logits. */
static void list_tensors(struct list *list)
{
    const struct rg_recipe *r = list->recipe;
    double head = r->deviation / sqrt((double)r->embedding);
    add(list, "token_embd", r->vocab, r->embedding, head);
    for (int layer = 0; layer < r->layers; layer++)
        add_layer(list, layer);
    add(list, "output_norm", 0, r->embedding, 0.1);
    if (r->untied)
        add(list, "output", r->vocab, r->embedding, head);
}

/* ---- weights ---- */

/* Uniform in [-1, 1), exact in double. */
static double uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    return 2 * hs_rng_unit(seed, stream, counter) - 1;
}

/* Matrices by the engine's own maker of random rows, each row a stream; vectors here. */
static bool fill_row(const struct tensor *tensor, uint64_t seed, uint64_t index, int64_t row,
                     uint8_t *bytes)
{
    const struct kn_random random = {seed, index << 32 | (uint64_t)row, (float)tensor->deviation};
    if (tensor->rows)
        return kn_random_row(tensor->dtype, &random, tensor->cols, bytes);
    for (int64_t i = 0; i < tensor->cols; i++) {
        /* sqrt(3): a uniform number of deviation 1 lies between -sqrt(3) and sqrt(3) */
        float value =
            (float)(1 + sqrt(3.0) * tensor->deviation * uniform(seed, random.stream, (uint64_t)i));
        memcpy(bytes + i * (int64_t)sizeof value, &value, sizeof value);
    }
    return true;
}

/* ---- metadata ---- */

struct writing {
    const struct rg_recipe *recipe;
    struct gguf_writer *writer;
    struct hs_error *error;
    const char *architecture;
};

/* Full name of a key, or NULL when the recipe leaves it out. */
static const char *key_of(const struct writing *w, const char *key, char name[96])
{
    const char *out = w->recipe->leave_out_key;
    snprintf(name, 96, "%s.%s", w->architecture, key);
    return out && strcmp(out, key) == 0 ? NULL : name;
}

static enum hasten_status put_number(const struct writing *w, const char *key, int value)
{
    char name[96];
    const char *full = key_of(w, key, name);
    return full ? gguf_put_u32(w->writer, full, (uint32_t)value, w->error) : HASTEN_OK;
}

/* Absent when 0. */
static enum hasten_status put_real(const struct writing *w, const char *key, double value)
{
    char name[96];
    const char *full = key_of(w, key, name);
    return full && value > 0 ? gguf_put_f32(w->writer, full, (float)value, w->error) : HASTEN_OK;
}

static enum hasten_status put_gemma3(const struct writing *w)
{
    const struct rg_recipe *r = w->recipe;
    if (r->window)
        HS_TRY(put_number(w, "attention.sliding_window", r->window));
    HS_TRY(put_real(w, "rope.freq_base_swa", r->rope_base_swa));
    HS_TRY(put_real(w, "final_logit_softcapping", r->logit_cap));
    if (!r->local)
        return HASTEN_OK;
    const struct gguf_entry pattern = {.key = hs_str_of("gemma3.attention.sliding_window_pattern"),
                                       .type = GGUF_ARRAY,
                                       .element = GGUF_BOOL,
                                       .count = (uint64_t)r->layers,
                                       .data = r->local,
                                       .data_bytes = (size_t)r->layers};
    return gguf_put_entry(w->writer, &pattern, w->error);
}

static enum hasten_status put_metadata(const struct writing *w)
{
    const struct rg_recipe *r = w->recipe;
    const struct {
        const char *key;
        int value;
    } numbers[] = {{"block_count", r->layers},
                   {"context_length", 4096},
                   {"embedding_length", r->embedding},
                   {"feed_forward_length", r->feed_forward},
                   {"attention.head_count", r->heads},
                   {"attention.head_count_kv", r->kv_heads},
                   {"attention.key_length", r->head_dim},
                   {"attention.value_length", r->head_dim},
                   {"rope.dimension_count", r->head_dim},
                   {"vocab_size", r->vocab}};
    HS_TRY(gguf_put_text(w->writer, "general.architecture", hs_str_of(w->architecture), w->error));
    HS_TRY(gguf_put_text(w->writer, "general.name", hs_str_of(r->name), w->error));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        HS_TRY(put_number(w, numbers[i].key, numbers[i].value));
    HS_TRY(put_real(w, "attention.layer_norm_rms_epsilon", 1e-5));
    HS_TRY(put_real(w, "rope.freq_base", r->family == RG_GEMMA3 ? 100000 : 10000));
    HS_TRY(put_real(w, "rope.scaling.factor", r->rope_factor));
    if (r->family == RG_GEMMA3)
        HS_TRY(put_gemma3(w));
    return gguf_put_text(w->writer, "tokenizer.ggml.model", hs_str_of("none"), w->error);
}

/* ---- the file ---- */

static enum hasten_status declare_all(const struct writing *w, const struct list *list,
                                      size_t *widest)
{
    for (int i = 0; i < list->count; i++) {
        const struct tensor *tensor = &list->tensor[i];
        const int64_t shape[2] = {tensor->cols, tensor->rows};
        size_t row_bytes = 0;
        HS_TRY(gguf_declare(w->writer, hs_str_of(tensor->name), tensor->dtype, tensor->rows ? 2 : 1,
                            shape, w->error));
        if (!tn_row_bytes(tensor->dtype, tensor->cols, &row_bytes))
            return hs_fail(w->error, HASTEN_INVALID_ARGUMENT, NULL, "%s: no whole blocks in a row",
                           tensor->name);
        *widest = row_bytes > *widest ? row_bytes : *widest;
    }
    return HASTEN_OK;
}

static enum hasten_status write_all(const struct writing *w, const struct list *list, uint8_t *row)
{
    for (int i = 0; i < list->count; i++) {
        const struct tensor *tensor = &list->tensor[i];
        size_t row_bytes = 0;
        if (!tn_row_bytes(tensor->dtype, tensor->cols, &row_bytes))
            return HASTEN_INTERNAL;
        for (int64_t r = 0; r < (tensor->rows ? tensor->rows : 1); r++) {
            if (!fill_row(tensor, w->recipe->seed, (uint64_t)i, r, row))
                return hs_fail(w->error, HASTEN_UNSUPPORTED, NULL, "no random %s",
                               tn_dtype_info(tensor->dtype)->name);
            HS_TRY(gguf_write_data(w->writer, row, row_bytes, w->error));
        }
    }
    return HASTEN_OK;
}

enum hasten_status rg_write(const struct rg_recipe *recipe, const char *path,
                            struct hs_error *error)
{
    struct writing w = {.recipe = recipe,
                        .error = error,
                        .architecture = recipe->family == RG_GEMMA3 ? "gemma3" : "llama"};
    struct list *list = hs_calloc(1, sizeof *list);
    uint8_t *row = NULL;
    size_t widest = 0;
    enum hasten_status status = HASTEN_OUT_OF_MEMORY;
    if (!list)
        return status;
    list->recipe = recipe;
    list_tensors(list);
    HS_TRY_GOTO(status, gguf_writer_open(path, error, &w.writer), out);
    HS_TRY_GOTO(status, put_metadata(&w), out);
    HS_TRY_GOTO(status, declare_all(&w, list, &widest), out);
    row = hs_calloc(widest + 8, 1);
    status = row ? write_all(&w, list, row) : HASTEN_OUT_OF_MEMORY;
    if (status == HASTEN_OK)
        status = gguf_writer_finish(&w.writer, error);
out:
    gguf_writer_abort(&w.writer);
    hs_free(row);
    hs_free(list);
    return status;
}
