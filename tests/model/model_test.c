#include "model_test.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "catalog/catalog.h"

void mt_must(enum hasten_status status, const struct hs_error *error)
{
    if (status == HASTEN_OK)
        return;
    fprintf(stderr, "%s: %s (%s) at %s\n", hs_status_name(status), error->message, error->hint,
            error->place);
    exit(1);
}

void mt_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void mt_watch_token(void *context, int32_t id)
{
    struct mt_watch *watch = context;
    (void)id;
    watch->last = hs_alloc_count();
    if (watch->tokens++ == 0)
        watch->first = watch->last;
}

bool mt_ignore_text(void *context, const char *text, size_t size_bytes)
{
    (void)context;
    return text && size_bytes;
}

struct en_generate_options mt_generate_everything(void)
{
    static const struct tx_logit_bias bias[] = {{270, -1}};
    static const struct hs_str stop[] = {{"never to be seen", 16}, {"neither", 7}};
    return (struct en_generate_options){.sampling = {.temperature = 0.8,
                                                     .top_k = 40,
                                                     .typical_p = 0.98,
                                                     .top_p = 0.95,
                                                     .min_p = 0.001,
                                                     .seed = 1,
                                                     .last_n = 16,
                                                     .repetition_penalty = 1.1,
                                                     .presence_penalty = 0.1,
                                                     .frequency_penalty = 0.1,
                                                     .logit_bias = bias,
                                                     .logit_bias_count = 1},
                                        .ignore_end = true,
                                        .stop = stop,
                                        .stop_count = 2,
                                        .logprobs_top = 5};
}

/* Terms of a licence must be shown before a download; nothing else is worth a line. */
static bool show_terms(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)context;
    (void)done;
    (void)total;
    if (strncmp(what, CT_TERMS_MARK, strlen(CT_TERMS_MARK)) == 0)
        fprintf(stderr, "%s\n", what);
    return true;
}

char *mt_model_path(const char *name)
{
    struct hs_error error = {0};
    struct ct_catalog *catalog = NULL;
    char *path = NULL;
    mt_must(ct_open(&error, &catalog), &error);
    mt_must(ct_resolve(catalog, name, true, show_terms, NULL, &error, &path), &error);
    ct_close(&catalog);
    return path;
}

struct en_model *mt_open(const char *path, const struct en_options *options)
{
    struct hs_error error = {0};
    struct en_model *model = NULL;
    mt_must(en_open(path, options, &error, &model), &error);
    return model;
}

char *mt_f32_form(const char *path)
{
    struct hs_error error = {0};
    struct hs_buffer name = {0};
    struct stat info;
    hs_buffer_printf(&name, "%s.f32.gguf", path);
    if (stat(name.data, &info) != 0)
        mt_must(en_convert_f32(path, name.data, NULL, &error), &error);
    return name.data;
}

static char *read_under(const char *folder, const char *name, size_t *size_bytes_out)
{
    struct hs_error error = {0};
    struct hs_buffer path = {0};
    char *data = NULL;
    const char *root = getenv("HASTEN_TEST_DATA");
    hs_buffer_printf(&path, "%s/%s/%s", root ? root : "tests", folder, name);
    mt_must(hs_file_read(path.data, 64u << 20, &error, &data, size_bytes_out), &error);
    hs_buffer_free(&path);
    return data;
}

char *mt_text(const char *name, size_t *size_bytes_out)
{
    return read_under("data", name, size_bytes_out);
}

static void read_row(struct hs_cursor *cursor, struct mt_golden_row *row)
{
    row->window = hs_cursor_u32(cursor);
    row->position = hs_cursor_u32(cursor);
    row->log_sum_exp = hs_cursor_f64(cursor);
    for (int i = 0; i < MT_TOP; i++)
        row->id[i] = hs_cursor_u32(cursor);
    for (int i = 0; i < MT_TOP; i++)
        row->logit[i] = hs_cursor_f32(cursor);
}

struct mt_golden mt_golden_read(const char *name)
{
    struct mt_golden golden = {0};
    size_t size = 0;
    golden.bytes = read_under("golden", name, &size);
    struct hs_cursor cursor = hs_cursor_over(golden.bytes, size);
    const uint8_t *magic = hs_cursor_take(&cursor, 4);
    uint32_t head[11];
    for (int i = 0; i < 11; i++)
        head[i] = hs_cursor_u32(&cursor);
    hs_cursor_take(&cursor, 8 + 8 + 8);
    golden.ctx = head[1];
    golden.vocab = head[2];
    golden.windows = head[3];
    golden.rows = head[4];
    if (!magic || memcmp(magic, "HGLD", 4) != 0 || head[0] != 1 || head[5] != MT_TOP ||
        golden.windows > 64 || golden.ctx > 65536 || golden.rows > 4096) {
        fprintf(stderr, "%s is not a golden file of version 1\n", name);
        exit(1);
    }
    golden.ids = hs_calloc((size_t)golden.windows * golden.ctx, sizeof *golden.ids);
    golden.row = hs_calloc(golden.rows, sizeof *golden.row);
    for (uint32_t i = 0; i < golden.windows * golden.ctx; i++)
        golden.ids[i] = hs_cursor_u32(&cursor);
    for (uint32_t i = 0; i < golden.rows; i++)
        read_row(&cursor, &golden.row[i]);
    if (cursor.failed) {
        fprintf(stderr, "%s is truncated\n", name);
        exit(1);
    }
    return golden;
}

