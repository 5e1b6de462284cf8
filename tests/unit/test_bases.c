/* tree/bases: what a process has opened, and the contents that are kept for it. */
#include "../../src/tree/bases.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "systemefs/base/macros.h"
#include "systemefs/base/map.h"

#define VIM 100
#define CP  200
#define INO 77

static struct clock_manual clock_of_test;
static struct bases *b;

static int begin(void **state UNUSED)
{
    clock_manual_init(&clock_of_test, 1000, 0);
    b = bases_create(&clock_of_test.clock);
    return b ? 0 : -1;
}

static int end(void **state UNUSED)
{
    bases_destroy(b);
    return 0;
}

static uint64_t hash(const char *text)
{
    return hash_text(text, strlen(text));
}

static void opened(pid_t process, uint64_t ino, const char *text)
{
    bases_opened(b, process, ino, hash(text));
}

static void replacing(uint64_t ino, const char *text)
{
    bases_replacing(b, ino, hash(text), text, strlen(text));
}

/* That the process's last opening was of `text`; `kept`: and that it has been replaced, and is
 * there. */
static void check(pid_t process, uint64_t ino, const char *text, bool kept)
{
    const char *older = "untouched";
    assert_true(bases_of(b, process, ino, &older) == (text ? hash(text) : 0));
    assert_int_equal(older != NULL, kept);
    if (kept)
        assert_string_equal(older, text);
}

static void test_opened(void **state UNUSED)
{
    check(VIM, INO, NULL, false);
    check(0, INO, NULL, false);
    opened(VIM, INO, "one");
    check(VIM, INO, "one", false);
    check(VIM, INO + 1, NULL, false);
    /* Each its own; whoever has opened nothing goes by what anybody has opened last. */
    opened(CP, INO, "two");
    check(VIM, INO, "one", false);
    check(CP, INO, "two", false);
    check(300, INO, "two", false);
    check(0, INO, "two", false);
    opened(0, INO, "three"); /* somebody who cannot be told */
    check(VIM, INO, "one", false);
    check(0, INO, "three", false);
}

/* A content that somebody has opened is kept when it goes; others are not. */
static void test_replaced(void **state UNUSED)
{
    opened(VIM, INO, "one");
    replacing(INO, "zero");
    replacing(INO, "one");
    check(VIM, INO, "one", true);
    check(CP, INO, "one", true);
    /* The same bytes in another file are another thing. */
    opened(CP, INO + 1, "one");
    check(CP, INO + 1, "one", false);
    /* It comes, goes, and comes again. */
    opened(CP, INO, "two");
    replacing(INO, "two");
    replacing(INO, "one");
    check(VIM, INO, "one", true);
    check(CP, INO, "two", true);
    opened(VIM, INO, "two");
    check(VIM, INO, "two", true);
}

/* What an editor has saved is what it has before it from then on, whatever the server makes of it.
 */
static void test_saved(void **state UNUSED)
{
    opened(VIM, INO, "one");
    opened(CP, INO, "one");
    bases_saved(b, VIM, INO, "mine", 4);
    check(VIM, INO, "mine", true);
    check(CP, INO, "one", false);
    bases_saved(b, VIM, INO, "mine", 4);
    check(VIM, INO, "mine", true);
    bases_saved(b, VIM, INO, "", 0);
    check(VIM, INO, "", true);
}

/* The process that was idle for longest makes room, and not one that is at work. */
static void test_many_processes(void **state UNUSED)
{
    opened(VIM, INO, "vim");
    for (pid_t pid = 1000; pid < 1000 + 3 * BASES_PROCESSES; pid++) {
        opened(pid, INO, "other");
        opened(VIM, INO + (uint64_t)pid, "vim");
    }
    check(VIM, INO, "vim", false);
    check(1000, INO, "other", false); /* gone: by anybody's */
    opened(CP, INO, "cp");
    check(1000, INO, "cp", false);
    check(999 + 3 * BASES_PROCESSES, INO, "other", false);
}

/* So many files: the oldest opening is forgotten first; one that is repeated takes no room. */
static void test_many_files(void **state UNUSED)
{
    opened(VIM, 1, "text");
    for (unsigned i = 0; i < 1000; i++)
        opened(VIM, 1, "text");
    for (uint64_t ino = 2; ino <= BASES_RING; ino++)
        opened(VIM, ino, "text");
    check(VIM, 1, "text", false);
    opened(VIM, BASES_RING + 1, "text");
    check(VIM, 1, NULL, false);
    check(VIM, 2, "text", false);
    check(VIM, BASES_RING + 1, "text", false);
}

/* The oldest contents go when there are too many bytes of them. */
static void test_bytes(void **state UNUSED)
{
    size_t len = (size_t)1 << 20;
    char *text = malloc(len);
    unsigned n = BASES_BYTES / (1 << 20);
    for (unsigned i = 0; i <= n; i++) {
        memset(text, 'a' + (int)(i % 26), len);
        memcpy(text, &i, sizeof(i));
        bases_saved(b, VIM, 1000 + i, text, len);
    }
    const char *older;
    assert_true(bases_of(b, VIM, 1000, &older) != 0);
    assert_null(older);
    for (unsigned i = 1; i <= n; i++) {
        assert_true(bases_of(b, VIM, 1000 + i, &older) != 0);
        assert_non_null(older);
        assert_memory_equal(older, &i, sizeof(i));
    }
    /* One that is larger than all of that is not kept at all. */
    char *huge = calloc(BASES_BYTES + 1, 1);
    bases_saved(b, VIM, 7, huge, BASES_BYTES + 1);
    assert_true(bases_of(b, VIM, 7, &older) != 0);
    assert_null(older);
    free(huge);
    free(text);
}

/* ---- processes ---- */

static void *thread_id(void *data)
{
    *(pid_t *)data = gettid();
    int *turn = (int *)data + 1;
    char byte;
    return read(*turn, &byte, 1) == 0 ? data : NULL;
}

static void test_processes(void **state UNUSED)
{
    int turn[2], data[2] = {0};
    pthread_t thread;
    assert_int_equal(pipe(turn), 0);
    data[1] = turn[0];
    assert_int_equal(pthread_create(&thread, NULL, thread_id, data), 0);
    while (*(volatile int *)data == 0)
        sched_yield();
    assert_int_not_equal(data[0], getpid());
    assert_int_equal(bases_process(b, data[0]), getpid());
    assert_int_equal(bases_process(b, getpid()), getpid());
    assert_int_equal(bases_process(b, 0), 0);
    assert_int_equal(bases_process(b, -5), 0);
    close(turn[1]);
    pthread_join(thread, NULL);
    close(turn[0]);
    /* Remembered for a moment: a program that ends is asked about after its end. */
    assert_int_equal(bases_process(b, data[0]), getpid());
    clock_manual_advance(&clock_of_test, 10000);
    assert_int_equal(bases_process(b, data[0]), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_opened),     T(test_replaced), T(test_saved),     T(test_many_processes),
        T(test_many_files), T(test_bytes),    T(test_processes),
    };
    bases_destroy(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
