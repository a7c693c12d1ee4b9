/* The op table: names are found again, facts fit together. */
#include "harness/test.h"
#include "ops/op.h"
#include "ops/op_attrs.h"

TEST(names)
{
    for (int i = 0; i < OP_COUNT; i++) {
        const char *name = op_info((enum op_id)i)->name;
        CHECK_INT(op_from_name(name, strlen(name)), i);
    }
    CHECK_INT(op_from_name("rmsnorm_quantize", 16), OP_RMSNORM_QUANTIZE);
    CHECK_INT(op_from_name("rmsnorm_quantize", 7), OP_RMSNORM);
    CHECK_INT(op_from_name("rms", 3), OP_COUNT);
    CHECK_INT(op_from_name("", 0), OP_COUNT);
}

TEST(facts)
{
    CHECK_INT(op_info(OP_LINEAR)->attrs_bytes, sizeof(struct op_linear_attrs));
    CHECK_INT(op_info(OP_ADD)->attrs_bytes, sizeof(struct op_row_attrs));
    CHECK_INT(op_info(OP_ATTENTION)->inputs, 3);
    CHECK_INT(op_info(OP_ROPE_TABLE)->inputs, OP_MANY);
    CHECK_INT(op_info(OP_SELECT_ROWS)->mixes, OP_MIX_GATHER);
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op_info *info = op_info((enum op_id)i);
        CHECK(info->inputs == OP_MANY || info->inputs >= 1);
        CHECK(info->outputs == OP_MANY || info->outputs == 1);
        CHECK(info->level >= OP_CANONICAL && info->level <= OP_BOTH);
    }
}

TEST_MAIN()
