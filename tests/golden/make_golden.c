/*
 * Writes the golden logits of a model: a small file that says what llama.cpp computes for a
 * committed text, so that our own tests need neither llama.cpp nor its build.
 *
 * usage: make_golden --model FILE --text FILE | --random-ids SEED [--out FILE]
 *                    [--full-logits FILE] [--perplexity] [--ctx N] [--windows N] [--first N]
 *                    [--rows N] [--sparse] [--kv f32|f16] [--fa off|on|auto] [--threads N]
 *
 * The text loses its last newline and is tokenized once (special tokens added as the model
 * asks, none parsed). Each window is ctx (512) tokens; where the model wants BOS it is written
 * over token 0 of the window. Rows first (ctx/2) .. ctx-2 are scored: row r is the output at
 * position r of the window and is scored against the token at r + 1. A last partial window is
 * dropped. --random-ids takes ids that a generator draws instead of a text, for models without a
 * tokenizer.
 * --windows 0 runs all of them (default 8). One window is one batch on an empty KV cache.
 * --perplexity prints exp of the mean negative log-likelihood over the scored rows of the
 * windows run, with its standard error.
 * --rows golden rows a window (default 8). --sparse computes logits of these rows only, for long
 * windows and large vocabularies; they are then all that is scored.
 * --full-logits writes float32 [windows][ctx - 1 - first rows][vocab] in this machine's byte
 * order, window after window, rows ascending.
 *
 * Golden file, little-endian, no padding:
 *   char magic[4]        "HGLD"
 *   u32  version         1
 *   u32  ctx             tokens in a window
 *   u32  vocab           logits in a row
 *   u32  windows         W, windows used (the first W of the text; at most 8)
 *   u32  rows            R, golden rows (--rows a window)
 *   u32  top             K, 64
 *   u32  kv_type         0 F32, 1 F16
 *   u32  flash           0 off, 1 on, 2 left to llama.cpp
 *   u32  bos             1 when BOS was written over token 0 of each window
 *   u32  text_tokens     tokens of the whole text (of all windows when random)
 *   u32  scored          rows in the perplexity below: W * (ctx - 1 - first), sparse: R
 *   u64  text_bytes      bytes of the text without its last newline (0 when random)
 *   u64  text_fnv        FNV-1a 64 of those bytes (random: the seed)
 *   f64  mean_nll        over the scored rows of the W windows; perplexity = exp(mean_nll)
 *   u32  ids[W][ctx]     token ids as given to the model
 *   row  rows[R]         windows ascending, positions ascending:
 *     u32 window, u32 position
 *     f64 log_sum_exp    over the whole vocabulary, in double
 *     u32 id[K], f32 logit[K]   the K largest logits, descending, equal ones by ascending id
 *
 * KL over such a row: p_i = exp(logit_i - log_sum_exp) for the K ids and one rest bucket
 * 1 - sum(p_i), against the same K ids and rest of the engine under test.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_util.h"

enum { TOP = 64, GOLDEN_WINDOWS = 8, ROWS_PER_WINDOW = 8, VERSION = 1 };
enum { ROWS_MOST = 512 };

struct options {
    const char *model, *text, *out, *full;
    uint32_t ctx, windows, threads, first, rows, seed;
    enum ggml_type kv;
    enum llama_flash_attn_type flash;
    bool perplexity, sparse, random_ids;
};

struct golden_row {
    uint32_t window, position;
    double lse;
    uint32_t id[TOP];
    float logit[TOP];
};

/* Everything one run gathers before the golden is written. */
struct run {
    const struct options *opt;
    struct llama_context *lctx;
    const struct llama_vocab *vocab;
    uint32_t n_vocab, windows;
    size_t n_text;
    llama_token *text_ids; /* as tokenized */
    llama_token *ids;      /* as given to the model, [windows][ctx] */
    struct golden_row *rows;
    uint32_t n_rows;
    double nll, nll2, golden_nll;
    uint64_t scored;
    FILE *full;
};

/* Rows of a window from the first scored one to the last that has a next token. */
static uint32_t candidate_rows(const struct options *opt)
{
    return opt->ctx - 1 - opt->first;
}

static uint32_t scored_rows(const struct options *opt)
{
    return opt->sparse ? opt->rows : candidate_rows(opt);
}

