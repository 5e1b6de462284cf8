/*
 * kernel_requests: what fuzz_kernel asks, out of the bytes of an input.
 *
 * Layer: tests.
 */
#pragma once

/* One request of a kind, or something else that happens; the rest of the input says what of it. */
void kernel_ask(unsigned kind);
