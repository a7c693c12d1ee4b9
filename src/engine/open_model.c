/*
 * Opening a model: the way through the house, stage by stage. Everything a model owns hangs on
 * struct en_model and is freed in reverse order by en_close, also from a half-opened state.
 */
#include "engine/model_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/rows.h"
#include "passes/pass.h"

enum { CONTEXT_DEFAULT = 4096, STEP_TOKENS = 512, WANTED_ROWS = 64, SEQUENCES = 16 };
enum { THREADS_MAX = 256 };

struct en_options en_options_default(void)
{
    return (struct en_options){
        .kv_dtype = TN_F16,
        .step_tokens = STEP_TOKENS,
        .wanted_rows = WANTED_ROWS,
        .sequences = SEQUENCES,
        .cpu_class_max = HS_CPU_CLASS_COUNT,
    };
}

/* What kernels exist decides what passes may fuse. */
static bool has_kernel(void *context, enum op_id op, const void *attrs)
{
    const struct en_model *model = context;
    return kn_find(op, attrs, model->cpu_class) != NULL;
}

static bool can_pack(void *context, enum tn_dtype dtype)
{
    (void)context;
    return kn_can_pack(dtype);
}

static enum hasten_status open_text(struct en_model *model, struct hs_error *error)
{
    struct hs_error detail;
    hs_error_clear(&detail);
    enum hasten_status status = md_vocab_read(model->file, &model->arena, &detail, &model->vocab);
    if (status == HASTEN_OK)
        status = tx_tokenizer_open(&model->vocab, &detail, &model->tokenizer);
    if (status == HASTEN_NOT_FOUND || status == HASTEN_UNSUPPORTED) {
        /* still runs on token ids: the reason is kept for whoever asks for text */
        model->tokenizer_error = detail;
        return HASTEN_OK;
    }
    if (status != HASTEN_OK) {
        if (error)
            *error = detail;
        return status;
    }
    /* A template we cannot read only disables chat: the reason is kept for whoever asks. */
    struct hs_str source = md_chat_template(model->file);
    if (source.size_bytes > 0)
        status = tx_template_parse(source, &model->template_error, &model->chat_template);
    if (status == HASTEN_OUT_OF_MEMORY && error)
        *error = model->template_error;
    return status == HASTEN_OUT_OF_MEMORY ? status : HASTEN_OK;
}

static const void *find_tensor(void *context, const char *name, size_t *size_bytes_out)
{
    const struct en_model *model = context;
    const struct gguf_tensor *tensor = gguf_find_tensor(model->file, name);
    if (tensor)
        *size_bytes_out = tensor->size_bytes;
    return tensor;
}

static enum hasten_status read_tensor(void *context, const void *tensor, size_t first, void *target,
                                      size_t size_bytes, struct hs_error *error)
{
    const struct en_model *model = context;
    return gguf_read(model->file, tensor, first, target, size_bytes, error);
}

static enum hasten_status lower_and_plan(struct en_model *model, const struct en_options *options,
                                         struct hs_error *error)
{
    struct ps_target target = {has_kernel, can_pack, model};
    struct ps_options passes = {options->disabled_passes, options->disabled_pass_count};
    struct pl_limits limits = {options->step_tokens, options->wanted_rows, model->context};
    HS_TRY(ps_lower(model->canonical, &target, &passes, error, &model->lowered));
    return pl_build(model->lowered, model->cpu_class, &limits, error, &model->plan);
}

static int64_t default_positions(const struct en_model *model, const struct en_options *options)
{
    int64_t most = INT32_MAX / 2; /* of a cache; a larger context fails there */
    int64_t contexts = options->cache_contexts > 1 ? options->cache_contexts : 1;
    if (model->context >= most / contexts)
        return model->context > most ? model->context : most;
    return model->context * contexts;
}

/* Prompts come from strangers: where their prefixes are hashed to is not for them to know. */
static uint64_t secret_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = hs_clock_ns();
    return seed;
}

static enum hasten_status open_runtime(struct en_model *model, const struct en_options *options,
                                       struct hs_error *error)
{
    struct rt_source source = {find_tensor, read_tensor, model};
    HS_TRY(rt_team_share(model->threads, error, &model->team));
    HS_TRY(rt_store_open(&source, error, &model->store));
    HS_TRY(rt_store_prepare(model->store, model->plan, rt_team_members(model->team), error));
    gguf_release(model->file); /* all that is needed of it is in memory now */

