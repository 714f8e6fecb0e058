/* dovecot-uidlist: what is read of it, what is not, and the UIDLs that come of it; its keywords and its configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/doveconf.c"
#include "admin/mail/dovecot.c"
#include "admin/mail/listfile.c"
#include "admin/mail/state.c"
#include "admin/mail/uidl_format.c"

static int file_of(struct span text)
{
    int fd = memfd_create("list", MFD_CLOEXEC);

    assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static const char *open_text(struct dovecot_list *l, struct span text)
{
    int fd = file_of(text);
    const char *why = dovecot_open(l, fd);

    close(fd);
    return why;
}

/* "name uidl order" of each entry, or "line fault". */
static void expect(struct span text, const char *format, const char *wanted)
{
    struct dovecot_list l;
    struct dovecot_entry e;
    struct buf out = BUF_EMPTY;
    const char *fault;
    int got;

    assert_null(open_text(&l, text));
    while ((got = dovecot_next(&l, &e, &fault)) != 0) {
        struct buf uidl = BUF_EMPTY;

        if (got < 0) {
            buf_addf(&out, "%zu %s\n", l.line, fault);
            continue;
        }
        dovecot_uidl(&l, &e, format, &uidl);
        buf_add(&out, e.name.at, e.name.len);
        buf_addf(&out, " %.*s", (int)buf_left(&uidl), buf_span(&uidl).at);
        if (e.order != UINT32_MAX)
            buf_addf(&out, " %u", e.order);
        buf_addf(&out, "\n");
        buf_free(&uidl);
    }
    buf_add(&out, "", 1);
    assert_string_equal(buf_span(&out).at, wanted);
    buf_free(&out);
    dovecot_close(&l);
}

/* What a Dovecot 2.3.19 showed for this list. */
static void as_dovecot_shows_it(void **state)
{
    const struct span text = SPAN_OF("3 V1796063130 N20 Gcd4d560e9abf0d6b5268000083ecc375\n"
                                     "1 W11 :1700000000.M7P1.host\n"
                                     "4 O2 Pkept-uidl :1700000005.M1P1.host\n"
                                     "5 O1 P :1600000000.M9P1.host,S=8\n"
                                     "7 G0123abc W11 :1700000000.M100P1.host:2,S\n"
                                     "9 :1500000000.M1P1.host\n");

    (void)state;
    expect(text, dovecot_format, "1700000000.M7P1.host 000000016b0dbf9a\n1700000005.M1P1.host kept-uidl 2\n"
           "1600000000.M9P1.host,S=8 1600000000.M9P1.host,S=8 1\n1700000000.M100P1.host 000000076b0dbf9a\n1500000000.M1P1.host 000000096b0dbf9a\n");
    expect(text, "%g", "1700000000.M7P1.host 1700000000.M7P1.host\n1700000005.M1P1.host kept-uidl 2\n"
           "1600000000.M9P1.host,S=8 1600000000.M9P1.host,S=8 1\n1700000000.M100P1.host 0123abc\n1500000000.M1P1.host 1500000000.M1P1.host\n");
    expect(SPAN_OF("1 1275660208 25022\n7 a.b\n"), "%v.%u", "a.b 1275660208.7\n");
    expect(SPAN_OF("3 V1"), "%u", "");
}

static void broken_lines(void **state)
{
    struct dovecot_list l;

    (void)state;
    expect(SPAN_OF("3 N5 V7 X\n1 :a\n1 :b\n0 :c\nx :d\n2 O :e\n3 P\n4 :\n5 W1\n4294967296 :f\n\n8 :g/../h\n"
                   "9 :i\0j\n10  W1   :k :l\n11 :whole.nam"), "%u",
           "a 1\n3 has a uid that does not rise\n4 does not begin with a uid\n5 does not begin with a uid\n6 has an O without a number\n"
           "7 has no name of a file\n8 has no name of a file\n9 has no name of a file\n10 does not begin with a uid\n11 does not begin with a uid\n"
           "12 has a name that no file of a Maildir has\n13 has a name that no file of a Maildir has\nk  10\n15 is not complete\n");
    static const struct span none[] = { SPAN_OF(""), SPAN_OF("\n"), SPAN_OF("2 V1\n1 :a\n"), SPAN_OF("3\n1 :a\n"), SPAN_OF("3 V0 N1\n"),
                                        SPAN_OF("3 V N1\n"), SPAN_OF("3 Vx\n"), SPAN_OF("3 V4294967296\n"), SPAN_OF("1\n"), SPAN_OF("1 x 2\n") };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_non_null(open_text(&l, none[i]));
        dovecot_close(&l);
    }
}

