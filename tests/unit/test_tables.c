/* Tables that operators write, and files in which other servers keep passwords: each row, and what is wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin/csv.c"
#include "admin/passwd.c"
#include "daemon/base/buf.h"

static char *text_of(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);

    memcpy(copy, text, len);
    return copy;
}

/* "2:a|b;4!fault", or the fault of the whole. */
static void shown_csv(const char *text, size_t len, struct buf *out)
{
    const char *error;
    struct csv *c = csv_parse(text_of(text, len), len, &error);

    buf_clear(out);
    if (c == NULL) {
        buf_add_str(out, error);
        return;
    }
    for (size_t i = 0; i < c->column_count; i++)
        buf_addf(out, "%s%s", i > 0 ? "|" : "", c->columns[i]);
    for (size_t i = 0; i < c->count; i++) {
        buf_addf(out, ";%zu%s", c->rows[i].line, c->rows[i].fault != NULL ? "!" : ":");
        for (size_t k = 0; c->rows[i].fault == NULL && k < c->column_count; k++)
            buf_addf(out, "%s%s", k > 0 ? "|" : "", c->rows[i].fields[k]);
    }
    csv_free(&c);
}

static void check_csv(const char *text, const char *wanted)
{
    struct buf out = BUF_EMPTY;

    shown_csv(text, strlen(text), &out);
    assert_string_equal(buf_span(&out).at, wanted);
    buf_free(&out);
}

static void test_csv(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    check_csv("a,b\n1,2\n3,4\n", "a|b;2:1|2;3:3|4");
    check_csv("a,b\r\n1,2\r\n3,4", "a|b;2:1|2;3:3|4");
    check_csv("\xEF\xBB\xBF A ;\"B;c\"\n1,2;3\n", "a|b;c;2:1,2|3");
    check_csv("a\tb,c\n\"1\t\"\t\"\"\n", "a|b,c;2:1\t|");
    check_csv("a,b\n\"x\"\"y\"\"\",\"\"\"\"\n", "a|b;2:x\"y\"|\"");
    check_csv("a,b\n,\n x , y\n", "a|b;2:|;3: x | y");
    check_csv("a,b\nx\"y,z\"\n", "a|b;2:x\"y|z\"");
    check_csv("a,b\n\n#1,2\n\r\n3,4\n", "a|b;5:3|4");
    check_csv("# of tonight\n\na\n1\n", "a;4:1");
    /* A quote that was forgotten spoils one row. */
    check_csv("a,b\n\"1,2\n3,4\n", "a|b;2!;3:3|4");
    check_csv("a,b\n\"1\"x,2\n\"1\" ,2\n3,4\n", "a|b;2!;3!;4:3|4");
    check_csv("a,b\n1\n1,2,3\n1,2\n1", "a|b;2!;3!;4:1|2;5!");
    check_csv("", "it has no line that names the columns");
    check_csv("#a\n\n", "it has no line that names the columns");
    check_csv("\"a\n", "a quote is not closed in this line");
    shown_csv("a,b\n1\0,2\n3,4\n", 13, &out);
    assert_string_equal(buf_span(&out).at, "a|b;2!;3:3|4");
    shown_csv("a\0\n", 3, &out);
    assert_non_null(strstr(buf_span(&out).at, "NUL"));
    buf_free(&out);
}

/* "2:name|secret", with = in place of : where it is a password; 4! where there is a fault. */
static void check_passwd(enum passwd_format format, const char *text, size_t len, const char *wanted)
{
    struct buf out = BUF_EMPTY;
    const char *error;
    struct passwd *p = passwd_parse(format, text_of(text, len), len, &error);

    if (p == NULL)
        buf_add_str(&out, error);
    for (size_t i = 0; p != NULL && i < p->count; i++) {
        const struct passwd_entry *e = &p->entries[i];

        buf_addf(&out, "%s%zu%s", i > 0 ? ";" : "", e->line, e->fault != NULL ? "!" : e->plain ? "=" : ":");
        if (e->fault == NULL)
            buf_addf(&out, "%s|%s", e->name, e->secret);
    }
    assert_string_equal(buf_span(&out).at, wanted);
    buf_free(&out);
    if (p != NULL)
        passwd_free(&p);
}

#define CHECK_PASSWD(format, text, wanted) check_passwd(format, text, sizeof text - 1, wanted)

static void test_passwd(void **state)
{
    (void)state;
    CHECK_PASSWD(PASSWD_DOVECOT, "a@b:{SSHA}x:1:2::/h::\n#c:d\n\nb:y\r\nc:\n:z\nno\nd\0:x\n\0\n",
                 "1:a@b|{SSHA}x;4:b|y;5!;6!;7!;8!;9!");
    CHECK_PASSWD(PASSWD_SHADOW, "a:$6$x$y:1::::::\nb:!:1::::::\nc::1::::::", "1:a|$6$x$y;2:b|!;3!");
    CHECK_PASSWD(PASSWD_USERDB,
                 "a\tuid=1|systempw=x|home=/h\nb\tsystempw=x|pop3pw=y|z=1\nc\thmac-md5pw=0\nd\tuid=1\ne systempw=x\n"
                 "f\txsystempw=x|home=systempw=y\n",
                 "1:a|x;2:b|y;3!;4!;5!;6!");
    CHECK_PASSWD(PASSWD_CSV, "Address,hash,password\na,h,\nb,,p\nc,h,p\nd,,\n,h,\ne\n", "2:a|h;3=b|p;4!;5!;6!;7!");
    CHECK_PASSWD(PASSWD_CSV, "user;password\na;p\n", "2=a|p");
    CHECK_PASSWD(PASSWD_CSV, "hash\nh\n",
                 "its first line must name the columns, \"address\" and \"hash\" or \"password\" among them");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_csv), cmocka_unit_test(test_passwd) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