static double log_sum_exp(const float *logits, uint32_t n)
{
    float top = logits[0];
    for (uint32_t i = 1; i < n; i++) {
        top = logits[i] > top ? logits[i] : top;
    }
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - (double)top);
    }
    return (double)top + log(sum);
}

/* Insertion into a short sorted list; ids come ascending, so equal logits stay in id order. */
static void keep_top(struct golden_row *row, const float *logits, uint32_t n)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (held == TOP && !(logits[i] > row->logit[TOP - 1])) {
            continue;
        }
        uint32_t at = held < TOP ? held++ : TOP - 1;
        while (at > 0 && logits[i] > row->logit[at - 1]) {
            row->id[at] = row->id[at - 1];
            row->logit[at] = row->logit[at - 1];
            at--;
        }
        row->id[at] = i;
        row->logit[at] = logits[i];
    }
}

/* The golden rows of a window are spread evenly over its candidates, both ends included. */
static bool is_golden_row(const struct options *opt, uint32_t index)
{
    for (uint32_t i = 0; i < opt->rows; i++) {
        if (index == i * (candidate_rows(opt) - 1) / (opt->rows - 1)) {
            return true;
        }
    }
    return false;
}

static void score_row(struct run *run, uint32_t window, uint32_t index, const float *logits)
{
    const uint32_t ctx = run->opt->ctx;
    const uint32_t position = run->opt->first + index;
    const size_t next = (size_t)window * ctx + position + 1;
    const double lse = log_sum_exp(logits, run->n_vocab);
    const double nll = lse - (double)logits[run->text_ids[next]];

    run->nll += nll;
    run->nll2 += nll * nll;
    run->scored++;
    if (window < GOLDEN_WINDOWS) {
        run->golden_nll += nll;
        if (is_golden_row(run->opt, index)) {
            struct golden_row *row = &run->rows[run->n_rows++];
            row->window = window;
            row->position = position;
            row->lse = lse;
            keep_top(row, logits, run->n_vocab);
        }
    }
    if (run->full && fwrite(logits, sizeof *logits, run->n_vocab, run->full) != run->n_vocab) {
        golden_die(run->opt->full, "write failed");
    }
}

/* Is row `index` of the candidates computed at all? */
static bool is_scored(const struct options *opt, uint32_t index)
{
    return index < candidate_rows(opt) && (!opt->sparse || is_golden_row(opt, index));
}

static void fill_batch(struct llama_batch *batch, const llama_token *ids, const struct options *opt)
{
    batch->n_tokens = (int32_t)opt->ctx;
    for (uint32_t i = 0; i < opt->ctx; i++) {
        batch->token[i] = ids[i];
        batch->pos[i] = (llama_pos)i;
        batch->n_seq_id[i] = 1;
        batch->seq_id[i][0] = 0;
        batch->logits[i] = i >= opt->first && is_scored(opt, i - opt->first);
    }
}

static void run_windows(struct run *run)
{
    const uint32_t ctx = run->opt->ctx;
    struct llama_batch batch = llama_batch_init((int32_t)ctx, 0, 1);
    for (uint32_t w = 0; w < run->windows; w++) {
        llama_memory_clear(llama_get_memory(run->lctx), true);
        fill_batch(&batch, run->ids + (size_t)w * ctx, run->opt);
        if (llama_decode(run->lctx, batch) != 0) {
            golden_die("decode", "failed");
        }
        for (uint32_t i = 0; i < candidate_rows(run->opt); i++) {
            if (!is_scored(run->opt, i)) {
                continue;
            }
            const float *logits = llama_get_logits_ith(run->lctx, (int32_t)(run->opt->first + i));
            if (!logits) {
                golden_die("decode", "no logits");
            }
            score_row(run, w, i, logits);
        }
    }
    llama_batch_free(batch);
}

static void make_windows(struct run *run, bool bos)
{
    const uint32_t ctx = run->opt->ctx;
    const uint32_t whole = (uint32_t)(run->n_text / ctx);
    run->windows = run->opt->windows ? run->opt->windows : whole;
    if (run->windows == 0 || run->windows > whole) {
        golden_die("text", "too short for the windows asked");
    }
    run->ids = golden_alloc((size_t)run->windows * ctx, sizeof *run->ids);
    memcpy(run->ids, run->text_ids, (size_t)run->windows * ctx * sizeof *run->ids);
    for (uint32_t w = 0; bos && w < run->windows; w++) {
        run->ids[(size_t)w * ctx] = llama_vocab_bos(run->vocab);
    }
}

