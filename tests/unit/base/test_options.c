/* Option parser: every accepted form, every error with its hint and place, suggestions, help. */
#include "base/options.h"

#include "harness/test.h"

struct values {
    bool verbose, mmap;
    int64_t threads, seed;
    double temperature;
    const char *output, *type;
    struct hs_text_list stop;
};

static const struct hs_option table[] = {
    {"verbose", 'v', HS_OPTION_FLAG, offsetof(struct values, verbose), NULL, NULL, 0, 0,
     "say more"},
    {"mmap", 0, HS_OPTION_FLAG, offsetof(struct values, mmap), NULL, NULL, 0, 0,
     "map the file (default)"},
    {"threads", 't', HS_OPTION_INT, offsetof(struct values, threads), "N", NULL, 1, 512,
     "threads to use (default: all cores)"},
    {"seed", 0, HS_OPTION_INT, offsetof(struct values, seed), "N", NULL, 0, 0, "random seed"},
    {"temperature", 0, HS_OPTION_REAL, offsetof(struct values, temperature), "X", NULL, 0, 2,
     "softmax temperature; this help text is made long enough that it must be wrapped at least "
     "once, and maybe twice, at the column limit"},
    {"output", 'o', HS_OPTION_TEXT, offsetof(struct values, output), "FILE", NULL, 0, 0,
     "file to write"},
    {"type", 0, HS_OPTION_CHOICE, offsetof(struct values, type), NULL, "f16|f32|q8_0", 0, 0,
     "type of the tensors"},
    {"stop", 's', HS_OPTION_LIST, offsetof(struct values, stop), "TEXT", NULL, 0, 0,
     "end at this text"},
    {0},
};

static struct values values;
static const char *positionals[64];
static int positional_count;
static struct hs_error error;

