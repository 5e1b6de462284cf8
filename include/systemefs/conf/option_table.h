/*
 * conf/option_table: every option there is, a row each.
 *
 * From the rows come --help, the checks of every value, the names in errors, the suggestion for a
 * misspelt one, and the tests that hold the manual pages to it. A new option is a new row, and a
 * member in struct options for what it sets.
 *
 * A name is written with underscores here; people may write dashes. Where an option is set twice,
 * the later one of a layer wins, and a higher layer wins over a lower one (see options.h).
 *
 * Layer: conf. The table is const and owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "systemefs/base/buf.h"

enum option_kind {
    OPTION_FLAG,       /* bool; alone, or yes|no|true|false|on|off|1|0 */
    OPTION_NUMBER,     /* unsigned, min..max */
    OPTION_SECONDS,    /* whole seconds min..max, kept in milliseconds (int64_t) */
    OPTION_SIZE,       /* bytes, with K, M or G behind them or not (uint64_t) */
    OPTION_OCTAL,      /* mode_t, 0..max */
    OPTION_USER,       /* uid_t: a number or a name */
    OPTION_GROUP,      /* gid_t: a number or a name */
    OPTION_TEXT,       /* char *, not empty, no control characters */
    OPTION_PATH,       /* char *, "~/" expanded; in a file it is absolute */
    OPTION_URL,        /* char *, a base URL, kept without trailing '/' */
    OPTION_CHOICE,     /* char *, one of `choices` */
    OPTION_FUSE,       /* a flag that libfuse gets as it is */
    OPTION_FUSE_VALUE, /* name=value that libfuse gets as it is */
    OPTION_IGNORED,    /* what mount(8) and fstab add, or FUSE's habits: taken and dropped */
};

enum option_group {
    OPTION_GROUP_GENERAL,
    OPTION_GROUP_ACCOUNT,
    OPTION_GROUP_BEHAVIOUR,
    OPTION_GROUP_SANDBOX,
    OPTION_GROUP_FILES,
    OPTION_GROUP_FUSE,
    OPTION_GROUP_IGNORED,
    OPTION_GROUP_COUNT,
};

struct option_row {
    const char *name;
    char letter; /* -f; 0: none */
    enum option_kind kind;
    enum option_group group;
    bool command_only;          /* has no place in the configuration file */
    const char *argument;       /* what help calls the value; NULL: a flag */
    const char *preset;         /* the default, in the option's own notation, or NULL */
    const char *default_note;   /* the default in words, where `preset` is NULL */
    const char *help;           /* one line */
    const char *against;        /* the row that this one turns off: dev and nodev */
    const char *const *choices; /* NULL-terminated */
    uint32_t min, max;
    size_t offset; /* private: where conf/draft keeps it */
};

#define OPTION_TABLE_MAX 96 /* rows; arrays with a slot a row have this size */

extern const struct option_row option_table[];
extern const size_t option_table_len;

/* The row of a name of `len` bytes, dashes and underscores alike; NULL when there is none. What
 * begins with "x-" or "X-" is for mount(8)'s helpers and gives the row of "x-*". */
const struct option_row *option_find(const char *name, size_t len);
/* The row whose name is one typo away (a letter more, less, other, or two swapped), or NULL. */
const struct option_row *option_suggest(const char *name, size_t len);
