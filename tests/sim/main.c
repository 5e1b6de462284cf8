/* sim: seeds and options. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shrink.h"
#include "systemefs/base/log.h"

#define EVENTS 80

struct options {
    uint64_t first, last;
    size_t events;
    bool shrink, repeat, verbose;
};

static const char usage[] =
    "usage: sim --seeds A-B [--steps N] [--shrink] [--repeat] [-v]\n"
    "\n"
    "  --seeds A-B   the runs of these seeds (or one: --seeds A)\n"
    "  --steps N     events in a run (80)\n"
    "  --shrink      leaves out of a run that fails what it can be left out of\n"
    "  --repeat      runs every seed twice, and compares\n"
    "  -v            tells what happens\n";

/* ---- a program that ends in the middle of a run says in which ---- */

static const struct plan *running;

static void say_where(void)
{
    char line[128];
    if (!running)
        return;
    /* Not safe in a handler; but all that it could break has ended. */
    /* NOLINTNEXTLINE(bugprone-signal-handler) */
    int n =
        snprintf(line, sizeof(line), "\nsim ended in the run of: sim --seeds %llu --steps %zu\n",
                 (unsigned long long)running->seed, running->count);
    running = NULL;
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        _exit(3);
}

static void on_signal(int number)
{
    say_where();
    signal(number, SIG_DFL);
    raise(number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(void)
{
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(say_where);
    } else {
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
    }
    signal(SIGABRT, on_signal);
    atexit(say_where); /* an assertion of the unit tests' helpers ends the program */
}

/* ---- runs ---- */

struct sums {
    uint64_t seeds, steps, calls, requests, changes, reads, listings, pushes, crashes;
};

static void tell_failure(const struct plan *plan, const struct options *o, const char *failure)
{
    printf("seed %llu: %s\n", (unsigned long long)plan->seed, failure);
    printf("    again: sim --seeds %llu --steps %zu -v\n", (unsigned long long)plan->seed,
           plan->count);
    if (!o->shrink)
        return;
    char text[SHRINK_TEXT];
    bool *keep = malloc(plan->count);
    assert_non_null(keep);
    memset(keep, true, plan->count);
    size_t left = shrink(plan, keep, text);
    printf("    %zu of %zu events are enough:", left, plan->count);
    for (size_t i = 0; i < plan->count; i++)
        if (keep[i])
            printf(" %u(%s)", plan->events[i].index, event_name(plan->events[i].kind));
    printf("\n    %s\n", text);
    static struct sim s;
    printf("    ----\n");
    sim_run(&s, plan, keep, true);
    printf("    ----\n");
    free(keep);
}

static bool run_seed(uint64_t seed, const struct options *o, struct sums *sums)
{
    static struct sim s;
    struct plan plan;
    plan_make(&plan, seed, o->events);
    running = &plan;
    if (o->verbose)
        plan_print(&plan);
    bool ok = sim_run(&s, &plan, NULL, o->verbose);
    uint64_t hash = s.hash;
    sums->seeds++;
    sums->steps += s.steps;
    sums->calls += s.calls;
    sums->requests += s.requests;
    sums->changes += s.changes;
    sums->reads += s.reads;
    sums->listings += s.listings;
    sums->pushes += s.pushes;
    sums->crashes += s.crashes;
    char failure[SHRINK_TEXT];
    snprintf(failure, sizeof(failure), "%s", s.failure);
    if (o->verbose)
        printf("seed %llu: trace %016llx\n", (unsigned long long)seed, (unsigned long long)hash);
    if (ok && o->repeat) {
        ok = sim_run(&s, &plan, NULL, false) && s.hash == hash;
        if (!ok)
            snprintf(failure, sizeof(failure), "the second run is another one: %016llx, %016llx",
                     (unsigned long long)hash, (unsigned long long)s.hash);
    }
    running = NULL;
    if (!ok)
        tell_failure(&plan, o, failure);
    plan_finish(&plan);
    return ok;
}

static void no_log(void *data UNUSED, enum log_level level UNUSED, const char *module UNUSED,
                   const char *line UNUSED)
{
}

static void print_log(void *data UNUSED, enum log_level level UNUSED, const char *module,
                      const char *line)
{
    printf("          %s: %s\n", module, line);
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 'n'},
        {"shrink", no_argument, NULL, 'x'},      {"repeat", no_argument, NULL, 'r'},
        {"verbose", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0},
    };
    int c;
    char *end = NULL;
    *o = (struct options){.events = EVENTS};
    while ((c = getopt_long(argc, argv, "v", known, NULL)) >= 0) {
        switch (c) {
        case 's':
            o->first = o->last = strtoull(optarg, &end, 10);
            if (*end == '-')
                o->last = strtoull(end + 1, &end, 10);
            if (*end)
                return false;
            break;
        case 'n':
            o->events = strtoul(optarg, &end, 10);
            break;
        case 'x':
            o->shrink = true;
            break;
        case 'r':
            o->repeat = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        default:
            return false;
        }
    }
    return end && optind == argc && o->first <= o->last && o->events > 0;
}

int main(int argc, char **argv)
{
    struct options o;
    struct sums sums = {0};
    uint64_t failed = 0;
    if (!parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a long run that is ended has told what it found */
    watch();
    log_setup(o.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, o.verbose ? print_log : no_log, NULL);
    for (uint64_t seed = o.first; seed <= o.last && failed < 10; seed++)
        failed += !run_seed(seed, &o, &sums);
    printf("%llu seeds, %llu steps: %llu requests of the kernel, %llu of the API (%llu changes), "
           "%llu reads and %llu listings compared, %llu texts put ahead, %llu crashes; %llu seeds "
           "failed\n",
           (unsigned long long)sums.seeds, (unsigned long long)sums.steps,
           (unsigned long long)sums.calls, (unsigned long long)sums.requests,
           (unsigned long long)sums.changes, (unsigned long long)sums.reads,
           (unsigned long long)sums.listings, (unsigned long long)sums.pushes,
           (unsigned long long)sums.crashes, (unsigned long long)failed);
    /* As cmocka says it: tools/tally.py counts it. */
    if (failed)
        printf("[  FAILED  ] 1 test(s)\n");
    else
        printf("[  PASSED  ] 1 test(s).\n");
    return failed ? 1 : 0;
}
