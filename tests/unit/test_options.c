#include "systemefs/conf/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "systemefs/base/macros.h"
#include "systemefs/conf/option_table.h"

#include "options_fixture.h"

static void test_defaults(void **state UNUSED)
{
    assert_int_equal(PARSE("/mnt"), 0);
    assert_string_equal(o.mountpoint, "/mnt");
    assert_int_equal(o.auth, AUTH_DIRECT);
    assert_string_equal(o.api_url, "https://api.systeme.io");
    assert_null(o.ctrl_url);
    assert_null(o.connection);
    assert_string_equal(o.key.text, "direct-key");
    assert_int_equal(o.ttl_ms, 60000);
    assert_int_equal(o.timeout_ms, 30000);
    assert_int_equal(o.jobs, 8);
    assert_int_equal(o.reserve, 10);
    assert_int_equal(o.delete_limit, 50);
    assert_int_equal(o.cache_size, 0);
    assert_string_equal(o.access_type, "full_access");
    assert_int_equal(o.umask, 077);
    assert_int_equal(o.uid, getuid());
    assert_int_equal(o.gid, getgid());
    assert_int_equal(o.log_level, LOG_LEVEL_INFO);
    assert_string_equal(o.fuse_options, "fsname=systemefs:api.systeme.io,subtype=systemefs");
    assert_null(o.cacert);
    assert_null(o.account);
    assert_null(o.sandbox_args);
    assert_false(o.help || o.version || o.foreground || o.fuse_debug || o.sandbox || o.both_keys ||
                 o.ro || o.dry_run || o.insecure_http || o.nonempty);
    assert_null(getenv("SYSTEME_API_KEY"));
}

static void test_spellings(void **state UNUSED)
{
    static const char *const spellings[][4] = {
        {"-o", "delete_limit=7,dry_run", "/mnt", NULL},
        {"-odelete-limit=7,dry-run", "/mnt", NULL},
        {"--delete-limit=7", "--dry-run", "/mnt", NULL},
        {"/mnt", "--delete_limit=7", "--dry_run=yes", NULL},
        {"-o", ",,delete_limit=1,delete_limit=7,,dry_run=TRUE,", "/mnt", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
        setenv("SYSTEME_API_KEY", "k", 1);
        assert_int_equal(parse_args(spellings[i]), 0);
        assert_int_equal(o.delete_limit, 7);
        assert_true(o.dry_run);
    }
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("--ttl", "5", "--", "-mnt"), 0);
    assert_int_equal(o.ttl_ms, 5000);
    assert_string_equal(o.mountpoint, "-mnt");
}

static void test_letters(void **state UNUSED)
{
    assert_int_equal(PARSE("-fs", "/mnt"), 0);
    assert_true(o.foreground);
    assert_false(o.fuse_debug);
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-do", "ttl=3", "/mnt"), 0);
    assert_true(o.foreground && o.fuse_debug);
    assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(o.ttl_ms, 3000);
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-d", "--log-level=warn", "/mnt"), 0);
    assert_int_equal(o.log_level, LOG_LEVEL_WARN);
}

static void test_help_wins(void **state UNUSED)
{
    assert_int_equal(PARSE("--nonsense", "-o", "ttl=x", "--help"), 0);
    assert_true(o.help);
    assert_int_equal(PARSE("-h"), 0);
    assert_true(o.help);
    assert_int_equal(PARSE("a", "b", "c", "-V"), 0);
    assert_true(o.version);
    assert_int_equal(PARSE("-fh"), 0);
    assert_true(o.help);
    /* -h here is the value of -o, which is no option. */
    assert_int_equal(PARSE("-o", "-h", "/mnt"), -EINVAL);
}

