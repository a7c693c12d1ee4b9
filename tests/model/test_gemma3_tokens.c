/*
 * Token ids equal llama.cpp's on the committed text and on random strings (the golden's head, in
 * tests/golden/make_tokens.c, says how they were made), and every string comes back from its ids:
 * a SentencePiece vocabulary of 262,144 tokens, bytes, user-defined tokens, no space in front.
 */
#include "harness/test.h"
#include "model_test.h"

/* U+2581 stands for the space in SentencePiece vocabularies and comes back as one. */
static bool has_space_mark(struct hs_str text)
{
    return memmem(text.data, text.size_bytes, "\xe2\x96\x81", 3) != NULL;
}

TEST(token_ids_equal_llama_cpp)
{
    uint32_t strings = mt_check_tokens("gemma3-270m", "gemma3-tokens.golden", has_space_mark);
    CHECK(strings >= 1001);
    printf("     %u strings\n", strings);
}

TEST_MAIN()
