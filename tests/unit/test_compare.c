/* Which message is which, by UIDL, digest and what is left of it; and the digests of a message that comes in any pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/compare.c"
#include "admin/mail/likeness.c"

static struct likeness likeness_of(const char *text, size_t len, size_t piece)
{
    struct likeness_hash h;
    struct likeness got;

    likeness_begin(&h);
    for (size_t i = 0; i < len; i += piece)
        likeness_add(&h, (struct span){ text + i, len - i < piece ? len - i : piece });
    likeness_end(&h, &got);
    return got;
}

static void expect_kept(const char *text, const char *kept)
{
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        struct likeness got = likeness_of(text, strlen(text), piece);
        struct likeness want = likeness_of(kept, strlen(kept), strlen(kept) + 1), whole = got;

        content_digest((struct span){ text, strlen(text) }, whole.digest);
        assert_int_equal(got.octets, strlen(text));
        assert_memory_equal(got.digest, whole.digest, CONTENT_DIGEST);
        content_digest((struct span){ kept, strlen(kept) }, want.digest);
        assert_memory_equal(got.kept, want.digest, CONTENT_DIGEST);
    }
}

static void test_fields_left_out(void **state)
{
    (void)state;
    expect_kept("A: 1\r\nStatus: RO\r\nB: 2\r\n\r\nStatus: x\r\n", "A: 1\r\nB: 2\r\n\r\nStatus: x\r\n");
    expect_kept("x-uidl: 1\r\n 2\r\n\t3\r\nA: 1\r\n folded\r\nX-UID: 7\r\n\r\n\r\n", "A: 1\r\n folded\r\n\r\n\r\n");
    expect_kept("Statusx: 1\r\nX-Status : 2\r\nStatu: 3\r\n", "Statusx: 1\r\nX-Status : 2\r\nStatu: 3\r\n");
    expect_kept("a line that is no field and is longer than a name\r\nStatus: 1\r\n", "a line that is no field and is longer than a name\r\n");
    expect_kept("\r\nStatus: body\r\n", "\r\nStatus: body\r\n");
    expect_kept(" first\r\n\r\n", " first\r\n\r\n");
    expect_kept("Status", "Status");
    expect_kept("Status:", "");
    expect_kept("", "");
    expect_kept("X-Mozilla-Status2: 00000000\r\nReturn-Path: <a@b>\r\n", "");
}

/* "uidl text kept": a letter each, or - for none; a text that is ? could not be read. */
static struct compare_side side(const char *words)
{
    static char uidls[256][2];
    struct compare_side s = { .count = 0 };

    s.mails = mem_array(32, sizeof *s.mails);
    for (; *words != '\0'; words += words[3] == ' ' ? 4 : 3) {
        struct compare_mail *m = &s.mails[s.count++];
        unsigned char c = (unsigned char)words[0];

        uidls[c][0] = words[0];
        m->uidl = c == '-' ? NULL : uidls[c];
        m->unread = words[1] == '?';
        m->likeness.octets = (uint64_t)words[1];
        memset(m->likeness.digest, words[1], CONTENT_DIGEST);
        m->has_kept = words[2] != '-';
        memset(m->likeness.kept, words[2], CONTENT_DIGEST);
    }
    return s;
}

/* Of each message here: the number of the one there, from 1, and its flags; 0 where there is none. */
static void expect(const char *here_words, const char *there_words, const int *others, const unsigned *flags)
{
    struct compare_side here = side(here_words), there = side(there_words);

    compare_match(&here, &there);
    compare_rest(&here, &there);
    for (size_t i = 0; i < here.count; i++) {
        const struct compare_mail *m = &here.mails[i];

        assert_int_equal(m->other != NULL ? m->other - there.mails + 1 : 0, others[i]);
        assert_int_equal(m->flags, flags[i]);
        if (m->other != NULL)
            assert_ptr_equal(m->other->other, m);
    }
    mem_free(here.mails);
    mem_free(there.mails);
}

#define EXPECT(here, there, others, ...) expect(here, there, (const int[]) others, (const unsigned[]){ __VA_ARGS__ })
#define SET(...) { __VA_ARGS__ }

static void test_which_is_which(void **state)
{
    (void)state;
    EXPECT("aAa bBb", "aAa bBb", SET(1, 2), 0, 0);
    EXPECT("", "aAa", SET(0), 0);
    /* The UIDL decides, then the digest, each copy once and in order. */
    EXPECT("aAa bBb", "bAa aBb", SET(2, 1), COMPARE_TEXT | COMPARE_OCTETS, COMPARE_TEXT | COMPARE_OCTETS | COMPARE_ORDER);
    EXPECT("aAa bAa cAa", "xAa -Aa bAa", SET(1, 3, 2), COMPARE_UIDL, 0, COMPARE_ORDER);
    EXPECT("aAa bAa", "-Aa", SET(1, 0), 0, 0);
    /* What is left without the fields. */
    EXPECT("aAk bBb", "-Zk -Bb", SET(1, 2), COMPARE_TEXT | COMPARE_FIELDS | COMPARE_OCTETS, 0);
    EXPECT("aAk", "aZk", SET(1), COMPARE_TEXT | COMPARE_FIELDS | COMPARE_OCTETS);
    EXPECT("aA-", "-Zk", SET(0), 0);
    EXPECT("aAx", "bBy", SET(0), 0);
    /* What cannot be read is known by its UIDL alone, and nobody can say how it differs. */
    EXPECT("aAa b?b", "a?a b?b", SET(1, 2), 0, 0);
    EXPECT("a?a b?b", "-?a x?b", SET(0, 0), 0, 0);
}

static void test_order(void **state)
{
    (void)state;
    /* One that went to the end; to the beginning; those between stay. What one side alone has does not count. */
    EXPECT("aAa bBb cCc dDd", "bBb cCc dDd aAa", SET(4, 1, 2, 3), COMPARE_ORDER, 0, 0, 0);
    EXPECT("aAa bBb cCc dDd", "dDd aAa bBb cCc", SET(2, 3, 4, 1), 0, 0, 0, COMPARE_ORDER);
    EXPECT("aAa xXx bBb", "yYy aAa zZz bBb", SET(2, 0, 4), 0, 0, 0);
}

/* Backwards, a hundred thousand times: all but one stand elsewhere. */
static void test_many(void **state)
{
    enum { MANY = 100000 };
    struct compare_side here = { mem_array(MANY, sizeof(struct compare_mail)), MANY };
    struct compare_side there = { mem_array(MANY, sizeof(struct compare_mail)), MANY };
    size_t elsewhere = 0;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        memcpy(here.mails[i].likeness.digest, &i, sizeof i);
        memcpy(there.mails[MANY - 1 - i].likeness.digest, &i, sizeof i);
    }
    compare_match(&here, &there);
    compare_rest(&here, &there);
    for (size_t i = 0; i < MANY; i++) {
        assert_ptr_equal(here.mails[i].other, &there.mails[MANY - 1 - i]);
        elsewhere += here.mails[i].flags == COMPARE_ORDER;
    }
    assert_int_equal(elsewhere, MANY - 1);
    mem_free(here.mails);
    mem_free(there.mails);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_left_out), cmocka_unit_test(test_which_is_which), cmocka_unit_test(test_order),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