static void keywords(void **state)
{
    const struct span text = SPAN_OF("0 $Forwarded\n1 $POP3Deleted\nx y\n\n27 late\n4294967296 large\n2 half");

    (void)state;
    assert_int_equal(dovecot_letter(text, "$POP3Deleted"), 'b');
    assert_int_equal(dovecot_letter(text, "$pop3deleted"), 'b');
    assert_int_equal(dovecot_letter(text, "late"), -1);
    assert_int_equal(dovecot_letter(text, "large"), 0);
    assert_int_equal(dovecot_letter(text, "half"), 0);
    assert_int_equal(dovecot_letter(SPAN_OF(""), "x"), 0);
    assert_true(dovecot_has_letter("1.b.host:2,Sb", 'b'));
    assert_false(dovecot_has_letter("1.b.host:2,Sa", 'b'));
    assert_false(dovecot_has_letter("1.b.host", 'b'));
}

static const char *conf_of(struct span text, struct doveconf *c)
{
    int fd = file_of(text);
    const char *why = doveconf_read(fd, c);

    close(fd);
    return why;
}

static void configurations(void **state)
{
    struct doveconf c;

    (void)state;
    assert_null(conf_of(SPAN_OF("# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n# Hostname: vm\nmail_location = maildir:~/Maildir\n"
                                "pop3_uidl_format = %v.%u\nnamespace inbox {\n  inbox = yes\n  location = \n  mailbox \"Sent Messages\" {\n    special_use = \\Sent\n"
                                "    pop3_uidl_format = %u\n  }\n}\nssl_key = # hidden, use -P to show it\n"), &c));
    assert_string_equal(c.uidl_format, "%v.%u");
    assert_null(c.deleted_flag);
    assert_false(c.reuse_xuidl);
    assert_false(c.elsewhere);
    doveconf_free(&c);
    assert_null(conf_of(SPAN_OF("mail_location = maildir:~/Maildir:CONTROL=/var/c/%u\r\nprotocol imap {\n  pop3_uidl_format = %g\n}\nprotocol pop3 {\n"
                                "  pop3_deleted_flag = $POP3Deleted\n  pop3_uidl_format = \"%{uid | hex(8)}\\\"\"\n  pop3_reuse_xuidl = yes\n}\n"), &c));
    assert_string_equal(c.uidl_format, "%{uid | hex(8)}\"");
    assert_string_equal(c.deleted_flag, "$POP3Deleted");
    assert_true(c.reuse_xuidl);
    assert_true(c.elsewhere);
    doveconf_free(&c);
    assert_null(conf_of(SPAN_OF("mail_control_path = ~/c\npop3_deleted_flag =\npop3_uidl_format = %u"), &c));
    assert_true(c.elsewhere && c.deleted_flag == NULL);
    doveconf_free(&c);
    static const struct span none[] = { SPAN_OF(""), SPAN_OF("# nothing\n"), SPAN_OF("%08Xu%08Xv\n"), SPAN_OF("a = b\n}\n"), SPAN_OF("protocol pop3 {\n  a = b\n"),
                                        SPAN_OF("a = b\n\0"), SPAN_OF("root:x:0:0:root:/root:/bin/bash\n") };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        if (conf_of(none[i], &c) == NULL)
            fail_msg("%s", none[i].at);
        doveconf_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_dovecot_shows_it), cmocka_unit_test(broken_lines), cmocka_unit_test(keywords),
                                        cmocka_unit_test(configurations) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
