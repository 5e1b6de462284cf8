/*
 * conf/draft (private): the options while they are being put together.
 *
 * One draft takes values as text, layer by layer (the table's defaults, the file, the [account]
 * section, the command line), checks each against its row, and remembers which layer had the last
 * word. conf/resolve makes the final struct options of it: what depends on more than one option.
 *
 * The draft owns every string in it. Errors: -errno and a text appended to `why`, without the
 * place where the value stood; the caller writes that in front.
 */
#pragma once

#include "systemefs/base/buf.h"
#include "systemefs/conf/option_table.h"
#include "systemefs/conf/options.h"

enum option_layer {
    OPTION_LAYER_NONE, /* the default */
    OPTION_LAYER_FILE,
    OPTION_LAYER_ACCOUNT,
    OPTION_LAYER_COMMAND,
};

struct draft {
    struct options o;
    char *auth, *log_level, *config, *key_file, *key_command;
    bool rw;
    enum option_layer layer[OPTION_TABLE_MAX]; /* who set the row */
    char *passed[OPTION_TABLE_MAX];            /* for libfuse: the value, "" for a flag, or NULL */
};

/* A draft with the defaults of the table. 0 or -ENOMEM. */
int draft_init(struct draft *d);
void draft_finish(struct draft *d);
/* Moves the finished options out. */
struct options draft_take(struct draft *d);

/* Sets one option. `value` NULL: the name stood alone. */
int draft_set(struct draft *d, const struct option_row *row, const char *value,
              enum option_layer layer, struct buf *why);
/* Finds the row of a name, or says what is wrong with it (-EINVAL): unknown, with a suggestion,
 * or a key, which has no place here. The value is never part of the text. */
int draft_find(const char *name, size_t len, const struct option_row **ret, struct buf *why);
/* Who set that row last. */
enum option_layer draft_layer(const struct draft *d, const char *name);

/* `text` in quotes, control characters as '?', cut at 80 bytes. */
void draft_quote(const char *text, size_t len, struct buf *out);
/* The caller's home directory: $HOME, or what the user database says (an fstab mount has no
 * HOME). NULL when there is none; the caller frees. */
char *draft_home(void);

/* The keys of the environment, already taken out of it. `why` of each is set where a value was
 * there but cannot be a key. */
struct environment_keys {
    struct secret maton, systeme;
    struct buf maton_why, systeme_why;
};
/* Finishes d->o: auth, URLs, key, paths, libfuse's options. `config_path` is the file that was or
 * would have been read, `accounts` the names of its sections ("a, b"), "" when it has none. */
int draft_resolve(struct draft *d, struct environment_keys *keys, const char *config_path,
                  const char *accounts, struct buf *why);
