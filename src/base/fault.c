#include "systemefs/base/fault.h"

#ifdef SYSTEMEFS_FAULT_POINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>

void fault_point(const char *name)
{
    const char *wanted = getenv("SYSTEMEFS_FAULT_POINT");
    if (wanted && strcmp(wanted, name) == 0)
        raise(SIGKILL);
}
#else
typedef int fault_points_are_off; /* ISO C wants something in each file */
#endif
