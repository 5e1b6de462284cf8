/*
 * Whatever a server may answer, into the whole driver below FUSE.
 *
 * Input: COMMANDS, then ANSWERS, one a part. A command is a line: a letter, a blank, a path (and
 * another one, or a text): l list, c cat, x attribute, s save, n new directory, r remove, d remove
 * a directory, m move, t put a tag on (link), k say to .systemefs/ctl, w wait so many seconds. An
 * answer is a line with the status (0: no answer at all), header lines, an empty line, and a body;
 * they are given in their order to whatever is asked, and when there are none left, the account is
 * empty.
 *
 * The world fails on its own where an operation ends twice, or not within twice its timeout, where
 * a size does not belong to the bytes, or where something stays locked.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fuzz.h"
#include "world_tree.h"

#define COMMANDS_MAX 12
#define HEADERS_MAX  8

struct script {
    struct fuzz_input answers;
    char *headers[HEADERS_MAX + 1];
    char *body;
};

static void forget_answer(struct script *s)
{
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        free(s->headers[i]);
        s->headers[i] = NULL;
    }
    free(s->body);
    s->body = NULL;
}

static void answer(void *data, const struct scripted_request *request,
                   struct scripted_answer *answer)
{
    struct script *s = data;
    const char *text, *line;
    size_t len, n;
    forget_answer(s);
    answer->delay_ms = 10;
    if (!fuzz_part(&s->answers, FUZZ_SEPARATOR, &text, &len)) {
        answer->body = request->method == HTTP_GET && strstr(request->url, "limit=")
                           ? "{\"items\":[],\"hasMore\":false,\"limit\":100}"
                           : "{}";
        return;
    }
    struct fuzz_input in = {.p = text, .end = text + len};
    char *status = fuzz_string(&in, '\n');
    answer->status = atoi(status) % 1000;
    if (answer->status <= 0)
        answer->failure = NET_LOST;
    free(status);
    for (size_t i = 0; fuzz_part(&in, '\n', &line, &n) && n;)
        if (i < HEADERS_MAX)
            s->headers[i++] = strndup(line, n);
    answer->headers = (const char *const *)s->headers;
    answer->body_len = (size_t)(in.end - in.p);
    if (answer->body_len) {
        s->body = malloc(answer->body_len);
        fuzz_check(s->body);
        memcpy(s->body, in.p, answer->body_len);
    }
    answer->body = s->body;
}

/* A path of names that the kernel would pass. */
static bool path_valid(const char *path)
{
    if (!*path)
        return true;
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, "/");
        if (len == 0 || len > NAME_MAX || (len <= 2 && strncmp(p, "..", len) == 0))
            return false;
        p += len;
        if (!*p)
            return true;
    }
}

static bool is_clean(const char *text, size_t len)
{
    struct buf quoted;
    buf_init(&quoted, FUZZ_TEXT_MAX);
    bool clean = json_quote(text, len, &quoted) == 0;
    for (size_t i = 0; i < len; i++)
        clean = clean && ((unsigned char)text[i] >= 0x20 || text[i] == '\n') && text[i] != 0x7f;
    buf_finish(&quoted);
    return clean;
}

/* The kernel hands all names that it reads to programs, and programs to terminals. `strange`: the
 * person uses names that are no text, and sees them again. */
static void check_names(struct grove *g, bool strange)
{
    struct fuzz_input in = {.p = g->text, .end = g->text + strlen(g->text)};
    const char *name;
    size_t len;
    while (fuzz_part(&in, '\n', &name, &len)) {
        fuzz_check(len > 0 && len <= NAME_MAX && !memchr(name, '/', len));
        fuzz_check(!(len <= 2 && strncmp(name, "..", len) == 0));
        fuzz_check(strange || is_clean(name, len));
    }
}

/* A link leads to a place in the tree, and nowhere else. */
static void check_link(const char *path, const char *target)
{
    size_t depth = 0;
    for (const char *p = path; *p; p++)
        depth += *p == '/';
    for (; strncmp(target, "../", 3) == 0; target += 3)
        fuzz_check(depth-- > 0);
    fuzz_check(*target != '/' && path_valid(target));
}

/* What was said of a file before it was opened holds; but a record that could not be read has no
 * size to speak of, and the kernel asks again (attr_valid_ms 0). */
