/*
 * conf/secret: a key that is never shown.
 *
 * It sits in memory of its own that is locked (best effort), left out of core dumps, and wiped at
 * the end. It comes from the environment, a file that nobody else can read, or the first line of
 * a command's output; never from the command line. White space around it is taken off; a key
 * that is empty or holds control characters or blanks is refused.
 *
 * Layer: conf. Errors: -errno and a sentence appended to `why` that never holds the key; `s` is as
 * before then. A secret that holds a key is finished before it is set again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "systemefs/base/buf.h"

#define SECRET_MAX              4096 /* bytes of a key, and of what is around it in a file */
#define SECRET_COMMAND_LIMIT_MS 10000

struct secret {
    char *text; /* NUL-terminated, NULL: none */
    size_t len;

    /* private */
    size_t mapped;
};

int secret_set(struct secret *s, const char *text, size_t len, struct buf *why);
/* Takes the variable's value, then overwrites it in the environment block and unsets it. 0 with
 * s->text NULL when the variable is unset or empty. */
int secret_from_env(struct secret *s, const char *variable, struct buf *why);
/* -EACCES when group or others can read the file, or it belongs to somebody else. */
int secret_from_file(struct secret *s, const char *path, struct buf *why);
/* A file that systemd put there (systemd.exec(5), LoadCredential=). Its directory is private to the
 * service, and the file may be root's with a list of who reads it, which shows as group bits: so
 * only a file that everybody can read is refused. */
int secret_from_credential(struct secret *s, const char *path, struct buf *why);
/* Runs `command` with sh -c, standard error inherited; a failing command is -EIO. Ten seconds at
 * most, then it is killed: -ETIMEDOUT. */
int secret_from_command(struct secret *s, const char *command, struct buf *why);
/* The same with a limit of one's own. */
int secret_from_command_within(struct secret *s, const char *command, int limit_ms,
                               struct buf *why);
/* Locks the memory again, best effort: a child of fork() does not inherit the lock. */
void secret_lock(struct secret *s);
/* Wipes and frees. Accepts a zeroed secret. */
void secret_finish(struct secret *s);
