/*
 * Tickets: the octets, by a vector that was made elsewhere (Python's hmac), and that the
 * database's functions take what is made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "auth/account/credentials.h"
#include "auth/account/tickets.h"
#include "auth/login_cache.h"
#include "auth/ticket.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "storage/pg/schema.h"
#include "tests/unit/admin_fixture.h"

enum { PID = 4711 };

static void hex_of(const struct mailbox_ticket *t, char out[2 * MAILBOX_TICKET + 1])
{
    sodium_bin2hex(out, 2 * MAILBOX_TICKET + 1, t->octets, sizeof t->octets);
}

static void test_vector(void **state)
{
    static const char wanted[] = "01" "0102030405060708" "1112131415161718" "2122232425262728" "31323334" "4142434445464748"
        "870f46d91648a40915f9e53bcf16265588063fa7a68c8bdd2184ba28e09a830b";
    unsigned char key[TICKET_KEY];
    struct mailbox_ticket t;
    char is[2 * MAILBOX_TICKET + 1];

    (void)state;
    for (unsigned i = 0; i < TICKET_KEY; i++)
        key[i] = (unsigned char)i;
    ticket_make(key, &(struct mailbox_ref){ INT64_C(0x0102030405060708) },
                &(struct mailbox_versions){ INT64_C(0x1112131415161718), INT64_C(0x2122232425262728) }, 0x31323334,
                INT64_C(0x4142434445464748), &t);
    hex_of(&t, is);
    assert_string_equal(is, wanted);
}

/* What the database says of it: was it made with one of its keys for this mailbox? */
static bool is_ticket(const struct mailbox_ticket *t, long long mailbox)
{
    char hex[2 * MAILBOX_TICKET + 1];

    hex_of(t, hex);
    return admin_number("select postern.is_ticket('\\x%s', %lld)::int", hex, mailbox) == 1;
}

static void test_database(void **state)
{
    struct login_cache *cache = login_cache_new(-1);
    struct credentials_source *source = credentials_source_new(auth_conninfo, schema_wanted(), 20000, SQL_COMMIT_ON, NULL, cache, false);
    struct tickets *tickets = tickets_new(source), *late;
    struct mailbox_ticket t, old;
    char hex[2 * MAILBOX_TICKET + 1];

    (void)state;
    assert_true(tickets_make(tickets, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 5, 6 }, PID, &t));
    assert_true(is_ticket(&t, 7));
    assert_false(is_ticket(&t, 8));
    hex_of(&t, hex);
    assert_int_equal(admin_number("select (substr('\\x%s'::bytea, 10, 20) = int8send(5) || int8send(6) || int4send(%d))::int", hex, PID), 1);
    /* Made now, by the database's clock. */
    assert_int_equal(admin_number("select (abs(extract(epoch from clock_timestamp() - postern.ticket_made_at('\\x%s'))) < 60)::int", hex), 1);
    for (size_t i = 0; i < MAILBOX_TICKET; i++) {
        t.octets[i] ^= 1;
        assert_false(is_ticket(&t, 7));
        t.octets[i] ^= 1;
    }

    /* The key before the newest still holds; a helper learns of the new one at its next look. */
    old = t;
    admin_run("select postern.new_ticket_key()");
    assert_true(is_ticket(&old, 7));
    assert_true(tickets_make(tickets, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 0, 0 }, PID, &t));
    assert_true(is_ticket(&t, 7));
    late = tickets_new(source);
    assert_true(tickets_make(late, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 0, 0 }, PID, &t));
    admin_run("select postern.new_ticket_key()");
    assert_false(is_ticket(&old, 7));
    assert_true(is_ticket(&t, 7));

    /* Without a key there is no ticket; with the one that it has a helper goes on when the database is away. */
    admin_run("delete from postern.ticket_key");
    struct tickets *none = tickets_new(source);
    assert_false(tickets_make(none, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 0, 0 }, PID, &t));
    assert_true(tickets_make(late, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 0, 0 }, PID, &t));
    admin_run("select postern.new_ticket_key()");
    assert_true(tickets_make(none, &(struct mailbox_ref){ 7 }, &(struct mailbox_versions){ 0, 0 }, PID, &t));
    tickets_free(&none);
    tickets_free(&late);
    tickets_free(&tickets);
    assert_null(tickets);
    credentials_source_free(&source);
    login_cache_free(&cache);
}

static int setup(void **state)
{
    (void)state;
    secret_init();
    return admin_connect();
}

static int teardown(void **state)
{
    (void)state;
    admin_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_database),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
