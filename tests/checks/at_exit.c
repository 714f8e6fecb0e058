/*
 * at_exit.c - linked into programs that are built for a sanitizer or for
 * coverage (--wrap), never into others.
 *
 * Workers and helpers end by _exit(), so that nothing of their parent's is
 * done twice; leaks would not be looked for, nor would counters be written. And
 * a process that cannot be traced cannot look for its own leaks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>

void __lsan_do_leak_check(void) __attribute__((weak));
void __gcov_dump(void) __attribute__((weak));

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

_Noreturn void __wrap__exit(int status)
{
    if (__lsan_do_leak_check != NULL)
        __lsan_do_leak_check();
    if (__gcov_dump != NULL)
        __gcov_dump();
    __real__exit(status);
}

int __wrap_prctl(int option, ...)
{
    unsigned long arg[4];
    va_list ap;

    va_start(ap, option);
    for (size_t i = 0; i < sizeof arg / sizeof arg[0]; i++)
        arg[i] = va_arg(ap, unsigned long);
    va_end(ap);
    if (option == PR_SET_DUMPABLE)
        arg[0] = 1;
    return __real_prctl(option, arg[0], arg[1], arg[2], arg[3]);
}
