/* What servers showed of an mbox: UIDLs as real ones gave them, and headers that try to be somebody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "admin/mail/fromline.c"
#include "admin/mail/mbox.c"
#include "admin/mail/mbox_server.c"
#include "admin/mail/received.c"
#include "admin/mail/state.c"
#include "admin/mail/uidl_format.c"

#define SEP "From a@b Thu Jan  1 00:00:10 1970\n"

static int file_of(struct span file)
{
    int fd = memfd_create("mbox", MFD_CLOEXEC);

    assert_int_equal(write(fd, file.at, file.len), file.len);
    return fd;
}

/* The UIDLs of an mbox with spaces in between, "-" for none; behind a bar what is added to each. */
static void check(const char *server, const char *format, struct span file, const char *wanted)
{
    int fd = file_of(file);
    struct mbox_scan *scan = mbox_scan_new(fd, false, no_doubt, NULL);
    struct buf got = BUF_EMPTY;
    struct mbox_seen seen;
    struct mbox_message m;

    mbox_seen_begin(&seen, mbox_server_find(server), format);
    while (mbox_next(scan, &m) == 1) {
        const char *uidl = mbox_seen_message(&seen, fd, m.at, m.end);

        buf_addf(&got, "%s%s", buf_left(&got) > 0 ? " " : "", uidl != NULL ? uidl : "-");
        if (seen.hide.add.len > 0)
            buf_addf(&got, "|%.*s", (int)seen.hide.add.len - 1, seen.hide.add.at);
    }
    assert_string_equal(buf_span(&got).at, wanted);
    buf_free(&got);
    mbox_seen_free(&seen);
    mbox_scan_free(&scan);
    close(fd);
}

static void uids(void **state)
{
    static const struct span plain = SPAN_OF(
        SEP "X-IMAPbase: 1796069955 6 NonJunk\nX-UID: 1    \n\n\n" SEP "x-uid: 4\nX-UID: 9\n\n\n" SEP "X-UID: 4\n\n\n" SEP "A: 1\n\n\n"
        SEP "X-UID: 7\n\n\n" SEP "X-IMAPbase: 5 5\nX-UID: 8x\n\n\n" SEP "X-UID: 4294967296\n\n\n" SEP "\nX-UID: 9\n\n" SEP "X-UID: 11\n\n");

    (void)state;
    check("dovecot", NULL, plain, "000000016b0dda43 000000046b0dda43 - - 000000076b0dda43 - - - 0000000b6b0dda43");
    check("dovecot", "%v.%u", plain, "1796069955.1 1796069955.4 - - 1796069955.7 - - - 1796069955.11");
    /* What is beyond the last uid that UW imap has given came from elsewhere. */
    check("uw", "%v.%u", plain, "6b0dda4300000001|Status:    6b0dda4300000004|Status:    -|Status:    -|Status:    -|Status:    -|Status:  "
          "  -|Status:    -|Status:    -|Status:   ");
    check("uw", NULL, SPAN_OF(SEP "Subject: DON'T DELETE\nX-IMAP: 16 2\n\n\n" SEP "X-UID: 2\nStatus: RO\n\n" ), "-|Status:    0000001000000002|Status: RO");
    check("uw", NULL, SPAN_OF(SEP "A: 1\n\n\n" SEP "X-IMAPbase: 16 2\nX-UID: 2\nStatus: O\n\n"), "-|Status:    -|Status:  O");
    check("dovecot", NULL, SPAN_OF(SEP "X-UID: 1\n\n"), "-");
    check("dovecot", NULL, SPAN_OF(SEP "X-IMAPbase: 0 5\nX-UID: 1\n\n"), "-");
    check("dovecot", NULL, SPAN_OF(SEP "X-IMAPbase: 5\nX-UID: 1\n\n"), "-");
    check("dovecot", NULL, SPAN_OF(SEP "X-IMAPbase:\n 5 5\nX-UID: 1\n\n"), "-");
}

