/* Metadata that all dense families carry; see dense.h. Everything here comes from an untrusted
 * file. Limits: products of two of them fit 63 bits with room to spare. */
#include "models/dense.h"

static const struct md_range layer_range = {1, MD_LAYERS_MOST};
static const struct md_range embedding_range = {1, 65536};
static const struct md_range feed_forward_range = {1, 1 << 20};
static const struct md_range heads_range = {1, 1024};
static const struct md_range head_dim_range = {2, 512};
const struct md_range md_context_range = {1, 1 << 30};
#define VOCAB_MOST (1 << 22)
static const double eps_range[2] = {0, 1};
const double md_rope_base_range[2] = {0, 1e12};
static const double scale_range[2] = {0, 1e6};

static enum hasten_status refuse_experts(const struct gguf_file *file, const char *architecture,
                                         struct hs_error *error)
{
    int64_t experts = 0;
    const struct md_range any = {0, INT64_MAX};
    HS_TRY(md_read_int(file, architecture, "expert_count", any, error, &experts));
    if (experts > 0)
        return md_fail(file, error, HASTEN_UNSUPPORTED, "use a dense model",
                       "the model is a mixture of %lld experts", (long long)experts);
    return HASTEN_OK;
}

static enum hasten_status read_head_counts(const struct gguf_file *file, const char *architecture,
                                           struct hs_error *error, struct md_facts *facts)
{
    HS_TRY(
        md_need_int(file, architecture, "attention.head_count", heads_range, error, &facts->heads));
    facts->kv_heads = facts->heads;
    HS_TRY(md_read_int(file, architecture, "attention.head_count_kv", heads_range, error,
                       &facts->kv_heads));
    if (facts->heads % facts->kv_heads)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "%lld heads are no multiple of %lld KV heads", (long long)facts->heads,
                       (long long)facts->kv_heads);
    return HASTEN_OK;
}

static enum hasten_status read_head_dim(const struct gguf_file *file, const char *architecture,
                                        struct hs_error *error, struct md_facts *facts)
{
    int64_t head_dim = facts->embedding / facts->heads;
    if (!md_has_key(file, architecture, "attention.key_length") && facts->embedding % facts->heads)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "embedding length %lld is no multiple of %lld heads",
                       (long long)facts->embedding, (long long)facts->heads);
    HS_TRY(
        md_read_int(file, architecture, "attention.key_length", head_dim_range, error, &head_dim));
    int64_t value_dim = head_dim;
    HS_TRY(md_read_int(file, architecture, "attention.value_length", head_dim_range, error,
                       &value_dim));
    if (value_dim != head_dim)
        return md_fail(file, error, HASTEN_UNSUPPORTED, NULL,
                       "keys and values differ in length: %lld and %lld", (long long)head_dim,
                       (long long)value_dim);
    if (head_dim < head_dim_range.low || head_dim > head_dim_range.high || head_dim % 2)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "head length is %lld, expected an even number of %lld to %lld",
                       (long long)head_dim, (long long)head_dim_range.low,
                       (long long)head_dim_range.high);
    facts->head_dim = head_dim;
    return HASTEN_OK;
}

static enum hasten_status read_eps(const struct gguf_file *file, const char *architecture,
                                   struct hs_error *error, struct md_facts *facts)
{
    double eps = 0;
    if (!md_has_key(file, architecture, "attention.layer_norm_rms_epsilon"))
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert the model again",
                       "metadata '%s.attention.layer_norm_rms_epsilon' is missing", architecture);
    HS_TRY(md_read_real(file, architecture, "attention.layer_norm_rms_epsilon", eps_range, error,
                        &eps));
    facts->norm_eps = (float)eps;
    return HASTEN_OK;
}

static enum hasten_status read_vocab_size(const struct gguf_file *file, struct hs_error *error,
                                          struct md_facts *facts)
{
    const struct gguf_tensor *table = gguf_find_tensor(file, "token_embd.weight");
    if (!table)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, "convert or download the model again",
                       "tensor 'token_embd.weight' is missing");
    if (table->shape[1] < 1 || table->shape[1] > VOCAB_MOST)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL,
                       "tensor 'token_embd.weight' has %lld rows, expected 1 to %d",
                       (long long)table->shape[1], VOCAB_MOST);
    facts->vocab = table->shape[1];
    return HASTEN_OK;
}

enum hasten_status md_read_dense(const struct gguf_file *file, const char *architecture,
                                 struct hs_error *error, struct md_facts *facts)
{
    HS_TRY(refuse_experts(file, architecture, error));
    HS_TRY(md_need_int(file, architecture, "block_count", layer_range, error, &facts->layers));
    HS_TRY(md_need_int(file, architecture, "embedding_length", embedding_range, error,
                       &facts->embedding));
    HS_TRY(md_need_int(file, architecture, "feed_forward_length", feed_forward_range, error,
                       &facts->feed_forward));
    HS_TRY(md_need_int(file, architecture, "context_length", md_context_range, error,
                       &facts->context_length));
    HS_TRY(read_eps(file, architecture, error, facts));
    HS_TRY(read_head_counts(file, architecture, error, facts));
    HS_TRY(read_head_dim(file, architecture, error, facts));
    facts->rope_base = 10000;
    HS_TRY(md_read_real(file, architecture, "rope.freq_base", md_rope_base_range, error,
                        &facts->rope_base));
    return read_vocab_size(file, error, facts);
}

static enum hasten_status read_scaling(const struct gguf_file *file, const char *architecture,
                                       struct hs_error *error, double *position_scale)
{
    struct hs_str type = {0};
    double factor = 1, attention = 1;
    bool typed = md_get_text(file, architecture, "rope.scaling.type", &type);
    if (typed && !hs_str_is(type, "linear") && !hs_str_is(type, "none"))
        return md_fail(file, error, HASTEN_UNSUPPORTED, "supported: none linear",
                       "rope scaling type '%.*s' is not supported",
                       type.size_bytes > 64 ? 64 : (int)type.size_bytes, type.data);
    HS_TRY(md_read_real(file, architecture, "rope.scaling.attn_factor", scale_range, error,
                        &attention));
    if (attention < 1 || attention > 1)
        return md_fail(file, error, HASTEN_UNSUPPORTED, NULL,
                       "rope attention factor %g is not supported", attention);
    HS_TRY(md_read_real(file, architecture, "rope.scale_linear", scale_range, error, &factor));
    HS_TRY(md_read_real(file, architecture, "rope.scaling.factor", scale_range, error, &factor));
    *position_scale = typed && hs_str_is(type, "none") ? 1 : 1 / factor;
    return HASTEN_OK;
}

enum hasten_status md_read_rope(const struct gguf_file *file, const char *architecture,
                                const struct md_facts *facts, struct hs_error *error,
                                struct md_rope *rope)
{
    struct md_range dims = {2, facts->head_dim};
    rope->dims = facts->head_dim;
    rope->base = facts->rope_base;
    rope->factors = IR_NONE;
    HS_TRY(md_read_int(file, architecture, "rope.dimension_count", dims, error, &rope->dims));
    if (rope->dims % 2)
        return md_fail(file, error, HASTEN_CORRUPT_INPUT, NULL, "rope dimension count %lld is odd",
                       (long long)rope->dims);
    return read_scaling(file, architecture, error, &rope->position_scale);
}
