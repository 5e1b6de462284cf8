/*
 * conf/config: the form of the configuration file.
 *
 *   # a comment: a whole line of its own
 *   ttl = 120
 *
 *   [account shop]
 *   auth = systeme
 *   key_command = pass show systeme/shop
 *
 * A line is empty, a comment, a section or `name = value`; white space around each part is taken
 * off, and the value is the rest of the line as it stands (no quotes, no escapes, and '#' is part
 * of it). What stands above the first section is for every account. This module knows the form
 * and nothing of the options: conf/options looks at names and values.
 *
 * The file can name a command that is run, so one that group or others may write, or that belongs
 * to neither the caller nor root, is refused. It holds no key itself, and may be readable.
 *
 * Layer: conf. Errors: -errno and a sentence in `why` that begins with FILE:LINE. The entries
 * point into text that the config owns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "systemefs/base/buf.h"

#define CONFIG_FILE_MAX     (64 * 1024) /* bytes */
#define CONFIG_ENTRIES_MAX  1024
#define CONFIG_ACCOUNTS_MAX 64
#define CONFIG_NAME_MAX     64 /* bytes of an account's name */

#define CONFIG_TOP (-1) /* an entry above the first section */

struct config_entry {
    const char *name;
    const char *value; /* not empty */
    unsigned line;     /* from 1 */
    int account;       /* index in `accounts`, or CONFIG_TOP */
};

struct config {
    struct config_entry *entries; /* in the file's order */
    size_t entry_count;
    const char *accounts[CONFIG_ACCOUNTS_MAX];
    size_t account_count;

    /* private */
    char *text;
};

/* Reads the file. -ENOENT (and nothing in `why`) when there is none. */
int config_read(struct config *ret, const char *path, struct buf *why);
/* The same for text in memory, which is copied; `path` is for the errors. */
int config_parse(struct config *ret, const char *path, const char *text, size_t len,
                 struct buf *why);
void config_finish(struct config *c);
/* The section's index, or -1. */
int config_account(const struct config *c, const char *name);
