/*
 * Fuzz target of the ir text parser: a text is refused with a message, or it is a graph whose own
 * text is read back to the same text.
 */
#include <string.h>

#include "ir/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static struct ir_graph *parse(const void *data, size_t size_bytes)
{
    struct ir_graph *graph = NULL;
    struct hs_error error = {0};
    enum hasten_status status =
        ir_parse((struct hs_str){(const char *)data, size_bytes}, &error, &graph);
    if (status != error.status || (status == HASTEN_OK) != (graph != NULL) ||
        (status != HASTEN_OK && !error.message[0]))
        __builtin_trap();
    return graph;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct hs_buffer first = {0}, second = {0};
    struct ir_graph *graph = parse(data, size_bytes);
    if (!graph)
        return 0;
    if (graph->arena.used_bytes > 256 * size_bytes + 65536) /* memory stays a multiple of it */
        __builtin_trap();
    ir_print(graph, &first);
    struct ir_graph *again = parse(first.data, first.size_bytes);
    if (!again)
        __builtin_trap();
    ir_print(again, &second);
    if (first.size_bytes != second.size_bytes ||
        memcmp(first.data, second.data, first.size_bytes) != 0)
        __builtin_trap();
    ir_graph_free(&graph);
    ir_graph_free(&again);
    hs_buffer_free(&first);
    hs_buffer_free(&second);
    return 0;
}
