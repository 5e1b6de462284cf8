#include "ca.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOG_MODULE "http"
#include "systemefs/base/log.h"

/* A system's bundle has some 200 KiB. */
#define CA_TEXT_MAX (8u << 20)
#define CHUNK       16384

static int append_file(struct buf *b, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return -errno;
    char *to;
    size_t got = 1;
    while (got > 0 && (to = buf_reserve(b, CHUNK))) {
        got = fread(to, 1, CHUNK, f);
        buf_commit(b, got);
    }
    int r = ferror(f) ? -EIO : buf_error(b);
    fclose(f);
    return r;
}

int ca_load(struct buf *ret, const char *cacert, const char *bundle)
{
    buf_init(ret, CA_TEXT_MAX);
    int r = append_file(ret, cacert);
    if (r < 0 || !strstr(ret->data, "-----BEGIN ")) {
        log_err("%s: %s", cacert, r < 0 ? strerror(-r) : "no certificate in it");
        return r == -ENOMEM ? r : -EINVAL;
    }
    size_t own = ret->len;
    buf_append_byte(ret, '\n');
    r = bundle ? append_file(ret, bundle) : -ENOENT;
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        log_warn("no system store of certificates (%s: %s): only %s counts",
                 bundle ? bundle : "none", strerror(-r), cacert);
        buf_truncate(ret, own);
    }
    return 0;
}
