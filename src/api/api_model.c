/* Public functions on models (model.h) over engine and catalog. */
#include <hasten/model.h>
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog.h"

enum { CACHE_CONTEXTS = 4 }; /* contexts that the default KV cache has room for */

static enum hasten_status engine_options(const struct hasten_model_options *given,
                                         struct hs_error *error, struct en_options *engine)
{
    if (given->threads < 0 || given->context < 0 || given->cache_positions < 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use 0 for the default",
                       "threads, context and cache_positions cannot be negative");
    engine->threads = given->threads;
    engine->context = given->context;
    engine->cache_positions = given->cache_positions;
    engine->cache_contexts = CACHE_CONTEXTS;
    if (given->kv_type && !tn_dtype_from_name(hs_str_of(given->kv_type), &engine->kv_dtype))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use f32, f16, bf16 or q8_0",
                       "no type is called '%s'", given->kv_type);
    return HASTEN_OK;
}

static enum hasten_status open_engine(const char *path, const struct hasten_model_options *options,
                                      struct hs_error *error, struct hasten_model *model)
{
    struct en_options engine = en_options_default();
    HS_TRY(engine_options(options, error, &engine));
    HS_TRY(en_open(path, &engine, error, &model->engine));
    struct hs_str name = en_facts(model->engine)->name;
    model->name = hs_strndup(name.data ? name.data : "", name.size_bytes);
    return model->name ? HASTEN_OK
                       : hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a model");
}

static enum hasten_status open_path(const char *path, const struct hasten_model_options *options,
                                    struct hs_error *error, struct hasten_model **model_out)
{
    struct hasten_model *model = hs_calloc(1, sizeof *model);
    if (!model)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a model");
    atomic_init(&model->holds, 1);
    enum hasten_status status = open_engine(path, options, error, model);
    if (status == HASTEN_OK)
        *model_out = model;
    else
        ap_model_release(model);
    return status;
}

static enum hasten_status take_options(const struct hasten_model_options *given,
                                       struct hs_error *error, struct hasten_model_options *own)
{
    hasten_model_options_init(own);
    return ap_take(given, AP_SIZED(*own, "hasten_model_options"), error);
}

enum hasten_status hasten_model_open(const char *path, const struct hasten_model_options *options,
                                     struct hasten_error *error, struct hasten_model **model_out)
{
    struct hasten_model_options own;
    hs_error_clear(error);
    if (!path || !model_out)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "path and model_out must be given");
    HS_TRY(take_options(options, error, &own));
    return open_path(path, &own, error, model_out);
}

static enum hasten_status find_path(const char *name, const struct hasten_model_options *options,
                                    struct hs_error *error, char **path_out)
{
    struct ct_catalog *catalog = NULL;
    HS_TRY(ct_open(error, &catalog));
    const struct ct_model *standard = ct_default(catalog);
    enum hasten_status status;
    if (!name && !standard)
        status = hs_fail(error, HASTEN_NOT_FOUND, "name a model", "the catalog has no default");
    else
        status = ct_resolve(catalog, name ? name : standard->name, !options->no_download,
                            options->progress, options->progress_context, error, path_out);
    ct_close(&catalog);
    return status;
}

enum hasten_status hasten_model_open_named(const char *name,
                                           const struct hasten_model_options *options,
                                           struct hasten_error *error,
                                           struct hasten_model **model_out)
{
    struct hasten_model_options own;
    char *path = NULL;
    hs_error_clear(error);
    if (!model_out)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "model_out must be given");
    HS_TRY(take_options(options, error, &own));
    HS_TRY(find_path(name, &own, error, &path));
    enum hasten_status status = open_path(path, &own, error, model_out);
    hs_free(path);
    return status;
}

void ap_model_release(struct hasten_model *model)
{
    if (atomic_fetch_sub_explicit(&model->holds, 1, memory_order_acq_rel) > 1)
        return;
    en_close(&model->engine);
    hs_free(model->name);
    hs_free(model);
}

void hasten_model_close(struct hasten_model **model)
{
    if (!model || !*model)
        return;
    ap_model_release(*model);
    *model = NULL;
}

enum hasten_status hasten_model_get_info(const struct hasten_model *model,
                                         struct hasten_error *error, struct hasten_model_info *info)
{
    const struct en_model *engine = model->engine;
    const struct md_facts *facts = en_facts(engine);
    hs_error_clear(error);
    if (info->size <= sizeof info->size)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "call hasten_model_info_init first",
                       "struct hasten_model_info has no size");
    const struct hasten_model_info own = {
        .size = sizeof own,
        .architecture = facts->architecture,
        .name = model->name,
        .recipe = en_recipe(engine),
        .parameters = facts->parameters,
        .layers = facts->layers,
        .embedding = facts->embedding,
        .vocab = facts->vocab,
        .context = en_context(engine),
        .context_trained = facts->context_length > 0 ? facts->context_length : 0,
        .threads = en_threads(engine),
        .has_tokenizer = en_tokenizer(engine) != NULL,
        .has_chat = en_tokenizer(engine) && en_chat_template(engine),
    };
    ap_give(&own, sizeof own, info, info->size);
    return HASTEN_OK;
}
