/*
 * base/fault: places where a test build can be killed, or has no memory.
 *
 * With -Dfault_points=true, the process kills itself (SIGKILL: nothing is flushed, nobody is told)
 * when it passes the point that the environment variable SYSTEMEFS_FAULT_POINT names. So a test can
 * end it at every step of a save. SYSTEMEFS_FAIL_ALLOCATION=N has the Nth allocation of our own code
 * fail (not those of libraries), once, and says so on standard error. In other builds both are
 * nothing at all.
 */
#pragma once

#ifdef SYSTEMEFS_FAULT_POINTS
void fault_point(const char *name);
#else
#define fault_point(name) ((void)0)
#endif
