/* Log hook: level filter, text, cutting, silence. */
#include "base/log.h"

#include "harness/test.h"

static char last_line[2048];
static enum hs_log_level last_level;
static int line_count;

static void remember(void *context, enum hs_log_level level, const char *line)
{
    *(int *)context += 1;
    last_level = level;
    (void)snprintf(last_line, sizeof last_line, "%s", line);
}

TEST(hook_gets_lines_up_to_its_level)
{
    hs_log(HS_LOG_ERROR, "nobody listens");
    hs_log_set(remember, &line_count, HS_LOG_INFO);
    hs_log(HS_LOG_WARN, "%d tensors", 3);
    CHECK_INT(line_count, 1);
    CHECK_INT(last_level, HS_LOG_WARN);
    CHECK_TEXT(last_line, "3 tensors");
    hs_log(HS_LOG_DEBUG, "too much");
    CHECK_INT(line_count, 1);
    hs_log(HS_LOG_INFO, "%1999d", 1);
    CHECK_INT(line_count, 2);
    CHECK(strlen(last_line) == 1023);
    hs_log_set(NULL, NULL, HS_LOG_DEBUG);
    hs_log(HS_LOG_ERROR, "nobody listens");
    CHECK_INT(line_count, 2);
}

TEST_MAIN()
