/* Error texts: set twice, dropped twice, made of the one before. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/base/mem.h"

static void set_and_set_again(void **state)
{
    char *error = NULL;
    (void)state;

    mem_error(&error, "port %d", 110);
    assert_string_equal(error, "port 110");
    mem_error(&error, "first %s, then %s", error, "more");
    assert_string_equal(error, "first port 110, then more");
    mem_drop(&error);
    assert_null(error);
    mem_drop(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(set_and_set_again) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
