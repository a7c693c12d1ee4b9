/* Facts of the ops, expanded from the table in op.h. */
#include "ops/op.h"

#include <string.h>

#include "ops/op_attrs.h"

#define OP_INFO(id, op_name, op_level, in, out, op_mixes, attrs)                                   \
    [id] = {op_name, op_level, in, out, op_mixes, sizeof(struct attrs)},
static const struct op_info op_infos[OP_COUNT] = {OP_TABLE(OP_INFO)};
#undef OP_INFO

const struct op_info *op_info(enum op_id op)
{
    return &op_infos[op];
}

enum op_id op_from_name(const char *name, size_t name_bytes)
{
    for (int i = 0; i < OP_COUNT; i++) {
        const char *candidate = op_infos[i].name;
        if (strlen(candidate) == name_bytes && memcmp(candidate, name, name_bytes) == 0)
            return (enum op_id)i;
    }
    return OP_COUNT;
}
