/*
 * Tiny models; see tiny_model.h. A random model without a tokenizer is written first and copied
 * with a vocabulary: 256 bytes, a few merged pieces, special tokens, unused tokens up to
 * TINY_VOCAB.
 */
#include "tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/gguf.h"
#include "random_gguf.h"
#include "text/byte_alphabet.h"
#include "text/vocab.h"

static const char chatml[] =
    "{%- macro turn(role, text) -%}{{ '<|im_start|>' + role + '\\n' + text | trim }}<|im_end|>\n"
    "{%- endmacro -%}{{ bos_token }}{% for message in messages %}"
    "{%- if message.role not in ['user', 'assistant', 'system'] %}"
    "{{ raise_exception('unknown role ' + message.role) }}{% endif %}"
    "{%- set ns = namespace(n=loop.index) %}{{ turn(message['role'], message['content']) }}"
    "{%- if loop.last and ns.n > 99 %}{{ messages | tojson }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct vocab {
    struct hs_arena arena;
    struct hs_str pieces[TINY_VOCAB], merges[64];
    int32_t types[TINY_VOCAB];
    float scores[TINY_VOCAB];
    int count, merge_count;
};

static int32_t add(struct vocab *vocab, const char *text, enum tx_token_type type)
{
    int32_t id = vocab->count++;
    vocab->pieces[id] = hs_str_of(hs_arena_strndup(&vocab->arena, text, strlen(text)));
    vocab->types[id] = (int32_t)type;
    vocab->scores[id] = -(float)id;
    return id;
}

/* A piece out of two, both of which are there. */
static void add_merged(struct vocab *vocab, const char *left, const char *right)
{
    const char *merge = hs_arena_printf(&vocab->arena, "%s %s", left, right);
    vocab->merges[vocab->merge_count++] = hs_str_of(merge);
    (void)add(vocab, hs_arena_printf(&vocab->arena, "%s%s", left, right), TX_TOKEN_NORMAL);
}

