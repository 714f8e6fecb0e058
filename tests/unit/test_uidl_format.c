/* Formats of UIDLs: what Dovecot 2.3.19 and 2.4.1 made of them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/uidl_format.c"

static void makes(const char *format, const char *wanted)
{
    const struct uidl_values values = { .uid = 171, .validity = 1796063130, .name = SPAN_OF("17.M1P2.Host,S=8"), .guid = SPAN_OF("0123ABC") };
    struct buf uidl = BUF_EMPTY;
    const char *fault = uidl_format_fault(format);

    if (fault != NULL)
        fail_msg("%s: %s", format, fault);
    uidl_format_make(format, &values, &uidl);
    if (!span_is(buf_span(&uidl), span_str(wanted)))
        fail_msg("%s: %.*s, not %s", format, (int)buf_left(&uidl), buf_span(&uidl).at, wanted);
    buf_free(&uidl);
}

static void letters(void **state)
{
    (void)state;
    makes("%08Xu%08Xv", "000000ab6b0dbf9a");
    makes("%v.%u", "1796063130.171");
    makes("%v-%u", "1796063130-171");
    makes("%f", "17.M1P2.Host,S=8");
    makes("%g", "0123ABC");
    makes("x-%Xu%%%v", "x-ab%1796063130");
    makes("%05u", "00171");
    makes("%02u", "171");               /* zeros are put in front, and nothing is cut */
    makes("%UXu", "ab");                /* from left to right */
    makes("%XUu", "AB");
    makes("%Lf", "17.m1p2.host,s=8");
    makes("%Uf", "17.M1P2.HOST,S=8");
    makes("%Mf", "d88cb5c884784af748771821c28f112e");
}

static void filters(void **state)
{
    (void)state;
    makes("%{uid | hex(8)}%{uidvalidity | hex(8)}", "000000ab6b0dbf9a");
    makes("%{uid|hex(8)}%{ uidvalidity|hex }", "000000ab6b0dbf9a");
    makes("%{uid | hex(1)}", "b");      /* the last digits */
    makes("%{uid | hex( 4 ) | upper}", "00AB");
    makes("%{uidvalidity}.%{uid}", "1796063130.171");
    makes("%{filename | lower}", "17.m1p2.host,s=8");
    makes("%{filename | upper | lower | upper}", "17.M1P2.HOST,S=8");
    makes("%{guid}", "0123ABC");
    makes("%{filename | md5}", "d88cb5c884784af748771821c28f112e");
    makes("%{filename | md5 | hexlify}", "d88cb5c884784af748771821c28f112e");
    makes("%{filename | md5 | hexlify | upper}", "D88CB5C884784AF748771821C28F112E");
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "", "x", "%v", "%%u", "%", "%0", "%08X", "%m", "%u%m", "%5u", "%08f", "%Xg", "%033u", "%099999999999u", "%-5u", "%0.5u", "%Hu", "%Ru", "%XXu",
        "%MXu", "%MMMMMf", "%n", "%u%d", "%{", "%{}", "%{uid", "%{uid |}", "%{uid | }", "%{uid|hex(}", "%{uid|hex()}", "%{uid|hex(x)}", "%{uid|hex(8}", "%{uid|hex(33)}",
        "%{uid|hex(99999999999999999999)}", "%{uid|hex(-8)}", "%{uidx}", "%{user}", "%{md5}", "%{uidvalidity}", "%{uid|sha1}", "%{filename|hex}", "%{filename|md5|hex}",
        "%{filename|md5|md5}", "%{uid | hex(8) | hex(8)}", "%X{uid|hex}", "%08X{uid}", "%08{uid}", "%{uid|lower|lower|lower|lower|lower}", "%{UID}", "%{uid x}", "%{uidvalidity | hex(8)}",
        "%08{filename}",
        "%u%{uid}", "%{uid}%%", "%%%{uid}", "%{uid}%", "a%%{uid}", "%{filename | md5 | upper}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (uidl_format_fault(bad[i]) == NULL)
            fail_msg("%s", bad[i]);
}

static void of_names(void **state)
{
    (void)state;
    assert_true(uidl_format_of_names("%f"));
    assert_true(uidl_format_of_names("x%%%Mf"));
    assert_false(uidl_format_of_names("%g"));
    assert_false(uidl_format_of_names("%f%v"));
    assert_false(uidl_format_of_names("%f%"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(letters), cmocka_unit_test(filters), cmocka_unit_test(refused), cmocka_unit_test(of_names) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
