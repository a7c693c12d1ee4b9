/*
 * Writes the tokenizer golden of a model: the token ids llama.cpp gives for a text and for
 * random valid UTF-8 strings made of what pre-tokenizer patterns and merges trip over.
 *
 * usage: make_tokens --model FILE --out FILE [--text FILE] [--count N] [--segments N]
 *                    [--seed N]
 *
 * The strings are deterministic (same seed, same strings) and are stored, so a reader needs no
 * generator. Only code points assigned in Unicode 14 appear (private use and U+0000 excluded).
 * No special tokens are added and none are parsed. --count (2000) random strings of 1 to
 * --segments (6) segments each; --text puts that file, without its last newline, in front.
 *
 * Golden file, little-endian, no padding:
 *   char magic[4]   "HTOK"
 *   u32  version    1
 *   u32  vocab      tokens in the vocabulary
 *   u32  records
 *   record[records]:
 *     u32 length, u8 text[length], u32 count, u32 id[count]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_util.h"
#include "unicode14_ranges.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { VERSION = 1, ROOM = 8192, MAX_SEGMENTS = 64 };

struct options {
    const char *model, *text, *out;
    uint32_t count, segments, seed;
};

/* One string under construction. ROOM holds MAX_SEGMENTS of the longest segment (< 128 bytes). */
struct string {
    char bytes[ROOM];
    size_t length;
};

static uint64_t random_state;

