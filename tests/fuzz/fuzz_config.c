/*
 * The configuration file and the command line.
 *
 * Input: FILE, one -o argument, a second one, further arguments as they stand. Nothing is run: a
 * file or argument that names where a key comes from is only looked at for its form.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/url.h"
#include "systemefs/conf/config.h"
#include "systemefs/conf/options.h"

#define WHY_MAX       65536
#define ARGUMENTS_MAX 12

/* Whether it may make options_parse() read another file or run a command. */
static bool names_a_key(const char *text, size_t len)
{
    return memmem(text, len, "key", 3) || memmem(text, len, "config", 6);
}

static bool is_section(const struct config_entry *e, int account)
{
    return e->account == account;
}

/* What was understood, written down again, is understood as the same. */
static void try_form(const char *text, size_t len)
{
    struct config c, again;
    struct buf why, out;
    buf_init(&why, WHY_MAX);
    buf_init(&out, 2 * CONFIG_FILE_MAX + 16 * CONFIG_ENTRIES_MAX);
    int r = config_parse(&c, "FILE", text, len, &why);
    if (r < 0) {
        fuzz_check(why.len);
        buf_finish(&why);
        return;
    }
    fuzz_check(!why.len && c.account_count <= CONFIG_ACCOUNTS_MAX &&
               c.entry_count <= CONFIG_ENTRIES_MAX);
    for (int a = CONFIG_TOP; a < (int)c.account_count; a++) {
        if (a >= 0) {
            fuzz_check(config_account(&c, c.accounts[a]) == a);
            buf_printf(&out, "[account %s]\n", c.accounts[a]);
        }
        for (size_t i = 0; i < c.entry_count; i++)
            if (is_section(&c.entries[i], a))
                buf_printf(&out, "%s=%s\n", c.entries[i].name, c.entries[i].value);
    }
    fuzz_check(buf_error(&out) == 0);
    if (out.len <= CONFIG_FILE_MAX) {
        fuzz_check(config_parse(&again, "FILE", out.data ? out.data : "", out.len, &why) == 0);
        fuzz_check(again.entry_count == c.entry_count && again.account_count == c.account_count);
        config_finish(&again);
    }
    config_finish(&c);
    buf_finish(&why);
    buf_finish(&out);
}

/* What must hold of whatever was accepted. */
static void check_options(const struct options *o)
{
    struct url_info info;
    const char *why;
    if (o->help || o->version)
        return;
    fuzz_check(o->mountpoint && o->fuse_options && o->jobs >= 1 && o->timeout_ms > 0);
    fuzz_check(o->ttl_ms >= 0 && o->reserve <= 100);
    if (o->sandbox)
        return;
    fuzz_check(o->auth != AUTH_NONE && o->key.text && o->api_url);
    const char *const urls[] = {o->api_url, o->ctrl_url};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        if (!urls[i])
            continue;
        fuzz_check(url_check_base(urls[i], &info, &why) == 0);
        fuzz_check(info.https || info.loopback || o->insecure_http);
    }
}

static void try_options(const char *text, size_t len, char **arguments, size_t count)
{
    struct options o;
    struct buf why;
    char config[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    fuzz_check(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, len) == (ssize_t)len);
    snprintf(config, sizeof(config), "config=/proc/self/fd/%d", fd);
    setenv("SYSTEME_API_KEY", "a-key-of-the-test", 1);
    unsetenv("MATON_API_KEY");
    char option[] = "-o", *argv[ARGUMENTS_MAX + 8] = {(char[]){"systemefs"}, option, config};
    int argc = 3;
    for (size_t i = 0; i < count; i++) {
        if (i < 2)
            argv[argc++] = option;
        argv[argc++] = arguments[i];
    }
    if (count == 2)
        argv[argc++] = (char[]){"/mnt"};
    buf_init(&why, WHY_MAX);
    int r = options_parse(argc, argv, &o, &why);
    fuzz_check(r == 0 ? !why.len : why.len > 0);
    /* A sentence is shown to a person: one line, and never the key. */
    if (r < 0)
        fuzz_check(!memchr(why.data, '\n', why.len) &&
                   !memmem(why.data, why.len, "a-key-of-the-test", 17));
    fuzz_check(!getenv("SYSTEME_API_KEY"));
    if (r == 0) {
        check_options(&o);
        options_finish(&o);
    }
    buf_finish(&why);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    const char *text = "";
    size_t len = 0;
    fuzz_part(&in, FUZZ_SEPARATOR, &text, &len);
    try_form(text, len);
    char *arguments[ARGUMENTS_MAX];
    size_t count = 0;
    bool quiet = !names_a_key(text, len);
    while (count < 2 || (count < ARGUMENTS_MAX && in.p < in.end)) {
        char *argument = fuzz_string(&in, FUZZ_SEPARATOR);
        quiet = quiet && !names_a_key(argument, strlen(argument));
        arguments[count++] = argument;
    }
    for (size_t i = 0; i < 2; i++)
        if (!*arguments[i]) {
            free(arguments[i]);
            arguments[i] = strdup(i ? "rw" : "ro");
            fuzz_check(arguments[i]);
        }
    if (quiet)
        try_options(text, len, arguments, count);
    while (count)
        free(arguments[--count]);
    return 0;
}