/* Ids for models without a tokenizer (splitmix64; they stand in the golden, so that nobody has to
 * draw them again). */
static void draw_ids(struct run *run)
{
    uint64_t state = run->opt->seed;
    run->n_text = (size_t)run->opt->windows * run->opt->ctx + 1;
    run->text_ids = golden_alloc(run->n_text, sizeof *run->text_ids);
    for (size_t i = 0; i < run->n_text; i++) {
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        run->text_ids[i] = (llama_token)((z ^ (z >> 31)) % run->n_vocab);
    }
}

static uint64_t fnv1a(const char *bytes, size_t n)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint32_t flash_code(enum llama_flash_attn_type flash)
{
    return flash == LLAMA_FLASH_ATTN_TYPE_DISABLED  ? 0u
           : flash == LLAMA_FLASH_ATTN_TYPE_ENABLED ? 1u
                                                    : 2u;
}

static void write_row(FILE *file, const struct golden_row *row)
{
    golden_put_u32(file, row->window);
    golden_put_u32(file, row->position);
    golden_put_f64(file, row->lse);
    for (int i = 0; i < TOP; i++) {
        golden_put_u32(file, row->id[i]);
    }
    for (int i = 0; i < TOP; i++) {
        golden_put_f32(file, row->logit[i]);
    }
}

static void write_golden(const struct run *run, uint64_t text_hash, size_t length, bool bos)
{
    const struct options *opt = run->opt;
    const uint32_t windows = run->windows < GOLDEN_WINDOWS ? run->windows : GOLDEN_WINDOWS;
    const uint32_t scored = windows * scored_rows(opt);
    const uint32_t head[] = {VERSION,
                             opt->ctx,
                             run->n_vocab,
                             windows,
                             run->n_rows,
                             TOP,
                             opt->kv == GGML_TYPE_F32 ? 0u : 1u,
                             flash_code(opt->flash),
                             bos,
                             (uint32_t)run->n_text,
                             scored};
    FILE *file = golden_create(opt->out);

    fwrite("HGLD", 1, 4, file);
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        golden_put_u32(file, head[i]);
    }
    golden_put_u64(file, length);
    golden_put_u64(file, text_hash);
    golden_put_f64(file, run->golden_nll / scored);
    for (size_t i = 0; i < (size_t)windows * opt->ctx; i++) {
        golden_put_u32(file, (uint32_t)run->ids[i]);
    }
    for (uint32_t i = 0; i < run->n_rows; i++) {
        write_row(file, &run->rows[i]);
    }
    golden_close(file, opt->out);
}

static void print_perplexity(const struct run *run)
{
    const double n = (double)run->scored;
    const double mean = run->nll / n;
    const double spread = run->nll2 / n - mean * mean;
    const double perplexity = exp(mean);
    printf("perplexity %.6f stderr %.6f scored_tokens %llu windows %u text_tokens %zu\n",
           perplexity, spread > 0 ? sqrt(spread / (n - 1)) * perplexity : 0.0,
           (unsigned long long)run->scored, run->windows, run->n_text);
}

static struct llama_context *open_context(const struct options *opt, struct llama_model *model)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = opt->ctx;
    params.n_batch = opt->ctx;
    params.n_ubatch = opt->ctx;
    params.n_threads = (int32_t)opt->threads;
    params.n_threads_batch = (int32_t)opt->threads;
    params.flash_attn_type = opt->flash;
    params.type_k = opt->kv;
    params.type_v = opt->kv;
    struct llama_context *lctx = llama_init_from_model(model, params);
    if (!lctx) {
        golden_die(opt->model, "cannot make a context");
    }
    return lctx;
}

static struct llama_model *open_model(const struct options *opt)
{
    llama_log_set(golden_quiet_log, NULL);
    llama_backend_init();
    struct llama_model *model =
        llama_model_load_from_file(opt->model, llama_model_default_params());
    if (!model) {
        golden_die(opt->model, "cannot load");
    }
    return model;
}

static enum ggml_type parse_kv(const char *name)
{
    if (strcmp(name, "f32") != 0 && strcmp(name, "f16") != 0) {
        golden_die("--kv", "f32 or f16");
    }
    return strcmp(name, "f32") == 0 ? GGML_TYPE_F32 : GGML_TYPE_F16;
}