/* Parses the words of a NULL-ended list. */
static enum hasten_status parse(const char *const *words)
{
    char *argv[64];
    int argc = 0;
    while (words[argc]) {
        argv[argc] = (char *)(uintptr_t)words[argc];
        argc++;
    }
    values = (struct values){.mmap = true};
    positional_count = -1;
    hs_error_clear(&error);
    return hs_options_parse(table, argc, argv, &values, positionals, &positional_count, &error);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

#define CHECK_WRONG(message_part, hint_part, place_text, ...)                                      \
    do {                                                                                           \
        CHECK_INT(PARSE(__VA_ARGS__), HASTEN_INVALID_ARGUMENT);                                    \
        if (!strstr(error.message, message_part) || !strstr(error.hint, hint_part))                \
            TEST_FAIL("message \"%s\", hint \"%s\"", error.message, error.hint);                   \
        CHECK_TEXT(error.place, place_text);                                                       \
        CHECK_INT(positional_count, -1);                                                           \
    } while (0)

TEST(all_forms)
{
    CHECK_INT(PARSE("in", "--threads", "4", "--seed=-0x10", "-v", "--no-mmap", "-oout", "--type",
                    "f32", "--temperature=.5", "-s", "a", "--stop=", "-sb", "two"),
              HASTEN_OK);
    CHECK_INT(values.threads, 4);
    CHECK_INT(values.seed, -16);
    CHECK(values.verbose && !values.mmap);
    CHECK_TEXT(values.output, "out");
    CHECK_TEXT(values.type, "f32");
    CHECK(values.temperature == 0.5);
    CHECK_INT(values.stop.count, 3);
    CHECK_TEXT(values.stop.items[0], "a");
    CHECK_TEXT(values.stop.items[1], "");
    CHECK_TEXT(values.stop.items[2], "b");
    CHECK_INT(positional_count, 2);
    CHECK_TEXT(positionals[0], "in");
    CHECK_TEXT(positionals[1], "two");
}

TEST(defaults_stay_and_last_wins)
{
    CHECK_INT(parse((const char *const[]){NULL}), HASTEN_OK);
    CHECK(values.mmap && !values.verbose && values.threads == 0 && !values.output);
    CHECK_INT(positional_count, 0);
    CHECK_INT(PARSE("-t1", "--threads=2", "--no-mmap", "--mmap", "-v", "--no-verbose"), HASTEN_OK);
    CHECK_INT(values.threads, 2);
    CHECK(values.mmap && !values.verbose);
}

TEST(dashes)
{
    CHECK_INT(PARSE("-", "-v", "--", "--threads", "-x", "--"), HASTEN_OK);
    CHECK_INT(positional_count, 4);
    CHECK_TEXT(positionals[0], "-");
    CHECK_TEXT(positionals[1], "--threads");
    CHECK_TEXT(positionals[2], "-x");
    CHECK_TEXT(positionals[3], "--");
    CHECK(values.verbose && values.threads == 0);
    CHECK_INT(PARSE("--output", "-", "--seed", "-1", "-s", "--"), HASTEN_OK); /* values verbatim */
    CHECK_TEXT(values.output, "-");
    CHECK_INT(values.seed, -1);
    CHECK_TEXT(values.stop.items[0], "--");
    CHECK_INT(PARSE("", "--output="), HASTEN_OK);
    CHECK_TEXT(positionals[0], "");
    CHECK_TEXT(values.output, "");
}

TEST(whole_numbers_are_checked)
{
    CHECK_WRONG("'12x'", "whole number", "--threads=12x", "--threads=12x");
    CHECK_WRONG("''", "whole number", "--threads=", "--threads=");
    CHECK_WRONG("' 1'", "whole number", "--threads= 1", "--threads= 1");
    CHECK_WRONG("'1.5'", "whole number", "-t1.5", "-t1.5");
    CHECK_WRONG("'0x'", "whole number", "--seed=0x", "--seed=0x");
    CHECK_WRONG("'--1'", "whole number", "--seed=--1", "--seed=--1");
    CHECK_WRONG("'-'", "whole number", "--seed=-", "--seed=-");
    CHECK_WRONG("out of range", "from 1 to 512", "--threads=0", "--threads=0");
    CHECK_WRONG("out of range", "from 1 to 512", "-t", "-t", "513");
    CHECK_WRONG("out of range", "64 bits", "--seed=9223372036854775808",
                "--seed=9223372036854775808");
    CHECK_INT(PARSE("--seed=9223372036854775807", "--threads=512"), HASTEN_OK);
    CHECK(values.seed == INT64_MAX && values.threads == 512);
    CHECK_INT(PARSE("--seed=-9223372036854775808", "--threads=+1"), HASTEN_OK);
    CHECK(values.seed == INT64_MIN && values.threads == 1);
    CHECK_INT(PARSE("--seed=010", "--threads=0X1f"), HASTEN_OK); /* decimal, no octal */
    CHECK(values.seed == 10 && values.threads == 31);
}

TEST(real_numbers_are_checked)
{
    static const char *const wrong[] = {"x", "", "1x", "nan", "inf", "-", ".", " 1", "0x1p3", "1e"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_INT(PARSE("--temperature", wrong[i]), HASTEN_INVALID_ARGUMENT);
        CHECK(strstr(error.message, "no number") && strstr(error.hint, "decimal"));
    }
    CHECK_WRONG("out of range", "from 0 to 2", "--temperature=2.01", "--temperature=2.01");
    CHECK_WRONG("out of range", "from 0 to 2", "--temperature=-1e-9", "--temperature=-1e-9");
    CHECK_WRONG("out of range", "smaller", "--temperature=1e999", "--temperature=1e999");
    CHECK_INT(PARSE("--temperature", "2e0"), HASTEN_OK);
    CHECK(values.temperature == 2);
}

TEST(values_where_they_belong)
{
    CHECK_WRONG("--output needs a value", "--output FILE", "--output", "--output");
    CHECK_WRONG("--threads needs a value", "--threads N", "-t", "-t");
    CHECK_WRONG("--type needs a value", "f16|f32|q8_0", "--type", "--type");
    CHECK_WRONG("--mmap takes no value", "--no-mmap", "--mmap=yes", "--mmap=yes");
    CHECK_WRONG("--verbose takes no value", "--verbose", "--no-verbose=1", "--no-verbose=1");
    CHECK_WRONG("-v takes no value", "one by one", "-vt", "-vt");
    CHECK_WRONG("'f8'", "f16, f32, q8_0", "--type", "--type", "f8");
    CHECK_WRONG("'f16|f32'", "f16, f32, q8_0", "--type=f16|f32", "--type=f16|f32");
    CHECK_WRONG("''", "f16, f32, q8_0", "--type=", "--type=");
}

TEST(lists_end)
{
    const char *words[66];
    for (int i = 0; i < 33; i++)
        words[i] = "-sx";
    words[33] = NULL;
    CHECK_INT(parse(words), HASTEN_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "32 times"));
    words[32] = NULL;
    CHECK_INT(parse(words), HASTEN_OK);
    CHECK_INT(values.stop.count, 32);
}

