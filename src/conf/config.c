#include "systemefs/conf/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "draft.h"

#define READ_STEP 4096 /* bytes asked for at once */

/* One line while it is looked at. */
struct line {
    const char *path;
    unsigned number;
    char *text; /* trimmed, NUL-terminated */
    struct buf *why;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes white space off both ends of [text, end), ends it with a NUL, and returns its start. */
static char *trim(char *text, char *end)
{
    while (text < end && is_blank(*text))
        text++;
    while (end > text && is_blank(end[-1]))
        end--;
    *end = '\0';
    return text;
}

static int refuse(const struct line *l, const char *reason)
{
    buf_printf(l->why, "%s:%u: ", l->path, l->number);
    draft_quote(l->text, strlen(l->text), l->why);
    buf_printf(l->why, ": %s", reason);
    return -EINVAL;
}

static bool is_account_name(const char *name, size_t len)
{
    /* Neither blank nor comma: it is written in -o account=NAME, and in fstab. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || strchr(",[]/\\\"'", name[i]))
            return false;
    return len > 0 && len <= CONFIG_NAME_MAX;
}

static int find_account(const struct config *c, const char *name, size_t len)
{
    for (size_t i = 0; i < c->account_count; i++)
        if (strlen(c->accounts[i]) == len && memcmp(c->accounts[i], name, len) == 0)
            return (int)i;
    return -1;
}

int config_account(const struct config *c, const char *name)
{
    return find_account(c, name, strlen(name));
}

static int parse_section(struct config *c, const struct line *l)
{
    static const char keyword[] = "account";
    size_t keyword_len = strlen(keyword);
    char *name = l->text + 1;
    char *end = l->text + strlen(l->text) - 1;
    if (*end != ']')
        return refuse(l, "a section is written [account NAME]");
    while (is_blank(*name))
        name++;
    if (strncmp(name, keyword, keyword_len) != 0 || !is_blank(name[keyword_len]))
        return refuse(l, "the only kind of section is [account NAME]");
    name += keyword_len;
    while (is_blank(*name))
        name++;
    while (end > name && is_blank(end[-1]))
        end--;

    size_t len = (size_t)(end - name);
    if (!is_account_name(name, len))
        return refuse(l, "an account's name has 1 to 64 characters, and no blank, comma, slash, "
                         "bracket or quote");
    if (find_account(c, name, len) >= 0)
        return refuse(l, "this account is there already, further up");
    if (c->account_count == CONFIG_ACCOUNTS_MAX)
        return refuse(l, "there are more than 64 accounts");
    *end = '\0';
    c->accounts[c->account_count++] = name;
    return 0;
}

static int parse_entry(struct config *c, const struct line *l)
{
    char *equals = strchr(l->text, '=');
    if (!equals)
        return refuse(l, "this is neither `name = value', [account NAME] nor a # comment");
    size_t name_len = (size_t)(equals - l->text);
    while (name_len > 0 && is_blank(l->text[name_len - 1]))
        name_len--;
    char *value = trim(equals + 1, equals + strlen(equals));
    if (name_len == 0)
        return refuse(l, "the name in front of '=' is missing");
    if (!*value)
        return refuse(l, "the value behind '=' is missing");
    if (c->entry_count == CONFIG_ENTRIES_MAX)
        return refuse(l, "there are more than 1024 settings");

    l->text[name_len] = '\0';
    c->entries[c->entry_count++] = (struct config_entry){
        .name = l->text,
        .value = value,
        .line = l->number,
        .account = (int)c->account_count - 1,
    };
    return 0;
}

static int parse_line(struct config *c, const struct line *l)
{
    if (l->text[0] == '\0' || l->text[0] == '#')
        return 0;
    for (const char *p = l->text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return refuse(l, "there is a control character in this line");
    return l->text[0] == '[' ? parse_section(c, l) : parse_entry(c, l);
}

int config_parse(struct config *ret, const char *path, const char *text, size_t len,
                 struct buf *why)
{
    struct config c = {
        .entries = calloc(CONFIG_ENTRIES_MAX, sizeof(*c.entries)),
        .text = malloc(len + 1),
    };
    int r = 0;
    if (!c.entries || !c.text)
        r = -ENOMEM;
    else if (memchr(text, '\0', len))
        r = -EINVAL;
    if (r < 0) {
        buf_printf(why, "%s: %s", path, r == -ENOMEM ? "out of memory" : "this is no text file");
        config_finish(&c);
        return r;
    }

    memcpy(c.text, text, len);
    c.text[len] = '\0';
    char *next = c.text;
    for (unsigned number = 1; next && r == 0; number++) {
        char *start = next;
        char *end = strchrnul(start, '\n');
        next = *end ? end + 1 : NULL;
        struct line l = {.path = path, .number = number, .text = trim(start, end), .why = why};
        r = parse_line(&c, &l);
    }
    if (r < 0) {
        config_finish(&c);
        return r;
    }
    *ret = c;
    return 0;
}

static int check_file(const char *path, const struct stat *st, struct buf *why)
{
    if (!S_ISREG(st->st_mode)) {
        buf_printf(why, "%s: this is no regular file", path);
        return -EINVAL;
    }
    if (st->st_uid != geteuid() && st->st_uid != 0) {
        buf_printf(why, "%s: this file belongs to another user (%u), and could run commands as you",
                   path, st->st_uid);
        return -EACCES;
    }
    if (st->st_mode & 022) {
        buf_printf(why,
                   "%s: other users may write this file (mode %04o), and it could run commands as "
                   "you: chmod go-w it",
                   path, st->st_mode & 07777);
        return -EACCES;
    }
    if (st->st_size > CONFIG_FILE_MAX) {
        buf_printf(why, "%s: this file is larger than 64 KiB", path);
        return -EFBIG;
    }
    return 0;
}

int config_read(struct config *ret, const char *path, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        buf_printf(why, "%s: cannot read it: %s", path, strerror(-r));
        if (fd >= 0)
            close(fd);
        return r;
    }

    int r = check_file(path, &st, why);
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX + READ_STEP);
    while (r == 0) {
        char *room = buf_reserve(&text, READ_STEP);
        ssize_t n = room ? read(fd, room, READ_STEP) : -1;
        if (n > 0) {
            buf_commit(&text, (size_t)n);
            continue;
        }
        if (n < 0) {
            r = buf_error(&text) ? buf_error(&text) : -errno;
            buf_printf(why, "%s: cannot read it: %s", path, strerror(-r));
        }
        break;
    }
    if (r == 0)
        r = config_parse(ret, path, text.data ? text.data : "", text.len, why);
    buf_finish(&text);
    close(fd);
    return r;
}

void config_finish(struct config *c)
{
    free(c->entries);
    free(c->text);
    *c = (struct config){0};
}
