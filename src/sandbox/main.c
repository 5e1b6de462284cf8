/*
 * systemefs-sandbox: a local stand-in for the Systeme.io API and the Maton gateway.
 *
 * Exit codes: 0 ended by a signal, 1 something failed, 2 the command line is wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "gzip.h"
#include "sandbox.h"
#include "server.h"
#include "systemefs/base/macros.h"

static void print_addresses(const struct settings *settings, const char *address)
{
    printf("url: http://%s\n", address);
    printf("key: %s\n", settings->key);
    printf("gateway-url: http://%s/systeme\n", address);
    printf("ctrl-url: http://%s\n", address);
    printf("gateway-key: %s\n", settings->gateway_key);
    printf("control: http://%s/_sandbox\n", address);
    fflush(stdout);
    if (settings->ready_fd < 0)
        return;
    int fd = (int)settings->ready_fd;
    if (dprintf(fd, "http://%s %s %s\n", address, settings->key, settings->gateway_key) < 0)
        fprintf(stderr, "systemefs-sandbox: --ready-fd %d: %s\n", fd, strerror(errno));
    close(fd);
}

/* Signals are taken by sigwait() in the main thread; every other thread has them blocked. */
static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(struct sandbox *s, const sigset_t *signals)
{
    char why[512];
    bool usage;
    s->waiting = waiting_create(s->clock, server_wake);
    struct server *server = server_start(s, why, sizeof(why), &usage);
    if (!server) {
        fprintf(stderr, "systemefs-sandbox: %s\n", why);
        waiting_stop(s->waiting);
        waiting_destroy(s->waiting);
        return usage ? 2 : 1;
    }
    print_addresses(s->settings, server_address(server));
    int signal_number;
    sigwait(signals, &signal_number);
    waiting_stop(s->waiting);
    server_stop(server);
    waiting_destroy(s->waiting);
    return 0;
}

static int run(const struct settings *settings, const sigset_t *signals)
{
    struct sandbox s = {.settings = settings, .clock = &clock_system};
    char why[512];
    faults_init(&s.faults);
    if (settings->faults && faults_load(&s.faults, settings->faults, why, sizeof(why)) < 0) {
        fprintf(stderr, "systemefs-sandbox: --faults %s: %s\n", settings->faults, why);
        faults_finish(&s.faults);
        return 2;
    }
    s.latency_min_ms = settings->latency_min_ms;
    s.latency_max_ms = settings->latency_max_ms;
    s.journal = journal_create(s.clock);
    s.api.world = world_create(settings, s.clock);
    pthread_rwlock_init(&s.api.lock, NULL);
    quota_init(&s.api.quota, s.clock, settings->quota_limit, settings->quota_seconds,
               settings->quota_format);
    quota_init(&s.gateway_rate, s.clock, settings->gateway_rate, 1, REFILL_SECONDS);

    int code = serve(&s, signals);

    quota_finish(&s.gateway_rate);
    quota_finish(&s.api.quota);
    pthread_rwlock_destroy(&s.api.lock);
    world_destroy(s.api.world);
    journal_destroy(s.journal);
    faults_finish(&s.faults);
    return code;
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    struct settings settings;
    if (settings_parse(&settings, argc, argv) < 0)
        return 2;
    if (settings.help) {
        settings_print_help();
        return 0;
    }
    if (settings.version) {
        printf("systemefs-sandbox %s\n", SYSTEMEFS_VERSION);
        return 0;
    }
    if (settings.gzip && !gzip_available()) {
        fprintf(stderr, "systemefs-sandbox: --gzip: built without zlib\n");
        return 2;
    }
    sigset_t signals;
    block_signals(&signals);
    /* The parent may have gone before the kernel was asked to tell. */
    if (settings.die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
        return 0;
    return run(&settings, &signals);
}
