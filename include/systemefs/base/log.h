/*
 * base/log: one line a message, with a level and the module's tag.
 *
 * The only global state of the program, so that any layer can speak; set up once by main().
 * Lines go to the sink: stderr ("systemefs: warning: net: ..."), or journald's prefix form
 * ("<4>net: ...", understood by systemd on stderr), or a test's function.
 *
 * A file that logs defines LOG_MODULE before it includes this. Secrets never come here: modules
 * that hold one redact before they log (conf/secret).
 */
#pragma once

#include "systemefs/base/macros.h"

enum log_level {
    LOG_LEVEL_ERROR, /* somebody must act */
    LOG_LEVEL_WARN,  /* something was refused or went wrong, and the mount goes on */
    LOG_LEVEL_INFO,  /* what a person wants to know once */
    LOG_LEVEL_DEBUG, /* every request and decision */
    LOG_LEVEL_COUNT,
};

typedef void log_sink_fn(void *data, enum log_level level, const char *module, const char *line);

/* `sink` NULL: stderr. Nothing above `level` is formatted. */
void log_setup(enum log_level level, log_sink_fn *sink, void *data);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "error", "warn", "info", "debug"; -1 when it is none of them. */
int log_level_from_name(const char *name);

void log_write(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if ((level) <= log_get_level())                                                            \
            log_write((level), LOG_MODULE, __VA_ARGS__);                                           \
    } while (0)
#define log_err(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