TEST(unknown_options_get_the_nearest)
{
    CHECK_WRONG("unknown option --thraeds", "did you mean --threads?", "--thraeds=3",
                "--thraeds=3");
    CHECK_WRONG("unknown option --temprature", "--temperature?", "--temprature", "--temprature");
    CHECK_WRONG("unknown option --no-map", "--no-mmap?", "--no-map", "--no-map");
    CHECK_WRONG("unknown option --no-threads", "did you mean --threads?", "--no-threads",
                "--no-threads");
    CHECK_WRONG("unknown option --no-temperature", "--temperature?", "--no-temperature",
                "--no-temperature"); /* no flag: has no negative form */
    CHECK_WRONG("unknown option --frobnicate", "see --help", "--frobnicate", "--frobnicate");
    CHECK_WRONG("unknown option -q", "see --help", "-q", "-q");
    CHECK_WRONG("unknown option --", "see --help", "--=x", "--=x");
    CHECK_WRONG("unknown option --no-", "see --help", "--no-", "--no-");
    CHECK_INT(hs_options_parse(table, 1, (char *const[]){(char[]){"--nope"}}, &values, positionals,
                               &positional_count, NULL),
              HASTEN_INVALID_ARGUMENT);
}

TEST(nearest_counts_typing_errors)
{
    static const char *const names[] = {"run", "bench", "serve", "inspect"};
    CHECK_TEXT(hs_nearest("run", names, 4), "run");
    CHECK_TEXT(hs_nearest("rnu", names, 4), "run");      /* swapped: one error */
    CHECK_TEXT(hs_nearest("rn", names, 4), "run");       /* left out */
    CHECK_TEXT(hs_nearest("benchh", names, 4), "bench"); /* added */
    CHECK_TEXT(hs_nearest("sarve", names, 4), "serve");  /* changed */
    CHECK_TEXT(hs_nearest("inpsetc", names, 4), "inspect");
    CHECK(!hs_nearest("rmv", names, 4));  /* 2 errors of 3 letters */
    CHECK(!hs_nearest("bnhc", names, 4)); /* 2 errors of 4 letters */
    CHECK(!hs_nearest("zzzzzz", names, 4));
    CHECK(!hs_nearest("run", names, 0));
    CHECK(!hs_nearest("", names, 4));
    const char *const single[] = {"x"};
    CHECK(!hs_nearest("y", single, 1)); /* nothing alike */
    char endless[500];
    memset(endless, 'r', sizeof endless);
    endless[sizeof endless - 1] = 0;
    CHECK(!hs_nearest(endless, names, 4));
}

TEST(help_is_aligned_and_wrapped)
{
    struct hs_buffer out = {0};
    hs_options_help(table, &out);
    CHECK(!out.failed);
    CHECK(strstr(out.data, "  -v, --verbose            say more\n"));
    CHECK(strstr(out.data, "      --mmap               map the file (default)\n"));
    CHECK(strstr(out.data, "  -t, --threads N          threads to use (default: all cores)\n"));
    CHECK(strstr(out.data, "      --type f16|f32|q8_0  type of the tensors\n"));
    CHECK(strstr(out.data, "  -s, --stop TEXT          end at this text (repeatable)\n"));
    int lines = 0;
    for (const char *line = out.data; *line; lines++) {
        size_t length = strcspn(line, "\n");
        CHECK(length <= 100 && line[length] == '\n');
        CHECK(length == 0 || line[length - 1] != ' ');
        line += length + 1;
    }
    CHECK_INT(lines, 9); /* eight options, one of them on two lines */
    hs_buffer_free(&out);
}

TEST(help_lines_use_all_columns)
{
    char words[201]; /* "x x x ..." */
    for (size_t i = 0; i < sizeof words - 1; i++)
        words[i] = i % 2 ? ' ' : 'x';
    words[sizeof words - 1] = 0;
    const struct hs_option wide[] = {
        {"w", 0, HS_OPTION_TEXT, 0, "VALUE", NULL, 0, 0, words},
        {0},
    };
    struct hs_buffer out = {0};
    hs_options_help(wide, &out);
    CHECK_INT(strcspn(out.data, "\n"), 100); /* 17 columns to the left, then 42 words */
    hs_buffer_free(&out);
}

TEST(help_with_long_names_and_named_choices)
{
    static const struct hs_option odd[] = {
        {"a-name-that-is-much-longer-than-others", 0, HS_OPTION_TEXT, 0, "VALUE", NULL, 0, 0,
         "text"},
        {"kind", 'k', HS_OPTION_CHOICE, 0, "KIND", "a|b", 0, 0, "kind of it"},
        {"bare", 0, HS_OPTION_FLAG, 0, NULL, NULL, 0, 0, ""},
        {0},
    };
    struct hs_buffer out = {0};
    hs_options_help(odd, &out);
    CHECK_TEXT(out.data, "      --a-name-that-is-much-longer-than-others VALUE\n"
                         "                   text\n"
                         "  -k, --kind KIND  kind of it (a|b)\n"
                         "      --bare\n");
    hs_buffer_free(&out);
    hs_alloc_fail_at(1, true);
    hs_options_help(odd, &out);
    hs_alloc_fail_at(0, false);
    CHECK(out.failed);
    hs_buffer_free(&out);
}

TEST_MAIN()