static void fill_bpe(struct vocab *vocab)
{
    static const char *const pairs[][2] = {{"t", "h"}, {"th", "e"}, {"Ġ", "a"},   {"a", "n"},
                                           {"i", "n"}, {"in", "g"}, {"Ġ", "the"}, {"e", "r"},
                                           {"o", "u"}, {"u", "s"},  {"us", "er"}};
    static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    for (int byte = 0; byte < 256; byte++) {
        char character[8] = "";
        character[tx_byte_to_alphabet((uint8_t)byte, character)] = 0;
        (void)add(vocab, character, TX_TOKEN_NORMAL);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        add_merged(vocab, pairs[i][0], pairs[i][1]);
    for (size_t i = 0; i < 3; i++)
        (void)add(vocab, specials[i], TX_TOKEN_CONTROL);
}

static void fill_spm(struct vocab *vocab)
{
    static const char *const pieces[] = {"▁",
                                         "t",
                                         "h",
                                         "e",
                                         "a",
                                         "n",
                                         "i",
                                         "g",
                                         "th",
                                         "the",
                                         "▁the",
                                         "an",
                                         "in",
                                         "ing",
                                         "us",
                                         "er",
                                         "user",
                                         "s",
                                         "u",
                                         "r",
                                         "<start_of_turn>",
                                         "<end_of_turn>"};
    static const char *const specials[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < 3; i++)
        (void)add(vocab, specials[i], i ? TX_TOKEN_CONTROL : TX_TOKEN_UNKNOWN);
    for (int byte = 0; byte < 256; byte++)
        (void)add(vocab, hs_arena_printf(&vocab->arena, "<0x%02X>", (unsigned)byte), TX_TOKEN_BYTE);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        (void)add(vocab, pieces[i], pieces[i][0] == '<' ? TX_TOKEN_CONTROL : TX_TOKEN_NORMAL);
}

/* Tokens of one kind and a text of their own up to the size of the embedding table. */
static void fill_up(struct vocab *vocab)
{
    while (vocab->count < TINY_VOCAB)
        (void)add(vocab, hs_arena_printf(&vocab->arena, "<extra %d>", vocab->count),
                  TX_TOKEN_CONTROL);
}

struct copy {
    const struct tiny_recipe *recipe;
    const struct gguf_file *from;
    struct gguf_writer *to;
    struct hs_error *error;
};

static enum hasten_status put_array(const struct copy *c, const char *key, enum gguf_type element,
                                    const void *numbers)
{
    const struct gguf_entry entry = {.key = hs_str_of(key),
                                     .type = GGUF_ARRAY,
                                     .element = element,
                                     .count = TINY_VOCAB,
                                     .data = numbers,
                                     .data_bytes = (size_t)TINY_VOCAB * 4};
    return gguf_put_entry(c->to, &entry, c->error);
}

static enum hasten_status put_vocab(const struct copy *c, const struct vocab *vocab)
{
    bool spm = c->recipe->is_gemma3;
    const char *text = c->recipe->chat_template ? c->recipe->chat_template : chatml;
    HS_TRY(
        gguf_put_text(c->to, "tokenizer.ggml.model", hs_str_of(spm ? "llama" : "gpt2"), c->error));
    if (!spm) {
        HS_TRY(gguf_put_text(c->to, "tokenizer.ggml.pre", hs_str_of("gpt-2"), c->error));
        HS_TRY(gguf_put_texts(c->to, "tokenizer.ggml.merges", vocab->merges,
                              (uint64_t)vocab->merge_count, c->error));
    }
    HS_TRY(gguf_put_texts(c->to, "tokenizer.ggml.tokens", vocab->pieces, TINY_VOCAB, c->error));
    HS_TRY(put_array(c, "tokenizer.ggml.token_type", GGUF_I32, vocab->types));
    HS_TRY(put_array(c, "tokenizer.ggml.scores", GGUF_F32, vocab->scores));
    HS_TRY(gguf_put_u32(c->to, "tokenizer.ggml.bos_token_id", spm ? 1 : 267, c->error));
    HS_TRY(gguf_put_u32(c->to, "tokenizer.ggml.eos_token_id", spm ? 2 : 269, c->error));
    HS_TRY(gguf_put_bool(c->to, "tokenizer.ggml.add_bos_token", true, c->error));
    return gguf_put_text(c->to, "tokenizer.chat_template", hs_str_of(text), c->error);
}

static enum hasten_status put_tensor(const struct copy *c, const struct gguf_tensor *tensor)
{
    uint8_t *data = hs_alloc(tensor->size_bytes);
    if (!data)
        return HASTEN_OUT_OF_MEMORY;
    enum hasten_status status = gguf_read(c->from, tensor, 0, data, tensor->size_bytes, c->error);
    if (c->recipe->nan_tensor && hs_str_is(tensor->name, c->recipe->nan_tensor)) {
        const float nan = NAN;
        memcpy(data, &nan, sizeof nan);
    }
    if (status == HASTEN_OK)
        status = gguf_write_data(c->to, data, tensor->size_bytes, c->error);
    hs_free(data);
    return status;
}

/* Tensors [first, last) of the random file, behind the keys of that part. */
static enum hasten_status put_part(const struct copy *c, const struct vocab *vocab, int part)
{
    const struct gguf_file *from = c->from;
    int parts = c->recipe->parts > 1 ? c->recipe->parts : 1;
    int64_t first = from->tensor_count * part / parts;
    int64_t last = from->tensor_count * (part + 1) / parts;
    if (parts > 1) {
        HS_TRY(gguf_put_u32(c->to, "split.no", (uint32_t)part, c->error));
        HS_TRY(gguf_put_u32(c->to, "split.count", (uint32_t)parts, c->error));
        HS_TRY(gguf_put_u32(c->to, "split.tensors.count", (uint32_t)from->tensor_count, c->error));
    }
    for (int64_t i = 0; part == 0 && i < from->entry_count; i++)
        if (!hs_str_is(from->entries[i].key, "tokenizer.ggml.model"))
            HS_TRY(gguf_put_entry(c->to, &from->entries[i], c->error));
    if (part == 0)
        HS_TRY(put_vocab(c, vocab));
    for (int64_t i = first; i < last; i++)
        HS_TRY(gguf_declare(c->to, from->tensors[i].name, from->tensors[i].dtype,
                            from->tensors[i].dims, from->tensors[i].shape, c->error));
    for (int64_t i = first; i < last; i++)
        HS_TRY(put_tensor(c, &from->tensors[i]));
    return HASTEN_OK;
}

static enum hasten_status write_part(struct copy *c, const struct vocab *vocab, const char *path,
                                     int part)
{
    char name[256];
    if (c->recipe->parts > 1)
        (void)snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", path, part + 1, c->recipe->parts);
    else
        (void)snprintf(name, sizeof name, "%s", path);
    HS_TRY(gguf_writer_open(name, c->error, &c->to));
    enum hasten_status status = put_part(c, vocab, part);
    if (status == HASTEN_OK)
        return gguf_writer_finish(&c->to, c->error);
    gguf_writer_abort(&c->to);
    return status;
}

static enum hasten_status copy_all(const struct tiny_recipe *recipe, const struct gguf_file *from,
                                   const char *path, struct hs_error *error)
{
    enum hasten_status status = HASTEN_OK;
    struct vocab *vocab = hs_calloc(1, sizeof *vocab);
    struct copy copy = {.recipe = recipe, .from = from, .error = error};
    if (!vocab)
        return HASTEN_OUT_OF_MEMORY;
    if (recipe->is_gemma3)
        fill_spm(vocab);
    else
        fill_bpe(vocab);
    fill_up(vocab);
    for (int part = 0; status == HASTEN_OK && part < (recipe->parts > 1 ? recipe->parts : 1);
         part++)
        status = write_part(&copy, vocab, path, part);
    hs_arena_free(&vocab->arena);
    hs_free(vocab);
    return status;
}

enum hasten_status tiny_write(const struct tiny_recipe *recipe, const char *path,
                              struct hs_error *error)
{
    const struct rg_recipe random = {.name = "tiny",
                                     .family = recipe->is_gemma3 ? RG_GEMMA3 : RG_LLAMA,
                                     .seed = 7,
                                     .layers = 2,
                                     .embedding = recipe->embedding ? recipe->embedding : 64,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = 32,
                                     .feed_forward = 96,
                                     .vocab = TINY_VOCAB,
                                     .dtype = recipe->dtype,
                                     .deviation = 2,
                                     .window = recipe->is_gemma3 ? 37 : 0};
    char name[256];
    struct gguf_file *from = NULL;
    (void)snprintf(name, sizeof name, "%s.random", path);
    HS_TRY(rg_write(&random, name, error));
    enum hasten_status status = gguf_open(name, error, &from);
    if (status == HASTEN_OK)
        status = copy_all(recipe, from, path, error);
    gguf_close(&from);
    (void)unlink(name);
    return status;
}