void mt_golden_free(struct mt_golden *golden)
{
    hs_free(golden->ids);
    hs_free(golden->row);
    hs_free(golden->bytes);
}

double mt_golden_kl(const struct mt_golden_row *row, const float *logits, int64_t vocab)
{
    double largest = (double)logits[0], sum = 0.0, kl = 0.0, rest_p = 1.0, rest_q = 1.0;
    for (int64_t i = 1; i < vocab; i++)
        largest = (double)logits[i] > largest ? (double)logits[i] : largest;
    for (int64_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - largest);
    double log_sum_exp = largest + log(sum);
    for (int i = 0; i < MT_TOP; i++) {
        double log_p = (double)row->logit[i] - row->log_sum_exp;
        double log_q = (double)logits[row->id[i]] - log_sum_exp;
        kl += exp(log_p) * (log_p - log_q);
        rest_p -= exp(log_p);
        rest_q -= exp(log_q);
    }
    if (rest_p > 1e-12)
        kl += rest_p * log(rest_p / (rest_q > 1e-12 ? rest_q : 1e-12));
    return kl;
}

/* Largest logit is another token than the golden's. */
static bool argmax_differs(const struct mt_golden_row *row, const float *logits, int64_t vocab)
{
    for (int64_t i = 0; i < vocab; i++)
        if (logits[i] > logits[row->id[0]])
            return true;
    return false;
}

struct mt_kl mt_compare_on(struct en_model *model, struct rt_sequence *sequence,
                           const struct mt_golden *golden)
{
    struct hs_error error = {0};
    struct mt_kl kl = {0};
    const struct mt_golden_row *row = golden->row;
    int64_t vocab = en_facts(model)->vocab;
    for (uint32_t w = 0; w < golden->windows; w++) {
        const int32_t *ids = (const int32_t *)(golden->ids + (size_t)w * golden->ctx);
        int64_t at = 0;
        mt_must(rt_sequence_rewind(sequence, 0, &error), &error);
        for (; row < golden->row + golden->rows && row->window == w; row++) {
            const float *logits;
            mt_must(en_feed(model, sequence, ids + at, row->position + 1 - at, 0, &error, &logits),
                    &error);
            at = row->position + 1;
            double value = mt_golden_kl(row, logits, vocab);
            kl.mean += value;
            kl.largest = value > kl.largest || value != value ? value : kl.largest;
            kl.argmax_differs += argmax_differs(row, logits, vocab);
            kl.rows++;
        }
    }
    kl.mean /= kl.rows;
    return kl;
}

struct mt_kl mt_compare(struct en_model *model, const struct mt_golden *golden)
{
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    struct mt_kl kl = mt_compare_on(model, sequence, golden);
    rt_sequence_close(&sequence);
    return kl;
}

/* Logits of tokens [at, at + count) of a window. */
static const float *feed_all(struct en_model *model, struct rt_sequence *sequence,
                             const int32_t *ids, int32_t count)
{
    struct hs_error error = {0};
    const float *logits = NULL;
    struct en_item item = {sequence, ids, count, RT_WANT_ALL};
    mt_must(en_step(model, &item, 1, &error, &logits), &error);
    return logits;
}

