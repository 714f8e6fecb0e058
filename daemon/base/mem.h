/*
 * mem.h - allocate or die, sizes checked.
 *
 * Whatever a peer can make us allocate is bounded elsewhere, so that running
 * out is the machine's trouble, not an input's: one log line, then abort() and
 * the master replaces the process. None of these returns NULL.
 */
#ifndef POSTERN_BASE_MEM_H
#define POSTERN_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));          /* not zeroed */
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));         /* zeroed */
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed; n * size is checked */
void *mem_resize(void *p, size_t n, size_t size) __attribute__((returns_nonnull)); /* n * size is checked */
char *mem_str(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strn(const char *s, size_t len) __attribute__((malloc, returns_nonnull)); /* len octets and a NUL */
void mem_free(void *p);

/*
 * An error text, by the rules of printf(). Whoever takes a `char **error_r`
 * sets it by this and by nothing else: *error_r is NULL or a text of before,
 * which is freed, so that a function that tries something else after a failure
 * need not know whether there was one. The caller begins with NULL, and frees
 * what is there in the end with mem_drop().
 */
void mem_error(char **error_r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Frees *text and makes it NULL: what is dropped twice is freed once. */
void mem_drop(char **text);

/* For what a library could not allocate: the same end. */
_Noreturn void mem_exhausted(size_t size);

/*
 * ASSERT: a promise of our own code, kept in release builds too. Never for
 * what a stranger can cause, a less trusted process of ours included: those
 * get an error and are dropped.
 */
_Noreturn void mem_assert_failed(const char *what, const char *file, int line);
#define ASSERT(cond) ((cond) ? (void)0 : mem_assert_failed(#cond, __FILE__, __LINE__))

#endif
