#include "systemefs/codec/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 253 /* bytes of a DNS name, RFC 1035 */
#define PORT_MAX 65535

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_unreserved(char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

int url_escape(const char *bytes, size_t len, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (is_unreserved(bytes[i]))
            buf_append_byte(out, bytes[i]);
        else
            buf_append(out, (char[]){'%', hex[c >> 4], hex[c & 0xf]}, 3);
    }
    return buf_error(out);
}

static int refuse(const char **why, const char *text)
{
    *why = text;
    return -EINVAL;
}

/* Looks at the host of `len` bytes, without port. */
static int check_host(const char *host, size_t len, bool *ret_loopback, const char **why)
{
    char text[HOST_MAX + 1];
    if (!len)
        return refuse(why, "the URL has no host");
    if (len > HOST_MAX)
        return refuse(why, "the URL's host is too long");

    if (host[0] == '[') {
        struct in6_addr v6;
        if (host[len - 1] != ']' || len < 3)
            return refuse(why, "the URL's IPv6 address is not closed by ]");
        memcpy(text, host + 1, len - 2);
        text[len - 2] = '\0';
        if (inet_pton(AF_INET6, text, &v6) != 1)
            return refuse(why, "the URL's IPv6 address is malformed");
        *ret_loopback = IN6_IS_ADDR_LOOPBACK(&v6);
        return 0;
    }

    for (size_t i = 0; i < len; i++)
        if (!is_alnum(host[i]) && host[i] != '-' && host[i] != '.' && host[i] != '_')
            return refuse(why, "the URL's host holds a character that no host name has");
    memcpy(text, host, len);
    text[len] = '\0';
    /* Only four full numbers: "127.1" is an address to some resolvers and a name to others. */
    struct in_addr v4;
    *ret_loopback = strcasecmp(text, "localhost") == 0 ||
                    (inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
    return 0;
}

static int check_port(const char *digits, size_t len, const char **why)
{
    unsigned port = 0;
    for (size_t i = 0; i < len && port <= PORT_MAX; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return refuse(why, "the URL's port is not a number");
        port = port * 10 + (unsigned)(digits[i] - '0');
    }
    if (port < 1 || port > PORT_MAX)
        return refuse(why, "the URL's port is not between 1 and 65535");
    return 0;
}

/* The path of a base URL: what RFC 3986 allows in one, from its '/' to the end. */
static int check_path(const char *path, const char **why)
{
    for (const char *p = path; *p; p++) {
        if (*p == '?')
            return refuse(why, "a base URL has no query");
        if (*p == '#')
            return refuse(why, "a base URL has no fragment");
        if (*p == '%' && (!is_hex(p[1]) || !is_hex(p[2])))
            return refuse(why, "a '%' in the URL's path is not followed by two hex digits");
        if (!is_unreserved(*p) && !strchr("/%:@!$&'()*+,;=", *p))
            return refuse(why, "the URL's path holds a character that must be escaped");
    }
    return 0;
}

int url_check_base(const char *url, struct url_info *ret, const char **why)
{
    struct url_info info = {0};
    if (strncasecmp(url, "https://", 8) == 0)
        info.https = true;
    else if (strncasecmp(url, "http://", 7) != 0)
        return refuse(why, "the URL does not start with https:// or http://");

    const char *authority = url + (info.https ? 8 : 7);
    size_t len = strcspn(authority, "/?#");
    if (memchr(authority, '@', len))
        return refuse(why, "a base URL holds no user name or password");

    /* The ':' of a port comes after the ']' of an address. */
    const char *address_end = memchr(authority, ']', len);
    const char *from = authority[0] == '[' && address_end ? address_end : authority;
    const char *colon = memchr(from, ':', len - (size_t)(from - authority));
    size_t host_len = colon ? (size_t)(colon - authority) : len;

    int r = check_host(authority, host_len, &info.loopback, why);
    if (r == 0 && colon)
        r = check_port(colon + 1, len - host_len - 1, why);
    if (r == 0)
        r = check_path(authority + len, why);
    if (r < 0)
        return r;
    *ret = info;
    return 0;
}
