#include "systemefs/conf/state.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/map.h"

#include "draft.h"

#define LABEL_MAX   100 /* bytes */
#define HASH_LEN    (strlen("-0123456789abcdef"))
#define RAW_MAX     (64 * 1024) /* bytes of a label before it is cut */
#define STATE_BELOW "/.local/state"

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.';
}

/* What tells this account from others, in any characters. */
static void name_account(const struct options *o, struct buf *out)
{
    if (o->sandbox) {
        buf_append_str(out, "sandbox");
        return;
    }
    if (o->account) {
        buf_printf(out, "account-%s", o->account);
        return;
    }
    const char *scheme_end = o->api_url ? strstr(o->api_url, "://") : NULL;
    const char *host = scheme_end ? scheme_end + 3 : "";
    size_t host_len = strcspn(host, "/");
    for (size_t i = 0; i < host_len; i++)
        buf_append_byte(out, (char)tolower((unsigned char)host[i]));
    const char *path = host + host_len;
    size_t path_len = strlen(path);
    while (path_len && path[path_len - 1] == '/')
        path_len--;
    buf_append(out, path, path_len);
    if (o->connection)
        buf_printf(out, "_%s", o->connection);
}

static void append_label(const char *name, size_t len, struct buf *out)
{
    size_t shown = len > LABEL_MAX ? LABEL_MAX - HASH_LEN : len;
    for (size_t i = 0; i < shown; i++) {
        bool plain = is_plain(name[i]) && !(i == 0 && name[i] == '.');
        buf_append_byte(out, plain ? name[i] : '_');
    }
    if (shown < len)
        buf_printf(out, "-%016" PRIx64, hash_bytes(name, len));
}

/* $XDG_STATE_HOME, which is to be ignored when it is relative, or where it is when unset. */
static int append_state_home(struct buf *out)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    if (xdg && xdg[0] == '/')
        return buf_append_str(out, xdg);
    char *home = draft_home();
    if (!home)
        return -ENOENT;
    buf_printf(out, "%s" STATE_BELOW, home);
    free(home);
    return buf_error(out);
}

int state_directory(const struct options *o, struct buf *out)
{
    struct buf name CLEANUP(buf_cleanup);
    buf_init(&name, RAW_MAX);
    name_account(o, &name);
    if (buf_error(&name))
        return buf_error(&name);
    if (!name.len)
        return -EINVAL;

    size_t before = out->len;
    int r = append_state_home(out);
    if (r == 0) {
        buf_append_str(out, "/systemefs/");
        append_label(name.data, name.len, out);
        r = buf_error(out);
    }
    if (r < 0)
        buf_truncate(out, before);
    return r;
}
