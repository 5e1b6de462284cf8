#include "gzip.h"

#include <limits.h>
#include <string.h>

#include "systemefs/base/macros.h"

#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

bool gzip_accepted(const char *accept_encoding)
{
    const char *hit = accept_encoding ? strstr(accept_encoding, "gzip") : NULL;
    return hit && strncmp(hit, "gzip;q=0", 8) != 0;
}

#ifdef HAVE_ZLIB

#define WINDOW_BITS (15 + 16) /* zlib's way to say: with gzip's frame */
#define MEMORY      8

bool gzip_available(void)
{
    return true;
}

bool gzip_body(struct buf *body)
{
    z_stream z = {0};
    if (body->len > UINT_MAX / 2 ||
        deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t room = deflateBound(&z, (uLong)body->len);
    struct buf out;
    buf_init(&out, room);
    char *to = buf_reserve(&out, room);
    if (!to) {
        deflateEnd(&z);
        return false;
    }
    z.next_in = (Bytef *)body->data;
    z.avail_in = (uInt)body->len;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)room;
    bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
    buf_commit(&out, z.total_out);
    deflateEnd(&z);
    if (!whole) {
        buf_finish(&out);
        return false;
    }
    buf_finish(body);
    *body = out;
    return true;
}

#else

bool gzip_available(void)
{
    return false;
}

bool gzip_body(struct buf *body UNUSED)
{
    return false;
}

#endif
