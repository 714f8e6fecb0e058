/* cyrus.index: the layouts of its versions, what it shows, and what is no such file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/cyrus.c"
#include "admin/mail/listfile.c"

enum { ROOM = 4096 };

struct made {
    unsigned char octets[ROOM];
    size_t len;
};

static void put(struct made *m, size_t at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        m->octets[at + (size_t)i] = (unsigned char)(n >> (24 - 8 * i));
}

/* An empty index. */
static struct made index_of(uint32_t version, uint32_t start, uint32_t record)
{
    const bool wide = version >= 20;
    struct made m = { .len = start };

    put(&m, 8, version);
    put(&m, 12, start);
    put(&m, 16, record);
    put(&m, wide ? 88 : 28, 1000);                  /* last uid */
    put(&m, wide ? 92 : 44, 1796063130);            /* uidvalidity */
    put(&m, version >= 19 ? 64 : 60, 1);            /* options */
    return m;
}

static void add(struct made *m, uint32_t version, uint32_t record, uint32_t uid, uint32_t seconds, uint32_t flags)
{
    const bool wide = version >= 20;
    const uint64_t nanoseconds = seconds * UINT64_C(1000000000);
    size_t at = m->len;

    m->len += record;
    put(m, at, uid);
    put(m, at + (wide ? 8 : 4), wide ? (uint32_t)(nanoseconds >> 32) : seconds);
    if (wide)
        put(m, at + 12, (uint32_t)nanoseconds);
    put(m, at + (wide ? 36 : 32), flags);
    put(m, 20, m->octets[23] + 1u);
}

static const char *open_made(struct cyrus_index *x, const struct made *m)
{
    int fd = memfd_create("index", MFD_CLOEXEC);
    const char *why;

    assert_int_equal(write(fd, m->octets, m->len), (ssize_t)m->len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    why = cyrus_open(x, fd);
    close(fd);
    return why;
}

static void versions(void **state)
{
    static const struct { uint32_t version, start, record; } all[] = {
        { 6, 76, 60 }, { 10, 96, 88 }, { 12, 128, 96 }, { 13, 128, 104 }, { 17, 160, 112 }, { 19, 160, 112 }, { 20, 192, 144 }, { 17, 200, 120 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct made m = index_of(all[i].version, all[i].start, all[i].record);
        struct cyrus_index x;
        struct cyrus_entry e;
        const char *fault;

        add(&m, all[i].version, all[i].record, 1, 1600000000, 1 << 2);
        add(&m, all[i].version, all[i].record, 7, 1700000000, 0x80000000u);
        add(&m, all[i].version, all[i].record, 8, 1700000001, 1u << 30 | 1 << 3);
        add(&m, all[i].version, all[i].record, 9, 1700000002, 1 << 3 | 1 << 29);
        assert_null(open_made(&x, &m));
        assert_int_equal(x.validity, 1796063130);
        assert_false(x.uid_alone);
        assert_int_equal(cyrus_next(&x, &e, &fault), 1);
        assert_true(e.uid == 1 && e.received == 1600000000 * INT64_C(1000000) && e.deleted && !e.expunged && !e.draft && !e.archived);
        assert_int_equal(cyrus_next(&x, &e, &fault), 1);
        assert_true(e.uid == 7 && e.expunged);
        assert_int_equal(cyrus_next(&x, &e, &fault), 1);
        assert_true(e.uid == 8 && e.expunged && e.draft);
        assert_int_equal(cyrus_next(&x, &e, &fault), 1);
        assert_true(e.uid == 9 && !e.expunged && e.draft && e.archived);
        assert_int_equal(cyrus_next(&x, &e, &fault), 0);
        cyrus_close(&x);
    }
}

static void shown_uidl(const struct made *m, const char *format, const char *wanted)
{
    struct cyrus_index x;
    struct buf uidl = BUF_EMPTY;

    assert_null(cyrus_format_fault(format));
    assert_null(open_made(&x, m));
    cyrus_uidl(&x, 171, format, &uidl);
    assert_int_equal(buf_left(&uidl), strlen(wanted));
    assert_memory_equal(buf_span(&uidl).at, wanted, strlen(wanted));
    buf_free(&uidl);
    cyrus_close(&x);
}

static void uidls(void **state)
{
    struct made m = index_of(17, 160, 112);

    (void)state;
    shown_uidl(&m, "cyrus", "1796063130.171");
    shown_uidl(&m, "uidonly", "171");
    shown_uidl(&m, "dovecot", "000000ab6b0dbf9a");
    shown_uidl(&m, "courier", "1796063130-171");
    put(&m, 60, 2);                     /* a mailbox that was told to keep its old UIDLs */
    shown_uidl(&m, "cyrus", "171");
    shown_uidl(&m, "dovecot", "171");
    assert_non_null(cyrus_format_fault(""));
    assert_non_null(cyrus_format_fault("Cyrus"));
    assert_non_null(cyrus_format_fault("%v.%u"));
}

static void broken(void **state)
{
    struct made good = index_of(17, 160, 112), m;
    struct cyrus_index x;
    struct cyrus_entry e;
    const char *fault;

    (void)state;
    add(&good, 17, 112, 5, 1, 0);
    static const struct { size_t at; uint32_t n; } wrong[] = {
        { 8, 5 }, { 8, 21 }, { 8, 0xffffffff }, { 12, 100 }, { 12, 0xffffffff }, { 16, 100 }, { 16, 0 }, { 20, 2 }, { 20, 0xffffffff }, { 44, 0 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        m = good;
        put(&m, wrong[i].at, wrong[i].n);
        if (open_made(&x, &m) == NULL)
            fail_msg("%zu", i);
        cyrus_close(&x);
    }
    for (size_t len = 0; len < good.len; len += len < 30 ? 1 : 13) {
        m = good;
        m.len = len;
        assert_non_null(open_made(&x, &m));
        cyrus_close(&x);
    }
    m = good;
    add(&m, 17, 112, 5, 1, 0);
    add(&m, 17, 112, 0, 1, 0);
    add(&m, 17, 112, 1001, 1, 0);
    add(&m, 17, 112, 6, 1, 0);
    assert_null(open_made(&x, &m));
    assert_int_equal(cyrus_next(&x, &e, &fault), 1);
    assert_int_equal(cyrus_next(&x, &e, &fault), -1);
    assert_int_equal(cyrus_next(&x, &e, &fault), -1);
    assert_int_equal(cyrus_next(&x, &e, &fault), -1);
    assert_int_equal(cyrus_next(&x, &e, &fault), 1);
    assert_int_equal(e.uid, 6);
    assert_int_equal(cyrus_next(&x, &e, &fault), 0);
    cyrus_close(&x);
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(cyrus_uid_of("1."), 1);
    assert_int_equal(cyrus_uid_of("4294967295."), UINT32_MAX);
    static const char *const none[] = { "", ".", "1", "01.", "0.", "1.x", "4294967296.", "x1.", "-1.", "1..", "cyrus.index" };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(cyrus_uid_of(none[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(versions), cmocka_unit_test(uidls), cmocka_unit_test(broken), cmocka_unit_test(names) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
