/*
 * Token ids equal llama.cpp's on the committed text and on 2,000 random strings (the golden's head,
 * in tests/golden/make_tokens.c, says how they were made), and every string comes back from its
 * ids.
 */
#include "harness/test.h"
#include "model_test.h"

/* SmolLM2 has no token for these bytes, and llama.cpp drops them without a word. */
static bool has_unknown_byte(struct hs_str text)
{
    static const uint8_t unknown[] = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1d};
    for (size_t i = 0; i < text.size_bytes; i++)
        if (memchr(unknown, text.data[i], sizeof unknown))
            return true;
    return false;
}

TEST(token_ids_equal_llama_cpp)
{
    uint32_t strings = mt_check_tokens("smollm2-135m", "smollm2-tokens.golden", has_unknown_byte);
    CHECK(strings >= 2001);
    printf("     %u strings\n", strings);
}

TEST_MAIN()
