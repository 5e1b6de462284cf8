/*
 * fuzz: what the fuzz targets share.
 *
 * A target is a program around LLVMFuzzerTestOneInput(): libFuzzer makes up inputs, guided by the
 * code that they reach; AddressSanitizer and UndefinedBehaviourSanitizer watch; and fuzz_check()
 * says what must hold of every input. Nothing here may depend on anything but the input.
 *
 * Where an input has parts, they are separated by FUZZ_SEPARATOR, a byte that no JSON text, header
 * or name holds unescaped; so a seed is a text file that a person can write.
 *
 * Layer: tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/buf.h"

#define FUZZ_SEPARATOR '\x1e' /* ASCII "record separator" */
#define FUZZ_TEXT_MAX  ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What must hold. Not assert(): that one is gone in a release build. */
#define fuzz_check(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The parts of an input that are still to come. */
struct fuzz_input {
    const char *p, *end;
};

static inline struct fuzz_input fuzz_input(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    return (struct fuzz_input){.p = p, .end = p + size};
}

/* The next part, up to `separator`. False when there is none left. */
static inline bool fuzz_part(struct fuzz_input *in, char separator, const char **ret, size_t *len)
{
    if (!in->p || in->p == in->end)
        return false;
    const char *p = in->p;
    while (p < in->end && *p != separator)
        p++;
    *ret = in->p;
    *len = (size_t)(p - in->p);
    in->p = p < in->end ? p + 1 : p;
    return true;
}

/* The next part as a string (cut at a NUL), "" when there is none left. The caller frees. */
static inline char *fuzz_string(struct fuzz_input *in, char separator)
{
    const char *p = "";
    size_t len = 0;
    fuzz_part(in, separator, &p, &len);
    char *copy = strndup(p, len);
    fuzz_check(copy);
    return copy;
}

static inline unsigned fuzz_byte(struct fuzz_input *in)
{
    return in->p < in->end ? (unsigned char)*in->p++ : 0;
}
