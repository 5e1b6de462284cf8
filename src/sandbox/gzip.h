/*
 * sandbox/gzip: compressed answers, where the client accepts them and --gzip was given.
 *
 * Built with zlib where it is there (HAVE_ZLIB); without it gzip_available() is false and
 * main() refuses the option.
 */
#pragma once

#include <stdbool.h>

#include "systemefs/base/buf.h"

bool gzip_available(void);
/* True where the Accept-Encoding header (or NULL) takes gzip. */
bool gzip_accepted(const char *accept_encoding);
/* Replaces the bytes by their gzip form. False, and unchanged, where that fails. */
bool gzip_body(struct buf *body);