    struct rt_cache_options cache = {
        .positions =
            options->cache_positions ? options->cache_positions : default_positions(model, options),
        .shuffle_seed = options->page_shuffle_seed,
        .keep_prefixes = options->keep_prefixes,
        .hash_seed = secret_seed(),
    };
    HS_TRY(rt_cache_open(model->plan, &cache, error, &model->cache));
    struct rt_batch_limits batch = {
        .tokens_max = options->step_tokens,
        .sequences_max = options->sequences,
        .wanted_max = options->wanted_rows,
        .groups = model->plan->group_count,
        .pages_max = (int32_t)((model->context + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS),
    };
    HS_TRY(rt_batch_open(&batch, error, &model->batch));
    HS_TRY(
        rt_run_open(model->plan, model->store, model->cache, model->threads, error, &model->run));
    snprintf(model->recipe, sizeof model->recipe, "%s-a8.32-kv.%s",
             hs_cpu_class_name(model->cpu_class), tn_dtype_info(options->kv_dtype)->name);
    return HASTEN_OK;
}

static enum hasten_status check_options(struct en_model *model, struct en_options *options,
                                        struct hs_error *error)
{
    const struct hs_cpu *cpu = hs_cpu_get();
    model->cpu_class = options->cpu_class_max < cpu->chosen ? options->cpu_class_max : cpu->chosen;
    model->threads = options->threads > 0              ? options->threads
                     : cpu->logical_cpus < THREADS_MAX ? cpu->logical_cpus
                                                       : THREADS_MAX;
    options->step_tokens = options->step_tokens > 0 ? options->step_tokens : STEP_TOKENS;
    options->wanted_rows = options->wanted_rows > 0 ? options->wanted_rows : WANTED_ROWS;
    options->sequences = options->sequences > 0 ? options->sequences : SEQUENCES;
    model->sequences_max = options->sequences;
    if (!tn_kv_dtype_valid((int32_t)options->kv_dtype))
        return hs_fail(error, HASTEN_UNSUPPORTED, "use f32, f16, bf16 or q8_0",
                       "KV pages of type %s are not supported",
                       tn_dtype_info(options->kv_dtype)->name);
    if (model->threads > THREADS_MAX)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use at most 256", "%d threads are too many",
                       model->threads);
    return HASTEN_OK;
}

static enum hasten_status open_stages(struct en_model *model, const char *path,
                                      struct en_options *options, struct hs_error *error)
{
    HS_TRY(check_options(model, options, error));
    HS_TRY(gguf_open(path, error, &model->file));
    HS_TRY(md_facts_read(model->file, error, &model->facts));
    HS_TRY(open_text(model, error));
    options->build.kv_dtype = options->kv_dtype;
    HS_TRY(md_build(model->file, &options->build, error, &model->canonical));

    int64_t trained = model->facts.context_length;
    model->context = options->context;
    if (model->context <= 0)
        model->context = trained > 0 && trained < CONTEXT_DEFAULT ? trained : CONTEXT_DEFAULT;
    if (options->without_plan)
        return HASTEN_OK;
    HS_TRY(lower_and_plan(model, options, error));
    return open_runtime(model, options, error);
}

enum hasten_status en_open(const char *path, const struct en_options *options,
                           struct hs_error *error, struct en_model **model_out)
{
    struct en_options own = options ? *options : en_options_default();
    struct en_model *model = hs_calloc(1, sizeof *model);
    if (!model)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a model");
    enum hasten_status status = open_stages(model, path, &own, error);
    if (status != HASTEN_OK) {
        hs_error_at(error, "%s", path);
        en_close(&model);
        return status;
    }
    *model_out = model;
    return HASTEN_OK;
}

void en_close(struct en_model **model_in)
{
    struct en_model *model = *model_in;
    if (!model)
        return;
    rt_run_close(&model->run);
    rt_batch_close(&model->batch);
    rt_cache_close(&model->cache);
    rt_store_close(&model->store);
    rt_team_release(&model->team);
    pl_free(&model->plan);
    ir_graph_free(&model->lowered);
    ir_graph_free(&model->canonical);
    tx_template_free(&model->chat_template);
    tx_tokenizer_close(&model->tokenizer);
    gguf_close(&model->file);
    hs_arena_free(&model->arena);
    hs_free(model);
    *model_in = NULL;
}

const struct md_facts *en_facts(const struct en_model *model)
{
    return &model->facts;
}

const struct gguf_file *en_file(const struct en_model *model)
{
    return model->file;
}

const struct tx_tokenizer *en_tokenizer(const struct en_model *model)
{
    return model->tokenizer;
}

const struct hs_error *en_tokenizer_error(const struct en_model *model)
{
    return &model->tokenizer_error;
}

const struct tx_template *en_chat_template(const struct en_model *model)
{
    return model->chat_template;
}

struct hs_str en_chat_template_source(const struct en_model *model)
{
    return md_chat_template(model->file);
}

const struct hs_error *en_chat_template_error(const struct en_model *model)
{
    return &model->template_error;
}

const struct ir_graph *en_canonical(const struct en_model *model)
{
    return model->canonical;
}

const struct ir_graph *en_lowered(const struct en_model *model)
{
    return model->lowered;
}

const struct pl_plan *en_plan(const struct en_model *model)
{
    return model->plan;
}

struct rt_cache *en_cache(struct en_model *model)
{
    return model->cache;
}

struct rt_run *en_run(struct en_model *model)
{
    return model->run;
}

int64_t en_context(const struct en_model *model)
{
    return model->context;
}

int64_t en_hidden_size(const struct en_model *model)
{
    return model->plan ? model->plan->hidden_size : 0;
}

int en_threads(const struct en_model *model)
{
    return model->threads;
}

const char *en_recipe(const struct en_model *model)
{
    return model->recipe;
}

const struct ob_counters *en_counters(const struct en_model *model)
{
    return &model->counters;
}