static void test_usage_errors(void **state UNUSED)
{
    static const struct {
        const char *args[4];
        const char *why;
    } cases[] = {
        {{NULL}, "mount point is missing"},
        {{"-f"}, "mount point is missing"},
        {{""}, "mount point is empty"},
        {{"a", "b", "c"}, "one argument too many"},
        {{"-x", "/mnt"}, "\"-x\": there is no such option"},
        {{"/mnt", "-o"}, "-o name=value"},
        {{"-o", "tttl=5", "/mnt"}, "there is no option \"tttl\"; did you mean ttl?"},
        {{"-o", "tl=5", "/mnt"}, "did you mean ttl?"},
        {{"-o", "jbos=5", "/mnt"}, "did you mean jobs?"},
        {{"--resrve=5", "/mnt"}, "did you mean reserve?"},
        {{"--allow-othre", "/mnt"}, "did you mean allow_other?"},
        {{"-o", "wobble", "/mnt"}, "no option \"wobble\"; `systemefs --help'"},
        {{"-o", "q", "/mnt"}, "no option \"q\"; `systemefs --help'"},
        {{"-o", "=5", "/mnt"}, "no option \"\""},
        {{"-o", "ttl", "/mnt"}, "ttl needs a value: ttl=SECONDS"},
        {{"-o", "ttl=", "/mnt"}, "ttl: the value is empty"},
        {{"-o", "ro=maybe", "/mnt"}, "ro: \"maybe\" is not allowed; it takes yes or no"},
        {{"-o", "auth=maton2", "/mnt"}, "it takes maton or systeme"},
        {{"-o", "access_type=all", "/mnt"}, "full_access, partial_access, dripping_content or "},
        {{"-o", "log_level=loud", "/mnt"}, "error, warn, info or debug"},
        {{"-o", "uid=no-such-user", "/mnt"}, "a user's number or name"},
        {{"-o", "gid=4294967295", "/mnt"}, "a group's number or name"},
        {{"-o", "umask=078", "/mnt"}, "an octal number from 0 to 777"},
        {{"-o", "umask=1777", "/mnt"}, "an octal number from 0 to 777"},
        {{"-o", "fsname=a\nb", "/mnt"}, "no control characters"},
        {{"-o", "cacert=/no/such/file", "/mnt"}, "cacert: cannot read \"/no/such/file\": No such"},
        {{"-o", "cacert=/tmp", "/mnt"}, "it is no file"},
        {{"-o", "api_url=ftp://x", "/mnt"}, "api_url: this is no base URL"},
        {{"-o", "connection=a b,auth=maton", "/mnt"}, "is no connection id"},
        {{"-o", "connection=abc", "/mnt"}, "belong to the gateway"},
        {{"-o", "account=shop", "/mnt"}, "this file does not exist"},
        {{"--sandbox-args=--seed 5", "/mnt"}, "add --sandbox"},
        {{"--sandbox", "-o", "api_url=http://127.0.0.1:1", "/mnt"}, "leave out api_url"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setenv("SYSTEME_API_KEY", "k", 1);
        setenv("MATON_API_KEY", "k", 1);
        if (strstr(cases[i].why, "gateway"))
            unsetenv("MATON_API_KEY");
        assert_true(parse_args((const char *const[]){cases[i].args[0], cases[i].args[1],
                                                     cases[i].args[2], cases[i].args[3], NULL}) <
                    0);
        check_why(cases[i].why);
    }
}

static void test_ranges(void **state UNUSED)
{
    static const struct {
        const char *name;
        const char *good[2], *bad[4];
        const char *why;
    } cases[] = {
        {"ttl", {"0", "86400"}, {"-1", "86401", "1.5", "5s"}, "seconds from 0 to 86400"},
        {"timeout", {"1", "3600"}, {"0", "3601", "", "0x5"}, "seconds from 1 to 3600"},
        {"jobs", {"1", "64"}, {"0", "65", "+5", " 5"}, "from 1 to 64"},
        {"reserve", {"0", "90"}, {"91", "10%", "1e1", "-0"}, "from 0 to 90"},
        {"delete_limit",
         {"0", "1000000"},
         {"1000001", "99999999999999999999999999", "4294967297", "all"},
         "from 0 to 1000000"},
        {"cache_size", {"0", "4096M"}, {"K", "1T", "1 K", "-1"}, "a number of bytes"},
        {"cache-size",
         {"1024G", "1099511627776"},
         {"1048577G", "99999999999999999999999K", "1KK", "0x10"},
         "K, M or G"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t j = 0; j < 6; j++) {
            char arg[80];
            bool good = j < 2;
            const char *value = good ? cases[i].good[j] : cases[i].bad[j - 2];
            snprintf(arg, sizeof(arg), "--%s=%s", cases[i].name, value);
            setenv("SYSTEME_API_KEY", "k", 1);
            assert_int_equal(PARSE(arg, "/mnt"), good ? 0 : -EINVAL);
            if (!good && *value)
                check_why(cases[i].why);
        }
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "jobs=64,reserve=90,delete_limit=1000000,umask=22", "/mnt"), 0);
    assert_int_equal(o.jobs, 64);
    assert_int_equal(o.reserve, 90);
    assert_int_equal(o.delete_limit, 1000000);
    assert_int_equal(o.umask, 022);
}

static void test_sizes(void **state UNUSED)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"cache_size=1", 1},
                 {"cache_size=64k", 65536},
                 {"cache-size=100M", UINT64_C(100) << 20},
                 {"cache_size=3G", UINT64_C(3) << 30}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setenv("SYSTEME_API_KEY", "k", 1);
        assert_int_equal(PARSE("-o", cases[i].text, "/mnt"), 0);
        assert_int_equal(o.cache_size, cases[i].bytes);
    }
}

