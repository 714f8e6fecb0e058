/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput(): built by clang
 * with libFuzzer (make fuzz), or by any compiler with driver.c, which replays
 * the corpus and some thousand mutations of it (make check). Beside what the
 * sanitizers see, a target checks what must hold for every input.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Once, before the first input. Every target has one. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

/* The input, taken from its front; what is not there reads as 0, or empty. */
static inline uint8_t take_octet(struct span *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return (uint8_t)*in->at++;
}

static inline uint64_t take_number(struct span *in, int octets)
{
    uint64_t v = 0;

    for (int i = 0; i < octets; i++)
        v = v << 8 | take_octet(in);
    return v;
}

static inline struct span take_span(struct span *in, size_t len)
{
    struct span out = { in->at, len < in->len ? len : in->len };

    in->at += out.len;
    in->len -= out.len;
    return out;
}

/* A text behind its length in one octet, or two. */
static inline struct span take_text(struct span *in)
{
    return take_span(in, take_octet(in));
}

static inline struct span take_long_text(struct span *in)
{
    return take_span(in, (size_t)take_number(in, 2));
}

/* A copy on the heap with nothing behind it, so that AddressSanitizer sees the first octet too many. */
static inline struct span exact(struct span in)
{
    char *copy = malloc(in.len > 0 ? in.len : 1);

    MUST(copy != NULL);
    if (in.len > 0)
        memcpy(copy, in.at, in.len);
    return (struct span){ copy, in.len };
}

static inline void exact_free(struct span copy)
{
    free((void *)(uintptr_t)copy.at);
}

/* The same with a NUL behind it, for what is a C string in the code. */
static inline char *exact_string(struct span in)
{
    char *copy = malloc(in.len + 1);

    MUST(copy != NULL);
    if (in.len > 0)
        memcpy(copy, in.at, in.len);
    copy[in.len] = '\0';
    return copy;
}

/* Sizes of the pieces that an input is cut into: from a few octets of it, used again and again. */
struct cuts {
    uint8_t sizes[8];
    unsigned next;
};

static inline struct cuts take_cuts(struct span *in)
{
    struct cuts c = { .next = 0 };

    for (size_t i = 0; i < sizeof c.sizes; i++)
        c.sizes[i] = take_octet(in);
    return c;
}

/* At least one octet, unless there is none. */
static inline struct span cut(struct cuts *c, struct span *in)
{
    size_t n = c->sizes[c->next++ % sizeof c->sizes];

    return take_span(in, n > 0 ? n : 1);
}

#endif
