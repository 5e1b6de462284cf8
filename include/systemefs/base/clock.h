/*
 * base/clock: time as an argument.
 *
 * Nothing below main() asks the system for the time. Whoever needs it is given a clock at
 * creation; a test gives one that it moves by hand. Two kinds of time, never mixed:
 *
 *   mono   milliseconds since some moment; for TTLs, deadlines, back-off. Never goes back, and
 *          counts the time a laptop was asleep (CLOCK_BOOTTIME), so that a TTL ends in sleep too.
 *   wall   nanoseconds since 1970, UTC; for what people read and for file times.
 */
#pragma once

#include <stdint.h>

struct clock {
    int64_t (*mono_ms)(const struct clock *c);
    int64_t (*wall_ns)(const struct clock *c);
};

/* The system's clocks. */
extern const struct clock clock_system;

static inline int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ms(c);
}

static inline int64_t clock_wall_ns(const struct clock *c)
{
    return c->wall_ns(c);
}

/* A clock that stands still until a test moves it. Embed or use as is: &manual.clock. */
struct clock_manual {
    struct clock clock;
    int64_t mono_ms;
    int64_t wall_ns;
};

void clock_manual_init(struct clock_manual *m, int64_t mono_ms, int64_t wall_ns);
/* Moves both times by `ms` milliseconds. */
void clock_manual_advance(struct clock_manual *m, int64_t ms);