static void test_layers(void **state UNUSED)
{
    write_config("ttl = 1\njobs = 1\nreserve = 1\nro = yes\n"
                 "[account a]\njobs = 2\nreserve = 2\nrw = yes\n"
                 "[account b]\nttl = 3\n");
    assert_int_equal(PARSE("-o", "account=a,reserve=3", "/mnt"), 0);
    assert_int_equal(o.ttl_ms, 1000);
    assert_int_equal(o.jobs, 2);
    assert_int_equal(o.reserve, 3);
    assert_false(o.ro);
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("/mnt"), 0);
    assert_int_equal(o.jobs, 1);
    assert_true(o.ro);
    assert_non_null(strstr(o.fuse_options, "fsname=systemefs:api.systeme.io,"));
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "account=b", "/mnt"), 0);
    assert_int_equal(o.ttl_ms, 3000);
    assert_non_null(strstr(o.fuse_options, "fsname=systemefs:b,"));
}

static void test_config_place(void **state UNUSED)
{
    setenv("XDG_CONFIG_HOME", "relative/is/ignored", 1);
    write_config("ttl = 1\n");
    assert_int_equal(PARSE("/mnt"), 0);
    assert_int_equal(o.ttl_ms, 1000);

    char xdg[128];
    snprintf(xdg, sizeof(xdg), "%s/nothing-here", home);
    setenv("XDG_CONFIG_HOME", xdg, 1);
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("/mnt"), 0);
    assert_int_equal(o.ttl_ms, 60000);

    write_file("mine", "ttl = 2\n");
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "config=~/mine", "/mnt"), 0);
    assert_int_equal(o.ttl_ms, 2000);
    unlink(home_path("mine"));
    assert_int_equal(PARSE("-o", "config=~/mine", "/mnt"), -ENOENT);
    check_why("does not exist");
}

static void test_config_errors(void **state UNUSED)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"\ntttl = 5\n", "config:2: there is no option \"tttl\"; did you mean ttl?"},
        {"ttl = 5\nttl = 6\n", "config:2: ttl is set already, in line 1"},
        {"dry_run = yes\ndry-run = no\n", "config:2: dry_run is set already, in line 1"},
        {"jobs = 0\n",
         "config:1: jobs: \"0\" is not allowed; it takes a whole number from 1 to 64"},
        {"config = /x\n", "config:1: config has its place on the command line"},
        {"sandbox = yes\n", "config:1: sandbox has its place on the command line"},
        {"cacert = relative.pem\n", "config:1: cacert: \"relative.pem\" is not allowed; it takes a "
                                    "path that starts with / or ~/"},
        {"nonsense\n", "config:1: \"nonsense\": this is neither"},
        /* An account that is not chosen is looked at too. */
        {"[account other]\n\njobs = x\n", "config:3: jobs: \"x\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_config(cases[i].text);
        setenv("SYSTEME_API_KEY", "k", 1);
        assert_int_equal(PARSE("/mnt"), -EINVAL);
        check_why(home);
        check_why(cases[i].why);
    }
    write_config("[account one]\nttl = 5\n[account two]\nttl = 6\n");
    assert_int_equal(PARSE("-o", "account=three", "/mnt"), -EINVAL);
    check_why("account: \"three\" is no section of");
    check_why("which has: one, two");
}

static void test_mount_forms(void **state UNUSED)
{
    /* What mount.fuse3(8) runs for a line of fstab. */
    /* NOLINTBEGIN(bugprone-suspicious-missing-comma) */
    assert_int_equal(PARSE("systemefs", "/mnt", "-o",
                           "rw,_netdev,nofail,noauto,user,x-systemd.automount,X-y=z,defaults,"
                           "relatime,comment=mine,dev,suid,ttl=5,allow_other"),
                     0);
    /* NOLINTEND(bugprone-suspicious-missing-comma) */
    assert_string_equal(o.mountpoint, "/mnt");
    assert_int_equal(o.ttl_ms, 5000);
    assert_false(o.ro);
    assert_string_equal(o.fuse_options, "allow_other,fsname=systemefs,dev,suid,subtype=systemefs");

    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("a,b\\c", "/mnt", "-o", "ro,subtype=x"), 0);
    assert_string_equal(o.fuse_options, "fsname=a\\,b\\\\c,subtype=x,ro");
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("label", "/mnt", "-o", "fsname=x\\,y,max_read=4096"), 0);
    assert_string_equal(o.fuse_options, "fsname=x\\,y,max_read=4096,subtype=systemefs");
}

