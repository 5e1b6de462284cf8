/*
 * ca: "the system's store, and one file more" as one text.
 *
 * CURLOPT_CAINFO would replace the store, and CURLOPT_SSL_CTX_FUNCTION would tie us to OpenSSL; a
 * blob (CURLOPT_CAINFO_BLOB) works with libcurl's usual TLS libraries, and the handles share it.
 * Where libcurl was built with a directory of certificates, it uses that beside the blob.
 *
 * Layer: net, private. Knows nothing of curl.
 */
#pragma once

#include "systemefs/base/buf.h"

/*
 * Initializes `ret` with the PEM text of `cacert` and of `bundle` (NULL, or a file that is not
 * there: only `cacert`, with a warning). 0, -ENOMEM, or -EINVAL, logged, when `cacert` cannot be
 * read or holds no certificate. The caller calls buf_finish() in any case.
 */
int ca_load(struct buf *ret, const char *cacert, const char *bundle);