/* splitmix64: small, and the same everywhere. */
static uint64_t random_next(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t random_below(uint32_t n)
{
    return (uint32_t)((random_next() >> 32) * n >> 32);
}

static uint32_t random_between(uint32_t first, uint32_t last)
{
    return first + random_below(last - first + 1);
}

static void put_byte(struct string *s, uint32_t byte)
{
    s->bytes[s->length++] = (char)(unsigned char)byte;
}

static void put_point(struct string *s, uint32_t c)
{
    if (c < 0x80) {
        put_byte(s, c);
    } else if (c < 0x800) {
        put_byte(s, 0xc0 | c >> 6);
        put_byte(s, 0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put_byte(s, 0xe0 | c >> 12);
        put_byte(s, 0x80 | (c >> 6 & 0x3f));
        put_byte(s, 0x80 | (c & 0x3f));
    } else {
        put_byte(s, 0xf0 | c >> 18);
        put_byte(s, 0x80 | (c >> 12 & 0x3f));
        put_byte(s, 0x80 | (c >> 6 & 0x3f));
        put_byte(s, 0x80 | (c & 0x3f));
    }
}

static void put_text(struct string *s, const char *text)
{
    const size_t n = strlen(text);
    memcpy(s->bytes + s->length, text, n);
    s->length += n;
}

static bool is_assigned(uint32_t c)
{
    for (size_t i = 0; i < COUNT_OF(unicode14_ranges) && unicode14_ranges[i].first <= c; i++) {
        if (c <= unicode14_ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* A few code points of one block; unassigned ones inside it are drawn again. */
static void put_block(struct string *s, uint32_t first, uint32_t last, uint32_t most)
{
    for (uint32_t n = random_between(1, most); n > 0; n--) {
        uint32_t c;
        do {
            c = random_between(first, last);
        } while (!is_assigned(c));
        put_point(s, c);
    }
}

static void put_word(struct string *s)
{
    static const char *const words[] = {
        "the",
        "light",
        "Prism",
        "refraction",
        "OPTICKS",
        "tokenizer",
        "don",
        "I",
        "a",
        "and",
        "Newton",
        "colours",
        "HTTPServer",
        "snake_case",
        "camelCase",
        "hello",
        "world",
        "of",
        "internationalization",
        "x",
        "re",
        "ll",
        "an",
        "GPU",
        "MiB",
        "for",
        "int",
        "return",
    };
    if (random_below(3) == 0) {
        const uint32_t base = random_below(4) == 0 ? 'A' : 'a';
        for (uint32_t n = random_between(1, 10); n > 0; n--) {
            put_byte(s, base + random_below(26));
        }
    } else {
        put_text(s, words[random_below(COUNT_OF(words))]);
    }
}

static void put_spaced_word(struct string *s)
{
    put_byte(s, ' ');
    put_word(s);
}

static void put_contraction(struct string *s)
{
    static const char *const tails[] = {"s",  "t", "re", "ve", "m", "ll", "d", "S", "T", "RE",
                                        "Ve", "M", "LL", "D",  "x", "",   "l", "r", "ss"};
    static const char *const marks[] = {"'", "'", "'", "\xe2\x80\x99", "''", "`"};
    if (random_below(2) == 0) {
        put_word(s);
    }
    put_text(s, marks[random_below(COUNT_OF(marks))]);
    put_text(s, tails[random_below(COUNT_OF(tails))]);
}

static void put_digits(struct string *s)
{
    for (uint32_t n = random_between(1, 9); n > 0; n--) {
        put_byte(s, '0' + random_below(10));
        if (random_below(8) == 0) {
            put_byte(s, (uint32_t) ".,:/-"[random_below(5)]);
        }
    }
}

static void put_spaces(struct string *s)
{
    const uint32_t c = (uint32_t) "   \t\n"[random_below(5)];
    for (uint32_t n = random_between(1, 9); n > 0; n--) {
        put_byte(s, c);
    }
}

static void put_mixed_space(struct string *s)
{
    static const uint32_t spaces[] = {' ',    ' ',    ' ',    '\t',   '\n',   '\n',   '\r',
                                      '\v',   '\f',   0x85,   0xa0,   0x1680, 0x2003, 0x2009,
                                      0x200b, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff};
    for (uint32_t n = random_between(1, 5); n > 0; n--) {
        put_point(s, spaces[random_below(COUNT_OF(spaces))]);
    }
}

static void put_newlines(struct string *s)
{
    static const char *const ends[] = {"\n", "\n\n", "\r\n", "\r\n\r\n", " \n", "\n ", "\n\t"};
    put_text(s, ends[random_below(COUNT_OF(ends))]);
}

static void put_punctuation(struct string *s)
{
    static const char marks[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    for (uint32_t n = random_between(1, 4); n > 0; n--) {
        put_byte(s, (uint32_t)marks[random_below(sizeof marks - 1)]);
    }
}

static void put_letters(struct string *s)
{
    static const uint32_t blocks[][2] = {
        {0xc0, 0x24f},    {0x370, 0x3ff},   {0x400, 0x52f},   {0x5d0, 0x5ea},
        {0x620, 0x64a},   {0x904, 0x939},   {0xe01, 0xe30},   {0x10d0, 0x10fa},
        {0x1e00, 0x1eff}, {0x13a0, 0x13f5}, {0xff21, 0xff5a}, {0x1d400, 0x1d454},
    };
    const uint32_t *block = blocks[random_below(COUNT_OF(blocks))];
    put_block(s, block[0], block[1], 6);
}

static void put_east_asian(struct string *s)
{
    static const uint32_t blocks[][2] = {
        {0x4e00, 0x9fff}, {0x4e00, 0x5fff}, {0x3041, 0x3096}, {0x30a1, 0x30fa},
        {0xac00, 0xd7a3}, {0x3001, 0x3011}, {0x3400, 0x4dbf}, {0x20000, 0x2a6df},
    };
    const uint32_t *block = blocks[random_below(COUNT_OF(blocks))];
    put_block(s, block[0], block[1], 4);
}

static void put_emoji(struct string *s)
{
    static const char *const sequences[] = {
        "\xe2\x9d\xa4\xef\xb8\x8f",                                                 /* heart */
        "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd",                                         /* skin tone */
        "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa",                                         /* flag */
        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",                             /* joiner */
        "1\xef\xb8\x8f\xe2\x83\xa3",                                                /* keycap */
        "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", /* family */
    };
    if (random_below(2) == 0) {
        put_text(s, sequences[random_below(COUNT_OF(sequences))]);
    } else if (random_below(4) == 0) {
        put_block(s, 0x2600, 0x27bf, 2);
    } else {
        put_block(s, 0x1f300, 0x1f6ff, 2);
    }
}

static void put_combining(struct string *s)
{
    put_byte(s, 'a' + random_below(26));
    put_block(s, 0x300, 0x36f, 3);
}

/* Digits and numbers that are not ASCII: patterns with \p{N} differ from those with [0-9]. */
static void put_numbers(struct string *s)
{
    static const uint32_t blocks[][2] = {
        {0x660, 0x669}, {0x966, 0x96f},   {0xff10, 0xff19},   {0x2160, 0x2188}, {0x2460, 0x249b},
        {0xbc, 0xbe},   {0x2070, 0x2079}, {0x1d7ce, 0x1d7ff}, {0x3021, 0x3029}, {0x1f100, 0x1f10c},
    };
    const uint32_t *block = blocks[random_below(COUNT_OF(blocks))];
    put_block(s, block[0], block[1], 3);
}

static void put_any(struct string *s)
{
    for (uint32_t n = random_between(1, 3); n > 0; n--) {
        const uint32_t i = random_below((uint32_t)COUNT_OF(unicode14_ranges));
        put_point(s, random_between(unicode14_ranges[i].first, unicode14_ranges[i].last));
    }
}

static void put_control(struct string *s)
{
    static const uint32_t points[] = {0x01, 0x07, 0x08,  0x1b,   0x1c,   0x1f,   0x7f,   0x80,
                                      0x9f, 0xad, 0x61c, 0x200e, 0x2060, 0xfffd, 0xe0041};
    put_point(s, points[random_below(COUNT_OF(points))]);
}

/* Text that looks like special tokens must stay text, and code has its own merges. */
static void put_snippet(struct string *s)
{
    static const char *const snippets[] = {
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<s>",
        "</s>",
        "<bos>",
        "<filename>",
        "<repo_name>",
        "[INST]",
        "    return x;\n}",
        "if (a != b) {",
        "https://example.org/?q=1",
        "foo_bar(x)->y",
        "#include <stdio.h>\n",
        "\t\tfor i in range(10):",
        "e.g. 3.14e-5",
        "I'm can't we'll they've he'd it's you're",
        "\xe2\x96\x81",
        "0x1F600",
        "------",
        "...",
        "===",
    };
    put_text(s, snippets[random_below(COUNT_OF(snippets))]);
}

static void make_string(struct string *s, uint32_t segments)
{
    static void (*const makers[])(struct string *) = {
        put_word,    put_spaced_word, put_spaced_word, put_spaced_word, put_contraction,
        put_digits,  put_spaces,      put_mixed_space, put_newlines,    put_punctuation,
        put_letters, put_east_asian,  put_emoji,       put_combining,   put_numbers,
        put_any,     put_control,     put_snippet,
    };
    s->length = 0;
    for (uint32_t n = random_between(1, segments); n > 0; n--) {
        makers[random_below(COUNT_OF(makers))](s);
    }
}

static void write_record(FILE *file, const struct llama_vocab *vocab, const char *text,
                         size_t length)
{
    size_t count;
    llama_token *ids = golden_tokenize(vocab, text, length, false, &count);
    golden_put_u32(file, (uint32_t)length);
    fwrite(text, 1, length, file);
    golden_put_u32(file, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        golden_put_u32(file, (uint32_t)ids[i]);
    }
    free(ids);
}

static void write_golden(const struct options *opt, const struct llama_vocab *vocab)
{
    FILE *file = golden_create(opt->out);
    fwrite("HTOK", 1, 4, file);
    golden_put_u32(file, VERSION);
    golden_put_u32(file, (uint32_t)llama_vocab_n_tokens(vocab));
    golden_put_u32(file, opt->count + (opt->text ? 1 : 0));
    if (opt->text) {
        size_t length;
        char *text = golden_read_text(opt->text, &length);
        write_record(file, vocab, text, length);
        free(text);
    }
    random_state = opt->seed;
    for (uint32_t i = 0; i < opt->count; i++) {
        struct string s;
        make_string(&s, opt->segments);
        write_record(file, vocab, s.bytes, s.length);
    }
    golden_close(file, opt->out);
}

static struct llama_model *open_vocab(const char *path)
{
    llama_log_set(golden_quiet_log, NULL);
    llama_backend_init();
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    struct llama_model *model = llama_model_load_from_file(path, params);
    if (!model) {
        golden_die(path, "cannot load");
    }
    return model;
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
    } else if (strcmp(name, "--count") == 0) {
        opt->count = golden_parse_count(name, value, 10u * 1000 * 1000);
    } else if (strcmp(name, "--segments") == 0) {
        opt->segments = golden_parse_count(name, value, MAX_SEGMENTS);
    } else if (strcmp(name, "--seed") == 0) {
        opt->seed = golden_parse_count(name, value, UINT32_MAX);
    } else {
        golden_die(name, "unknown option");
    }
}

int main(int argc, char **argv)
{
    struct options opt = {.count = 2000, .segments = 6, .seed = 1};
    for (int i = 1; i < argc; i += 2) {
        parse_option(&opt, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
    }
    if (!opt.model || !opt.out || opt.segments == 0) {
        golden_die("usage", "--model FILE and --out FILE are needed, --segments is 1 or more");
    }
    struct llama_model *model = open_vocab(opt.model);
    write_golden(&opt, llama_model_get_vocab(model));
    llama_model_free(model);
    return 0;
}