static void test_last_word(void **state UNUSED)
{
    assert_int_equal(PARSE("-o", "ro,rw,dev,nodev,exec=no,allow_root,allow_root=no", "/mnt"), 0);
    assert_false(o.ro);
    assert_string_equal(o.fuse_options, "nodev,fsname=systemefs:api.systeme.io,subtype=systemefs");
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "rw,ro", "/mnt"), 0);
    assert_true(o.ro);
}

/* mount(8) puts "rw,dev,suid" on each command line, and so lifted the file's `ro = yes'. */
static void test_mount_does_not_lift_ro(void **state UNUSED)
{
    write_config("ro = yes\nnosuid = yes\n");
    assert_int_equal(PARSE("systemefs", "/mnt", "-o", "rw,dev,suid"), 0);
    assert_true(o.ro);
    const char *suid = strstr(o.fuse_options, "suid"), *nosuid = strstr(o.fuse_options, "nosuid");
    assert_true(suid && nosuid && suid < nosuid); /* for libfuse the last one counts */
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("/mnt", "--ro=no"), 0);
    assert_false(o.ro);
}

static void test_owners(void **state UNUSED)
{
    assert_int_equal(PARSE("-o", "uid=1234,gid=4321,umask=0,nonempty", "/mnt"), 0);
    assert_int_equal(o.uid, 1234);
    assert_int_equal(o.gid, 4321);
    assert_int_equal(o.umask, 0);
    assert_true(o.nonempty);
    setenv("SYSTEME_API_KEY", "k", 1);
    assert_int_equal(PARSE("-o", "uid=root,gid=root", "/mnt"), 0);
    assert_int_equal(o.uid, 0);
    assert_int_equal(o.gid, 0);
}

static char *read_manual(const char *name)
{
    const char *directory = getenv("SYSTEMEFS_MAN_DIR");
    if (!directory)
        fail_msg("set SYSTEMEFS_MAN_DIR to the directory of the manual pages");
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *f = fopen(path, "re");
    if (!f)
        fail_msg("cannot read %s", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* Whether the page has the name, marked as one: "Cm NAME", or with `flag` "Fl -NAME". */
static bool manual_has(const char *text, const char *name, bool flag)
{
    char mark[80];
    snprintf(mark, sizeof(mark), flag ? "Fl -%s" : "Cm %s", name);
    for (const char *p = text; (p = strstr(p, mark)); p++)
        if (strchr(" \n", p[strlen(mark)]))
            return true;
    return false;
}

static void test_every_row_is_documented(void **state UNUSED)
{
    struct buf help;
    buf_init(&help, 64 * 1024);
    options_help(&help);
    assert_int_equal(buf_error(&help), 0);
    char *manual = read_manual("systemefs.1"), *file_manual = read_manual("systemefs.conf.5");
    for (size_t i = 0; i < option_table_len; i++) {
        const struct option_row *row = &option_table[i];
        char mark[80];
        if (row->letter)
            snprintf(mark, sizeof(mark), "  -%c, --%s ", row->letter, row->name);
        else
            snprintf(mark, sizeof(mark), "  -o %s%c", row->name, row->argument ? '=' : ' ');
        if (!strstr(help.data, mark))
            fail_msg("--help does not know %s", mark);
        if (!manual_has(manual, row->name, false) && !manual_has(manual, row->name, true))
            fail_msg("systemefs.1 does not know %s", row->name);
        if (manual_has(file_manual, row->name, false) == row->command_only)
            fail_msg("systemefs.conf.5 %s %s", row->command_only ? "has" : "does not know",
                     row->name);
    }
    free(manual);
    free(file_manual);
    buf_finish(&help);
}

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < option_table_len; i++) {
        const struct option_row *row = &option_table[i];
        size_t len = strlen(row->name);
        assert_non_null(row->help);
        assert_ptr_equal(option_find(row->name, len), row);
        /* A value is named where there is one, and an option with a value has a default. */
        bool flag = row->kind == OPTION_FLAG || row->kind == OPTION_FUSE;
        if (row->kind != OPTION_IGNORED) {
            assert_int_equal(row->argument == NULL, flag);
            assert_int_equal(row->preset || row->default_note, !flag);
        }
        assert_false(row->preset && row->default_note);
        assert_int_equal(row->kind == OPTION_CHOICE, row->choices != NULL);
        if (row->against)
            assert_non_null(option_find(row->against, strlen(row->against)));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(option_table[j].name, row->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_defaults),      T(test_spellings),
        T(test_letters),       T(test_help_wins),
        T(test_usage_errors),  T(test_ranges), T(test_sizes),
        T(test_layers),        T(test_config_place),
        T(test_config_errors), T(test_mount_forms),
        T(test_last_word),     T(test_mount_does_not_lift_ro),
        T(test_owners),        T(test_every_row_is_documented),
        T(test_rows),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