static enum llama_flash_attn_type parse_flash(const char *name)
{
    if (strcmp(name, "auto") == 0) {
        return LLAMA_FLASH_ATTN_TYPE_AUTO;
    }
    if (strcmp(name, "on") != 0 && strcmp(name, "off") != 0) {
        golden_die("--fa", "off, on or auto");
    }
    return strcmp(name, "on") == 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
}

static void parse_option(struct options *opt, const char *name, const char *value)
{
    if (!value) {
        golden_die(name, "wants a value");
    } else if (strcmp(name, "--model") == 0) {
        opt->model = value;
    } else if (strcmp(name, "--text") == 0) {
        opt->text = value;
    } else if (strcmp(name, "--out") == 0) {
        opt->out = value;
    } else if (strcmp(name, "--full-logits") == 0) {
        opt->full = value;
    } else if (strcmp(name, "--ctx") == 0) {
        opt->ctx = golden_parse_count(name, value, 1u << 20);
    } else if (strcmp(name, "--windows") == 0) {
        opt->windows = golden_parse_count(name, value, 1u << 20);
    } else if (strcmp(name, "--threads") == 0) {
        opt->threads = golden_parse_count(name, value, 1024);
    } else if (strcmp(name, "--first") == 0) {
        opt->first = golden_parse_count(name, value, 1u << 20);
    } else if (strcmp(name, "--rows") == 0) {
        opt->rows = golden_parse_count(name, value, ROWS_MOST);
    } else if (strcmp(name, "--random-ids") == 0) {
        opt->seed = golden_parse_count(name, value, 1u << 30);
        opt->random_ids = true;
    } else if (strcmp(name, "--kv") == 0) {
        opt->kv = parse_kv(value);
    } else if (strcmp(name, "--fa") == 0) {
        opt->flash = parse_flash(value);
    } else {
        golden_die(name, "unknown option");
    }
}

static struct options parse_options(int argc, char **argv)
{
    struct options opt = {.ctx = 512,
                          .windows = GOLDEN_WINDOWS,
                          .threads = 2,
                          .rows = ROWS_PER_WINDOW,
                          .first = UINT32_MAX,
                          .kv = GGML_TYPE_F32,
                          .flash = LLAMA_FLASH_ATTN_TYPE_DISABLED};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--perplexity") == 0) {
            opt.perplexity = true;
        } else if (strcmp(argv[i], "--sparse") == 0) {
            opt.sparse = true;
        } else {
            parse_option(&opt, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        }
    }
    if (!opt.model || !opt.text == !opt.random_ids) {
        golden_die("usage", "--model FILE and --text FILE or --random-ids SEED are needed");
    }
    if (opt.first == UINT32_MAX) {
        opt.first = opt.ctx / 2;
    }
    /* Fewer candidates than golden rows would repeat some of them. */
    if (opt.rows < 2 || opt.threads == 0 || opt.ctx < 2 || opt.first > opt.ctx - 2 ||
        candidate_rows(&opt) < opt.rows) {
        golden_die("usage", "--rows is 2 or more, and a window has as many rows from --first on");
    }
    return opt;
}

int main(int argc, char **argv)
{
    const struct options opt = parse_options(argc, argv);
    struct llama_model *model = open_model(&opt);
    struct run run = {.opt = &opt, .vocab = llama_model_get_vocab(model)};
    const bool bos = llama_vocab_get_add_bos(run.vocab);
    size_t length = 0;
    uint64_t hash = opt.seed;
    char *text = opt.random_ids ? NULL : golden_read_text(opt.text, &length);

    run.n_vocab = (uint32_t)llama_vocab_n_tokens(run.vocab);
    if (text) {
        hash = fnv1a(text, length);
        run.text_ids = golden_tokenize(run.vocab, text, length, true, &run.n_text);
    } else {
        draw_ids(&run);
    }
    make_windows(&run, bos);
    run.rows = golden_alloc((size_t)GOLDEN_WINDOWS * opt.rows, sizeof *run.rows);
    run.full = opt.full ? golden_create(opt.full) : NULL;
    run.lctx = open_context(&opt, model);
    run_windows(&run);

    if (run.full) {
        golden_close(run.full, opt.full);
    }
    if (opt.out) {
        write_golden(&run, hash, length, bos);
    }
    if (opt.perplexity) {
        print_perplexity(&run);
    }
    llama_free(run.lctx);
    llama_model_free(model);
    free(run.rows);
    free(run.ids);
    free(run.text_ids);
    free(text);
    return 0;
}
