/* The text form read back: round trips, errors with their line, hostile texts. Round trips of whole
 * models stand in tests/model. */
#include "ir/graph.h"

#include "base/rng.h"
#include "harness/test.h"

static const char small[] =
    "graph @\"odd name\" lowered\n"
    "in %token: i32[T]\n"
    "batch %batch\n"
    "group 0: window=512, layers=1, dtype=f16, kv_heads=1, head_dim=32\n"
    "group 1: window=0, layers=1, dtype=f32, kv_heads=1, head_dim=32\n"
    "state %kv.0: group=0, layer=0\n"
    "state %\"k v\": group=1, layer=0\n"
    "%0: f32[T][16][2] = rope_table %batch, heads=0, head_dim=0, dims=32, style=adjacent, "
    "base=10000, position_scale=0.125\n"
    "%1: f32[T][64] = embed %token, pack(@t: q8_0[100][64], panel32), rows=100, cols=64, "
    "dtype=q8_0, layout=panel32, scale=25.298222  # note=pack\n"
    "%2: a8[T][64] = rmsnorm_quantize %1, @\"n\\\"\\\\\\x01\": f32[64], features=64, eps=1e-06, "
    "group=0  # layer=0 note=fuse-quantize\n"
    "%3: f32[T][32], %kv.0': state = linear %2, %batch, @q: q4_0[32][64], pack(@k: q4_0[32][64], "
    "panel32), @v: q4_0[32][64], %0, %kv.0, cols=64, input_a8=1, unit_rows=32, [ weight=2 rows=32 "
    "dtype=q4_0 layout=rows rope_head_dim=32 rope_dims=32 rope_style=halves : rope(5) "
    "softcap(value=30) store(->0) ], [ weight=3 rows=32 dtype=q4_0 layout=panel32 "
    "rope_head_dim=32 rope_dims=32 rope_style=halves kv_heads=1 kv_head_dim=32 kv_layer=0 "
    "kv_dtype=f16 : rope(5) append_k(6->1) ], [ weight=4 rows=32 dtype=q4_0 layout=rows "
    "kv_heads=1 kv_head_dim=32 kv_layer=0 kv_dtype=f16 : append_v(6->1) ]  # layer=0\n"
    "%4: f32[T][32] = attention %3, %kv.0', %batch, heads=1, kv_heads=1, head_dim=32, window=512, "
    "causal=1, scale=0.17677669, softcap=50, kv_layer=0, kv_dtype=f16  # layer=0\n"
    "%\"k v'\": state = kv_append %\"k v\", %4, %4, %batch, kv_heads=1, head_dim=32, kv_layer=0, "
    "kv_dtype=f32\n"
    "%5: f32[R][32] = select_rows %4, %batch, features=32\n"
    "%logits: f32[R][32] = scale %5, features=32, value=-0.1\n"
    "hidden %5\n"
    "out %logits\n";

static struct hs_error error;

static enum hasten_status parse(const char *text, size_t size, struct ir_graph **graph)
{
    *graph = NULL;
    hs_error_clear(&error);
    return ir_parse((struct hs_str){text, size}, &error, graph);
}

TEST(a_text_survives_the_round_trip)
{
    struct ir_graph *graph;
    struct hs_buffer text = {0};
    if (parse(small, strlen(small), &graph) != HASTEN_OK)
        TEST_FAIL("%s at %s", error.message, error.place);
    CHECK_INT(ir_verify(graph, NULL), HASTEN_OK);
    ir_print(graph, &text);
    CHECK_TEXT(text.data, small);
    ir_graph_free(&graph);
    hs_buffer_free(&text);
}

TEST(blank_lines_remarks_and_blanks_are_allowed)
{
    static const char loose[] = "\n# a remark\n  graph   @g canonical  \n in %x : i32[ T ]\n"
                                "batch %batch\n"
                                "%9:f32[T][8]=embed %x,@t:f32[4][8],rows=4,cols=8,dtype=f32,"
                                "layout=rows,scale=1\n%7: f32[R][8] = select_rows %9, %batch, "
                                "features=8\nout %7";
    struct ir_graph *graph;
    struct hs_buffer text = {0};
    if (parse(loose, strlen(loose), &graph) != HASTEN_OK)
        TEST_FAIL("%s at %s", error.message, error.place);
    ir_print(graph, &text);
    CHECK(strstr(text.data, "%1: f32[R][8] = select_rows %0, %batch, features=8\nout %1\n"));
    ir_graph_free(&graph);
    hs_buffer_free(&text);
}

/* The small text with the first `from` replaced. */
static void expect_error(const char *from, const char *to, const char *message, const char *place)
{
    char text[8192];
    struct ir_graph *graph;
    const char *at = strstr(small, from);
    CHECK(at != NULL);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - small), small, to, at + strlen(from));
    enum hasten_status status = parse(text, strlen(text), &graph);
    if (status != HASTEN_CORRUPT_INPUT || !strstr(error.message, message) ||
        !strstr(error.place, place) || graph)
        TEST_FAIL("'%s' -> '%s': %s '%s' at '%s'", from, to, hs_status_name(status), error.message,
                  error.place);
}

