/* sim/shrink: the shortest list of events that still fails, by leaving out ever smaller parts. */
#pragma once

#include "sim.h"

#define SHRINK_TEXT 1024

/* `keep` says which events of the plan are there; what can be left out is false afterwards. The
 * number that is left, and how it fails; 0: it does not fail. */
size_t shrink(const struct plan *plan, bool *keep, char failure[SHRINK_TEXT]);