static int64_t argmax(const float *logits, int64_t vocab)
{
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static double log_sum_exp(const float *logits, int64_t vocab)
{
    double largest = (double)logits[argmax(logits, vocab)], sum = 0.0;
    for (int64_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

static void add_row(struct mt_kl *kl, const float *reference, const float *logits, int64_t vocab)
{
    double a = log_sum_exp(reference, vocab), b = log_sum_exp(logits, vocab), value = 0.0;
    for (int64_t i = 0; i < vocab; i++) {
        double log_p = (double)reference[i] - a;
        value += exp(log_p) * (log_p - ((double)logits[i] - b));
    }
    kl->mean += value;
    kl->largest = value > kl->largest || value != value ? value : kl->largest;
    kl->argmax_differs += argmax(reference, vocab) != argmax(logits, vocab);
    kl->rows++;
}

struct mt_kl mt_compare_models(struct en_model *model, struct en_model *reference,
                               const struct mt_golden *golden, int32_t first)
{
    enum { CHUNK = 32 };
    struct hs_error error = {0};
    struct mt_kl kl = {0};
    int64_t vocab = en_facts(model)->vocab;
    for (uint32_t w = 0; w < golden->windows; w++) {
        const int32_t *ids = (const int32_t *)(golden->ids + (size_t)w * golden->ctx);
        struct rt_sequence *ours = NULL, *theirs = NULL;
        mt_must(en_sequence_open(model, &error, &ours), &error);
        mt_must(en_sequence_open(reference, &error, &theirs), &error);
        for (int32_t at = 0; at < (int32_t)golden->ctx - 1; at += CHUNK) {
            int32_t left = (int32_t)golden->ctx - 1 - at, count = left < CHUNK ? left : CHUNK;
            const float *a = feed_all(reference, theirs, ids + at, count);
            const float *b = feed_all(model, ours, ids + at, count);
            for (int32_t i = 0; i < count; i++)
                if (at + i >= first)
                    add_row(&kl, a + i * vocab, b + i * vocab, vocab);
        }
        rt_sequence_close(&ours);
        rt_sequence_close(&theirs);
    }
    kl.mean /= kl.rows;
    return kl;
}

static void check_text(const struct ir_graph *graph)
{
    struct hs_error error = {0};
    struct hs_buffer first = {0}, second = {0};
    struct ir_graph *again = NULL;
    ir_print(graph, &first);
    mt_must(ir_parse((struct hs_str){first.data, first.size_bytes}, &error, &again), &error);
    ir_print(again, &second);
    if (first.size_bytes != second.size_bytes ||
        memcmp(first.data, second.data, first.size_bytes) != 0) {
        fprintf(stderr, "the text of a graph changes when it is read back\n");
        exit(1);
    }
    ir_graph_free(&again);
    hs_buffer_free(&first);
    hs_buffer_free(&second);
}

void mt_check_round_trip(const struct en_model *model)
{
    check_text(en_canonical(model));
    check_text(en_lowered(model));
}

/* --- token goldens ------------------------------------------------------------------------ */

static void check_token_record(const struct tx_tokenizer *tokenizer, struct hs_cursor *cursor,
                               uint32_t record, bool (*loses)(struct hs_str text))
{
    struct hs_error error = {0};
    struct tx_ids ids = {0};
    struct hs_buffer back = {0};
    uint32_t length = hs_cursor_u32(cursor);
    struct hs_str text = {(const char *)hs_cursor_take(cursor, length), length};
    if (cursor->failed)
        mt_fail("token golden: record %u is cut off", record);
    struct tx_encode_options options = {.add_special = false, .parse_special = false};
    mt_must(tx_encode(tokenizer, text, options, &error, &ids), &error);
    uint32_t count = hs_cursor_u32(cursor);
    if ((uint32_t)ids.count != count)
        mt_fail("record %u: %d ids, expected %u for \"%.*s\"", record, (int)ids.count, count,
                HS_STR(text));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t expected = hs_cursor_u32(cursor);
        if ((uint32_t)ids.ids[i] != expected)
            mt_fail("record %u, id %u: %d, expected %u for \"%.*s\"", record, i, (int)ids.ids[i],
                    expected, HS_STR(text));
    }
    tx_decode(tokenizer, ids.ids, ids.count, true, &back);
    if (!(loses && loses(text)) && !hs_str_equal(text, (struct hs_str){back.data, back.size_bytes}))
        mt_fail("record %u: \"%.*s\" comes back as \"%.*s\"", record, HS_STR(text),
                (int)back.size_bytes, back.data ? back.data : "");
    tx_ids_free(&ids);
    hs_buffer_free(&back);
}

uint32_t mt_check_tokens(const char *name, const char *golden, bool (*loses)(struct hs_str text))
{
    char *path = mt_model_path(name), *data = NULL;
    struct hs_error error = {0};
    size_t size = 0;
    struct en_options options = en_options_default();
    options.without_plan = true;
    struct en_model *model = mt_open(path, &options);
    const char *other = getenv("HASTEN_TOKENS_GOLDEN");
    if (other)
        mt_must(hs_file_read(other, (size_t)1 << 30, &error, &data, &size), &error);
    else
        data = read_under("golden", golden, &size);
    struct hs_cursor cursor = hs_cursor_over(data, size);
    const uint8_t *magic = hs_cursor_take(&cursor, 4);
    if (!magic || memcmp(magic, "HTOK", 4) != 0 || hs_cursor_u32(&cursor) != 1 ||
        hs_cursor_u32(&cursor) != en_facts(model)->vocab)
        mt_fail("token golden: not of version 1 or of another vocabulary than %s", name);
    uint32_t records = hs_cursor_u32(&cursor);
    for (uint32_t r = 0; r < records; r++)
        check_token_record(en_tokenizer(model), &cursor, r, loses);
    if (cursor.failed || hs_cursor_left(&cursor))
        mt_fail("token golden: %zu bytes left over", hs_cursor_left(&cursor));
    hs_free(data);
    hs_free(path);
    en_close(&model);
    return records;
}