TEST(errors_name_line_and_cause)
{
    expect_error("graph", "draph", "expected 'graph '", "line 1");
    expect_error("lowered", "lowest", "'lowest' is not a level", "line 1");
    expect_error("batch %batch\n", "batch %batch\nbatch %batch\n", "a second batch", "line 4");
    expect_error("i32[T]", "i32[T", "expected ']'", "line 2");
    expect_error("in %token", "in %7", "is a number", "line 2");
    expect_error("group 0", "group 1", "not the next one", "line 4");
    expect_error("window=512, layers=1", "window=512, layers=2", "has 1 states", "line");
    expect_error("head_dim=32", "head_dim=0", "impossible KV layout", "line 4");
    expect_error("dtype=f16", "dtype=f17", "'f17' is not an element type", "line 4");
    expect_error("layer=0", "layer=1", "not the next of its group", "line 6");
    expect_error("rope_table", "rope_tables", "'rope_tables' is not an operation", "line 8");
    expect_error("style=adjacent", "style=spiral", "'spiral' is not a style", "line 8");
    expect_error("base=10000", "base=1e999", "is not a number", "line 8");
    expect_error(", position_scale=0.125", "", "'position_scale' is missing", "line 8");
    expect_error("dims=32", "dims=99999999999", "out of range", "line 8");
    expect_error("embed %token", "embed %tokens", "%tokens is not defined", "line 9");
    expect_error("panel32)", "panel33)", "'panel33' is not a layout", "line 9");
    expect_error("\\x01", "\\x00", "0 byte", "line 10");
    expect_error("\\x01", "\\q", "unknown escape", "line 10");
    expect_error("%kv.0': state", "%kv.1': state", "no next version", "line 11");
    expect_error("rope(5)", "ropes(5)", "'ropes' is not an epilogue step", "line 11");
    expect_error("%4: f32", "%3: f32", "%3 is defined twice", "line 12");
    expect_error("features=32\n", "features=32,\n", "something is missing", "line 14");
    expect_error("features=32\n", "features=32 %4\n", "after the end of the line: '%4'", "line 14");
    expect_error("out %logits\n", "", "no output", "line");
    expect_error("out %logits\n", "out %logits\nout %logits\n", "goes on", "line 18");
    expect_error("hidden %5", "hidden %9", "%9 is not defined", "line 16");
    expect_error("hidden %5\n", "hidden %5\nhidden %5\n", "a second output", "line 17");
}

TEST(the_verifier_has_the_last_word)
{
    expect_error("heads=1, kv_heads=1, head_dim=32, window",
                 "heads=2, kv_heads=1, head_dim=32, "
                 "window",
                 "heads * head_dim", "attention");
    expect_error("f32[R][32] = scale", "f32[R][33] = scale", "32 features", "scale");
    expect_error("rope(5)", "rope(99)", "", "line");
    expect_error("hidden %5", "hidden %4", "hidden output", "");
    expect_error("graph @\"odd name\" lowered", "graph @g canonical", "lowered op", "rope_table");
}

TEST(limits_are_errors)
{
    struct hs_buffer text = {0};
    struct ir_graph *graph;
    hs_buffer_printf(&text, "graph @g lowered\nbatch %%batch\n%%0: f32[T]");
    for (int i = 0; i < 10000; i++)
        hs_buffer_printf(&text, ", %%%d: f32[T][%d]", i + 1, i + 1);
    CHECK_INT(parse(text.data, text.size_bytes, &graph), HASTEN_CORRUPT_INPUT);
    CHECK(strstr(error.message, "more than"));
    text.size_bytes = 0;
    hs_buffer_printf(&text, "graph @g lowered\nin %%x: i32[T]\n%%0: f32[T][1] = embed %%x, ");
    for (int i = 0; i < 100000; i++)
        hs_buffer_printf(&text, "pack(");
    CHECK_INT(parse(text.data, text.size_bytes, &graph), HASTEN_CORRUPT_INPUT);
    CHECK(strstr(error.message, "deep"));
    hs_buffer_free(&text);
    CHECK_INT(parse("", 0, &graph), HASTEN_CORRUPT_INPUT);
    CHECK_INT(parse("graph @g lowered", 16, &graph), HASTEN_CORRUPT_INPUT);
}

TEST(every_cut_text_is_an_error)
{
    struct ir_graph *graph;
    for (size_t size = 0; size + 1 < strlen(small); size++)
        if (parse(small, size, &graph) == HASTEN_OK)
            TEST_FAIL("%zu bytes were accepted", size);
}

/* Wrong texts are refused, or they are graphs that survive a round trip of their own. */
TEST(mutated_texts_are_refused_or_consistent)
{
    uint64_t seed = test_seed(5);
    size_t length = strlen(small);
    int accepted = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        char text[sizeof small];
        struct ir_graph *graph, *again;
        memcpy(text, small, sizeof small);
        for (uint64_t m = 0; m < 1 + i % 3; m++) {
            uint64_t bits = hs_rng_u64(seed, i, m);
            text[bits % length] = m % 2 ? small[(bits >> 32) % length] : (char)(bits >> 32);
        }
        if (parse(text, length, &graph) != HASTEN_OK)
            continue;
        struct hs_buffer first = {0}, second = {0};
        ir_print(graph, &first);
        if (parse(first.data, first.size_bytes, &again) != HASTEN_OK)
            TEST_FAIL("%s\n%s at %s", first.data, error.message, error.place);
        ir_print(again, &second);
        CHECK_TEXT(second.data, first.data);
        ir_graph_free(&graph);
        ir_graph_free(&again);
        hs_buffer_free(&first);
        hs_buffer_free(&second);
        accepted++;
    }
    CHECK(accepted > 10);
}

TEST(out_of_memory_anywhere_is_a_status)
{
    for (uint64_t n = 1;; n++) {
        struct ir_graph *graph;
        hs_alloc_fail_at(n, true);
        enum hasten_status status = parse(small, strlen(small), &graph);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK) {
            ir_graph_free(&graph);
            CHECK(n > 3);
            return;
        }
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK(!graph);
    }
}

TEST_MAIN()