static void read_file(struct grove *g, const char *path)
{
    const struct tree_attr attr = g->attr;
    size_t len, path_len = strlen(path);
    const char *text;
    struct tree_file *file;
    struct json v;
    if (grove_open(g, attr.ino, O_RDONLY, &file) != 0)
        return;
    tree_read(file, 0, SIZE_MAX, &text, &len);
    if (!file->direct_io && attr.attr_valid_ms > 0)
        fuzz_check(len == attr.size);
    if (path_len > 5 && strcmp(path + path_len - 5, ".json") == 0 && path[0] != '.')
        fuzz_check(len && json_check(text, len, &v, NULL) == 0);
    tree_close(g->tree, file);
}

static void cat(struct grove *g, const char *path)
{
    int r = grove_path(g, path);
    fuzz_check(r <= 0 && r > -4096);
    if (r == 0 && S_ISLNK(g->attr.mode)) {
        if (grove_readlink(g, g->attr.ino) == 0)
            check_link(path, g->text);
    } else if (r == 0 && S_ISREG(g->attr.mode)) {
        read_file(g, path);
    }
}

static void run(struct grove *g, char *line, bool strange)
{
    char verb = *line;
    if (!verb || line[1] != ' ')
        return;
    char *path = line + 2, *rest = strchr(path, ' ');
    if (verb == 'w') {
        world_advance(&g->w, (int64_t)(strtoul(path, NULL, 10) % 1000) * 1000);
        return;
    }
    if (verb == 'k') {
        if (grove_path(g, ".systemefs/ctl") == 0)
            grove_write(g, g->attr.ino, path);
        return;
    }
    if (rest)
        *rest++ = '\0';
    if (!path_valid(path) || !*path)
        return;
    switch (verb) {
    case 'l':
        if (grove_path(g, path) == 0 && S_ISDIR(g->attr.mode) && grove_list(g, path, 50) == 0)
            check_names(g, strange);
        break;
    case 'c':
        cat(g, path);
        break;
    case 'x':
        if (grove_path(g, path) == 0)
            grove_getxattr(g, g->attr.ino, rest ? rest : "user.systemefs.error");
        break;
    case 's':
        grove_save(g, path, rest ? rest : "{}");
        break;
    case 'n':
        grove_mkdir(g, path);
        break;
    case 'r':
        if (grove_path(g, path) == 0 && !S_ISDIR(g->attr.mode))
            grove_unlink(g, path);
        break;
    case 'd':
        if (grove_path(g, path) == 0 && S_ISDIR(g->attr.mode))
            grove_rmdir(g, path);
        break;
    case 'm':
    case 't':
        if (!rest || !path_valid(rest) || !*rest || grove_path(g, path) != 0)
            break;
        if (verb == 't' && !S_ISDIR(g->attr.mode))
            grove_link(g, path, rest);
        else if (verb == 'm' && strrchr(rest, '/') && strrchr(path, '/') &&
                 strncmp(path, rest, (size_t)(strrchr(path, '/') - path) + 1) == 0 &&
                 !strchr(strrchr(path, '/') + 1, '/') &&
                 !strchr(rest + (strrchr(path, '/') - path) + 1, '/'))
            grove_rename(g, path, rest);
        break;
    }
}

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* what the world finds wrong ends the process */
    log_setup(LOG_LEVEL_ERROR, world_no_log, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct grove g;
    struct script script = {0};
    unsigned how = fuzz_byte(&in);
    char *commands = fuzz_string(&in, FUZZ_SEPARATOR);
    script.answers = in;
    bool strange = !is_clean(commands, strlen(commands));
    grove_init(&g, &(struct grove_options){.ttl_ms = how & 1 ? 60000 : 0,
                                           .gateway = how & 2,
                                           .kernel = true,
                                           .delete_limit = 50});
    scripted_respond(&g.w.server, answer, &script);
    char *save = NULL, *line = strtok_r(commands, "\n", &save);
    for (unsigned i = 0; line && i < COMMANDS_MAX; i++, line = strtok_r(NULL, "\n", &save))
        run(&g, line, strange);
    grove_finish(&g);
    forget_answer(&script);
    free(commands);
    return 0;
}
