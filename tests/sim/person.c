/* sim: people: each a coroutine that posts one request at a time, and real processes to be. */
#include "sim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)512 << 10)

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS 1
#endif
#endif
#ifdef FIBERS
#include <sanitizer/common_interface_defs.h>
#endif

struct coroutine {
    ucontext_t context, back;
    char *stack;
    bool started, ended;
    void *fake, *back_fake; /* of the sanitizer */
    const void *back_stack;
    size_t back_size;
};

static struct coroutine coroutines[SIM_PEOPLE];
static struct person *entering;

/* ---- processes that people are: systemefs looks into /proc who calls ---- */

static pid_t processes[SIM_PEOPLE * SIM_PROCESSES];

static int alive[2]; /* a pipe: they live as long as the simulator has its writing end */

static pid_t make_process(void)
{
    char byte;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(alive[1]);
        _exit(read(alive[0], &byte, 1) != 0);
    }
    return pid;
}

static void make_processes(void)
{
    static pid_t made_by; /* shrinking forks */
    if (made_by == getpid())
        return;
    made_by = getpid();
    assert_int_equal(pipe(alive), 0);
    for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
        processes[i] = make_process();
}

void person_renew_process(struct person *p)
{
    pid_t *process = &processes[p->number * SIM_PROCESSES + p->process];
    assert_int_equal(kill(*process, SIGKILL), 0);
    assert_int_equal(waitpid(*process, NULL, 0), *process);
    *process = make_process();
}

int person_thread(const struct person *p)
{
    return processes[p->number * SIM_PROCESSES + p->process];
}

/* ---- switching ---- */

static void leave(struct person *p, bool for_good)
{
    struct coroutine *c = p->coroutine;
    c->ended = for_good;
#ifdef FIBERS
    __sanitizer_start_switch_fiber(for_good ? NULL : &c->fake, c->back_stack, c->back_size);
#endif
    swapcontext(&c->context, &c->back);
#ifdef FIBERS
    __sanitizer_finish_switch_fiber(c->fake, &c->back_stack, &c->back_size);
#endif
}

static void coroutine_main(void)
{
    struct person *p = entering;
#ifdef FIBERS
    struct coroutine *c = p->coroutine;
    __sanitizer_finish_switch_fiber(NULL, &c->back_stack, &c->back_size);
#endif
    act_run(p);
    leave(p, true);
}

static void enter(struct person *p)
{
    struct coroutine *c = p->coroutine;
    if (!c->started) {
        getcontext(&c->context);
        c->context.uc_stack.ss_sp = c->stack;
        c->context.uc_stack.ss_size = STACK_BYTES;
        c->context.uc_link = NULL;
        makecontext(&c->context, coroutine_main, 0);
        c->started = true;
        c->ended = false;
        entering = p;
    }
#ifdef FIBERS
    __sanitizer_start_switch_fiber(&c->back_fake, c->stack, STACK_BYTES);
#endif
    swapcontext(&c->back, &c->context);
#ifdef FIBERS
    __sanitizer_finish_switch_fiber(c->back_fake, NULL, NULL);
#endif
    if (c->ended) {
        c->started = false;
        p->busy = false;
    }
}

void person_wait_call(struct person *p)
{
    p->call.person = p;
    p->call.posted = true;
    leave(p, false);
}

void person_sleep(struct person *p, int64_t ms)
{
    if (p->sim->over)
        return;
    p->sleeps_until_ms = sim_now(p->sim) + ms;
    leave(p, false);
}

/* ---- all of them ---- */

void people_init(struct sim *s)
{
    make_processes();
    for (unsigned i = 0; i < SIM_PEOPLE; i++) {
        struct coroutine *c = &coroutines[i];
        if (!c->stack) {
            c->stack =
                mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            assert_true(c->stack != MAP_FAILED);
        }
        s->people[i] = (struct person){.sim = s, .number = i, .coroutine = c};
        s->people[i].call.person = &s->people[i];
    }
}

void people_finish(struct sim *s)
{
    for (unsigned i = 0; i < SIM_PEOPLE; i++)
        assert_false(s->people[i].busy);
}

void people_begin(struct sim *s, const struct event *event)
{
    struct rng rng = {.state = event->seed};
    struct person *p = &s->people[rng_below(&rng, SIM_PEOPLE)];
    if (p->busy)
        return; /* is at something */
    p->rng = rng;
    p->act = *event;
    p->busy = true;
    p->life = s->life;
    p->sleeps_until_ms = 0;
}

void people_inspect(struct sim *s)
{
    const struct event event = {.seed = s->plan->seed};
    for (unsigned i = 0; i < SIM_PEOPLE; i++)
        assert_false(s->people[i].busy);
    struct person *p = &s->people[0];
    p->rng = (struct rng){.state = event.seed};
    p->act = event;
    p->busy = p->inspects = true;
    p->life = s->life;
    p->sleeps_until_ms = 0;
}

static bool runnable(const struct person *p)
{
    return p->busy && !p->call.posted && !p->call.waiting &&
           (p->sleeps_until_ms <= sim_now(p->sim) || p->sim->over);
}

bool people_turn(struct sim *s)
{
    bool happened = false;
    for (unsigned i = 0; i < SIM_PEOPLE; i++) {
        struct person *p = &s->people[i];
        if (runnable(p)) {
            happened = true;
            enter(p);
        }
        if (p->call.posted) {
            happened = true;
            call_start(&p->call);
        }
    }
    return happened;
}

bool people_busy(const struct sim *s)
{
    for (unsigned i = 0; i < SIM_PEOPLE; i++)
        if (s->people[i].busy)
            return true;
    return false;
}

int64_t people_next_ms(const struct sim *s)
{
    int64_t next = SIM_NEVER;
    for (unsigned i = 0; i < SIM_PEOPLE; i++) {
        const struct person *p = &s->people[i];
        if (p->busy && !p->call.posted && !p->call.waiting)
            next = MIN(next, p->sleeps_until_ms);
    }
    return next;
}
