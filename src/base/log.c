#include "systemefs/base/log.h"
#include "systemefs/base/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *prefix;  /* in front of a line on a terminal */
    const char *journal; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "error: ", "<3>"},
    [LOG_LEVEL_WARN] = {"warn", "warning: ", "<4>"},
    [LOG_LEVEL_INFO] = {"info", "", "<6>"},
    [LOG_LEVEL_DEBUG] = {"debug", "debug: ", "<7>"},
};
_Static_assert(ARRAY_SIZE(levels) == LOG_LEVEL_COUNT, "a row for each level");

static void stderr_sink(void *data UNUSED, enum log_level level, const char *module,
                        const char *line)
{
    if (getenv("JOURNAL_STREAM"))
        fprintf(stderr, "%s%s: %s\n", levels[level].journal, module, line);
    else
        fprintf(stderr, "systemefs: %s%s: %s\n", levels[level].prefix, module, line);
}

static struct {
    enum log_level level;
    log_sink_fn *sink;
    void *data;
} state = {.level = LOG_LEVEL_INFO, .sink = stderr_sink};

void log_setup(enum log_level level, log_sink_fn *sink, void *data)
{
    state.level = level;
    state.sink = sink ? sink : stderr_sink;
    state.data = data;
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

enum log_level log_get_level(void)
{
    return state.level;
}

int log_level_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return (int)i;
    return -1;
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);

    line_clean(line);
    state.sink(state.data, level, module, line);
}
