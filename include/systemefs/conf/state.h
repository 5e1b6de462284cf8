/*
 * conf/state: where drafts and trash are on disk.
 *
 *   $XDG_STATE_HOME/systemefs/LABEL, else ~/.local/state/systemefs/LABEL
 *
 * LABEL tells accounts apart, so that nobody's text is shown (or tried again) in another's tree:
 *
 *   sandbox                      with --sandbox
 *   account-NAME                 with -o account=NAME
 *   HOST_PORT_PATH_CONNECTION    else, of api_url and -o connection, as far as there is one
 *
 * In a label everything but ASCII letters, digits, '-' and '.' is '_', and so is a '.' in front; a
 * host is in lower case. It has 100 bytes at most: a longer one ends in a hash of the whole.
 *
 * Layer: conf. Calls base. Nothing is made: base/disk does that.
 */
#pragma once

#include "systemefs/base/buf.h"
#include "systemefs/conf/options.h"

/* Appends the absolute path. -ENOENT: there is no home directory; -EINVAL: no account to speak of
 * (neither sandbox, account nor URL); or the buffer's error. */
int state_directory(const struct options *o, struct buf *out);