static void md5(void **state)
{
    static const struct span mbox = SPAN_OF(
        SEP "Received: from x by y; Sun, 22 Nov 2026 21:45:20 +0000\n\tfolded\nReceived: from z by x; Sun, 22 Nov 2026 21:45:19 +0000\n"
        "Delivered-To: anna@example.org\nDate: Sun, 22 Nov 2026 21:45:18 +0000\nMessage-ID: <1@example.org>\nSubject: one\n\nbody\n\n"
        SEP "Date: Sun, 22 Nov 2026 21:45:18 +0000\nMessage-Id: <2@example.org>\nSubject: two\n folded\nFrom: b@example.org\n\nno received\n\n"
        SEP "X-Delivery-ID: abc\ndate: Sun, 22 Nov 2026 21:45:18 +0000\n folded\nReceived: by y; Sun, 22 Nov 2026 21:45:20 +0000\n"
        "Message-ID: <3@example.org>\nStatus: RO\n\nabc\n\n"
        SEP "Subject: no body\nMessage-ID: <4@example.org>\n\n\n" SEP "Subject: \xfcmlaut\nDate: x\n\nx\n\n" SEP "Subject: last\n\nx\n");

    (void)state;
    /* Of popa3d 1.0.3 and Dovecot 2.3.19. */
    check("popa3d", NULL, mbox, "023145ed28c24d7b 6a3cb80f35dd4e8a b9101f11d5e20ef7 1987913c1811cd7e 705418d22efbeb67 d98c1dd404b2008f");
    check("dovecot", "%m", mbox, "234997439c110b54c3d889785f863fe5 5e74df53a3d8ced28c128dd0e883fe97 235dc170b474ddae6a9470276848a940"
          " 6cc0eebab868928bb7ff1835a7d1a77a 9dd4e461268c8034f5c8564e155c67a6 d41d8cd98f00b204e9800998ecf8427e");
}

static void fields(void **state)
{
    static const struct span mbox = SPAN_OF(
        SEP "X-UIDL: !N(\"!+#-\"!$0N!!+?n\"!  \nX-UIDL: second\n\n\n" SEP "x-uidl:a\nX-IMAPbase:       17            3\nX-UID: 1\n\n\n" SEP "X-UIDL:\n\n\n"
        SEP "A: 1\n\nX-UIDL: body\n\n" SEP "X-UIDL: a\0b\n\n");

    (void)state;
    check("mailutils", NULL, mbox, "!N(\"!+#-\"!$0N!!+?n\"! a|X-IMAPbase: 17            3 - - -");
    check("qpopper", NULL, SPAN_OF(SEP "X-UIDL: a \n\n\n" SEP "A: 1\n\n"), "a|X-UIDL: a -");
}

static void formats(void **state)
{
    (void)state;
    assert_null(mbox_server_format_fault("%08Xu%08Xv"));
    assert_null(mbox_server_format_fault("%m"));
    assert_non_null(mbox_server_format_fault("%f"));
    assert_non_null(mbox_server_format_fault("%u%g"));
    assert_non_null(mbox_server_format_fault("%{filename | md5}"));
    assert_non_null(mbox_server_format_fault("%v"));
    assert_non_null(mbox_server_format_fault("%m%u"));
    assert_null(mbox_server_find("courier"));
    assert_int_equal(mbox_server_quoting(mbox_server_find("mailutils")), MBOX_UNQUOTE_RD);
    assert_int_equal(mbox_server_quoting(mbox_server_find("uw")), MBOX_PLAIN);
}

static void given(void **state)
{
    static const struct {
        struct span file;
        bool any;
    } files[] = {
        { SPAN_OF(SEP "X-IMAPbase: 5 5\nX-UID: 1\n\n"), true }, { SPAN_OF(SEP "X-IMAP: 5 5\n\n\n" SEP "X-UID: 1\n\n"), true },
        { SPAN_OF(SEP "X-IMAP: 5 5\n\n\n" SEP "A: 1\n\n"), false }, { SPAN_OF(SEP "X-UID: 1\n\n"), false },
        { SPAN_OF(SEP "A: 1\n\nX-IMAPbase: 5 5\nX-UID: 1\n\n"), false }, { SPAN_OF(""), false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        int fd = file_of(files[i].file);

        if (mbox_seen_uids(fd) != files[i].any)
            fail_msg("%zu", i);
        close(fd);
    }
}

/* A header without end is read as far as any goes, and not beyond. */
static void large(void **state)
{
    struct buf file = BUF_EMPTY;

    (void)state;
    buf_add_str(&file, SEP "X-IMAPbase: 5 5\n");
    while (buf_left(&file) < HEADER_MAX - 100)
        buf_add_str(&file, "A: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\n");
    buf_add_str(&file, "X-UID: 1\n\nbody\n");
    check("dovecot", NULL, buf_span(&file), "0000000100000005");
    buf_clear(&file);
    buf_add_str(&file, SEP "X-IMAPbase: 5 5\nX-UID: 1\n");
    while (buf_left(&file) < HEADER_MAX + 2 * HEADER_CHUNK)
        buf_add_str(&file, "A: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\n");
    check("dovecot", NULL, buf_span(&file), "-");
    buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(uids), cmocka_unit_test(md5), cmocka_unit_test(fields), cmocka_unit_test(formats),
                                        cmocka_unit_test(given), cmocka_unit_test(large) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
