#include "systemefs/base/clock.h"

#include <time.h>

#include "systemefs/base/macros.h"

static int64_t system_mono_ms(const struct clock *c UNUSED)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall_ns(const struct clock *c UNUSED)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

const struct clock clock_system = {.mono_ms = system_mono_ms, .wall_ns = system_wall_ns};

static int64_t manual_mono_ms(const struct clock *c)
{
    return ((const struct clock_manual *)c)->mono_ms;
}

static int64_t manual_wall_ns(const struct clock *c)
{
    return ((const struct clock_manual *)c)->wall_ns;
}

void clock_manual_init(struct clock_manual *m, int64_t mono_ms, int64_t wall_ns)
{
    *m = (struct clock_manual){
        .clock = {.mono_ms = manual_mono_ms, .wall_ns = manual_wall_ns},
        .mono_ms = mono_ms,
        .wall_ns = wall_ns,
    };
}

void clock_manual_advance(struct clock_manual *m, int64_t ms)
{
    m->mono_ms += ms;
    m->wall_ns += ms * 1000000;
}
