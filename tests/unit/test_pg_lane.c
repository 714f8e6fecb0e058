/*
 * Lanes against a server that is played here, message by message: one that
 * goes away between any two of them, that is of another schema, or whose
 * answers are not what the statements declare. What a real one does is in
 * test_drop.c and test_drop_lost.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/statements.h"
#include "storage/pg/pg_impl.h"
#include "storage/pg/schema.h"

enum { LANES_MAX = 3, LARGE = 4 << 20 };

static char dir[] = "/tmp/postern-test-lane-XXXXXX";
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static int listener = -1;
static struct loop *loop;
static struct pg *pg;

/* ---- the loop */

static void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void turn(void)
{
    struct timer *t = timer_new(loop, stop_loop, NULL);
    timer_set(t, 1);
    loop_run(loop);
    timer_free(&t);
}

/* Until it is so, which is seen once; what takes so many turns of a millisecond does not come. */
#define TURN_UNTIL(condition) \
    for (int turns_ = 0; !(condition); turns_++) { \
        if (turns_ == 15000) \
            fail_msg("never: %s", #condition); \
        turn(); \
    }

/* ---- messages of the server */

static void put16(struct buf *out, int value)
{
    uint16_t v = htons((uint16_t)value);
    buf_add(out, &v, sizeof v);
}

static void put32(struct buf *out, uint32_t value)
{
    value = htonl(value);
    buf_add(out, &value, sizeof value);
}

static void put_message(struct buf *out, char type, const void *data, size_t len)
{
    buf_add(out, &type, 1);
    put32(out, (uint32_t)len + 4);
    buf_add(out, data, len);
}

static void put_ready(struct buf *out)
{
    put_message(out, 'Z', "I", 1);
}

/* Columns of one type each, and a row of them; value NULL: no row. */
static void put_row(struct buf *out, int columns, Oid type, const void *value, size_t len)
{
    struct buf names = BUF_EMPTY, row = BUF_EMPTY;

    put16(&names, columns);
    put16(&row, columns);
    for (int i = 0; i < columns; i++) {
        buf_add(&names, "c", 2);
        put32(&names, 0);
        put16(&names, 0);
        put32(&names, type);
        put16(&names, (int)len);
        put32(&names, UINT32_MAX);
        put16(&names, 1);
        put32(&row, (uint32_t)len);
        if (value != NULL)
            buf_add(&row, value, len);
    }
    put_message(out, '1', "", 0);
    put_message(out, '2', "", 0);
    put_message(out, 'T', names.data, buf_left(&names));
    if (value != NULL)
        put_message(out, 'D', row.data, buf_left(&row));
    put_message(out, 'C', "SELECT 1", sizeof "SELECT 1");
    buf_free(&names);
    buf_free(&row);
}

static void put_error(struct buf *out, const char *sqlstate)
{
    struct buf fields = BUF_EMPTY;

    buf_add(&fields, "SERROR", sizeof "SERROR");
    if (sqlstate != NULL) {
        buf_add(&fields, "C", 1);
        buf_add(&fields, sqlstate, strlen(sqlstate) + 1);
    }
    buf_add(&fields, "Mso it is", sizeof "Mso it is");
    buf_add(&fields, "", 1);
    put_message(out, 'E', fields.data, buf_left(&fields));
    buf_free(&fields);
}

static void put_listening(struct buf *out)
{
    put_message(out, '1', "", 0);
    put_message(out, '2', "", 0);
    put_message(out, 'n', "", 0);
    put_message(out, 'C', "LISTEN", sizeof "LISTEN");
    put_ready(out);
}

static void say(int fd, struct buf *out)
{
    struct span all = buf_span(out);
    assert_int_equal(send(fd, all.at, all.len, MSG_NOSIGNAL), all.len);
    buf_free(out);
}

/* ---- and what it hears */

static void hear(int fd, void *out, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = -1;
        TURN_UNTIL((n = recv(fd, (char *)out + done, len - done, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

static char *hear_body(int fd)
{
    uint32_t len;
    hear(fd, &len, sizeof len);
    len = ntohl(len) - 4;
    char *body = mem_zalloc(len + 1);
    hear(fd, body, len);
    return body;
}

/* Up to the end of a question; the text of the last statement that is parsed goes to `sql`. */
static void hear_question(int fd, char *sql, size_t size)
{
    for (char type = 0; type != 'S';) {
        hear(fd, &type, 1);
        char *body = hear_body(fd);
        if (type == 'P' && sql != NULL)     /* behind an empty name */
            snprintf(sql, size, "%s", body + 1);
        mem_free(body);
    }
}

/* The next lane that connects: its server is ready for it. What says another number here than the backend says itself is a pooler. */
static int greet(void)
{
    struct buf out = BUF_EMPTY, key = BUF_EMPTY;
    int fd;

    TURN_UNTIL((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    mem_free(hear_body(fd));
    put_message(&out, 'R', "\0\0\0\0", 4);
    put32(&key, (uint32_t)fd + 1000);
    put32(&key, 0);
    put_message(&out, 'K', key.data, buf_left(&key));
    put_ready(&out);
    say(fd, &out);
    buf_free(&key);
    return fd;
}

enum { NO_VERSION = -1 };   /* not even a row */

static const char *mark;    /* what the connection has from before */
static const char *identity = "7/00000001";    /* empty: a standby */

/* The mark, what it is from now on, and the number of the backend: here that of its descriptor. */
static void put_mark(struct buf *out, int fd)
{
    struct buf names = BUF_EMPTY, row = BUF_EMPTY;
    char pid[16];
    const char *const values[] = { mark != NULL ? mark : "", "marked", pid };

    snprintf(pid, sizeof pid, "%d", fd);
    put16(&names, 3);
    put16(&row, 3);
    for (size_t i = 0; i < 3; i++) {
        buf_add(&names, "c", 2);
        put32(&names, 0);
        put16(&names, 0);
        put32(&names, 25);
        put16(&names, -1);
        put32(&names, UINT32_MAX);
        put16(&names, 0);
        put32(&row, (uint32_t)strlen(values[i]));
        buf_add(&row, values[i], strlen(values[i]));
    }
    put_message(out, '1', "", 0);
    put_message(out, '2', "", 0);
    put_message(out, 'T', names.data, buf_left(&names));
    put_message(out, 'D', row.data, buf_left(&row));
    put_message(out, 'C', "SELECT 1", sizeof "SELECT 1");
    buf_free(&names);
    buf_free(&row);
}

static void answer_setup(int fd, int version)
{
    struct buf out = BUF_EMPTY;
    uint32_t raw = htonl((uint32_t)version);

    hear_question(fd, NULL, 0);
    put_row(&out, 1, 25, "1ms", 3);
    put_mark(&out, fd);
    put_row(&out, 1, PG_INT4, version != NO_VERSION ? &raw : NULL, sizeof raw);
    put_row(&out, 1, 25, identity, strlen(identity));
    put_ready(&out);
    say(fd, &out);
}

static int serve(void)
{
    int fd = greet();
    answer_setup(fd, schema_wanted());
    return fd;
}

/* ---- who asks */

static unsigned decisions, wrong_schemas, notifications;

static void lost(void *owner)
{
    (void)owner;
}

static void decided(void *owner)
{
    (void)owner;
    decisions++;
}

static void notified(void *owner, const char *channel, const char *text, int pid)
{
    (void)owner;
    assert_string_equal(channel, PG_ASK_CHANNEL);
    assert_string_equal(text, "hello");
    assert_int_equal(pid, 7);
    notifications++;
}

static void wrong_schema(void *owner, const char *text)
{
    (void)owner;
    assert_non_null(text);
    wrong_schemas++;
}

static const struct pg_events deaf = { lost, decided, NULL, wrong_schema };
static const struct pg_events hearing = { lost, decided, notified, wrong_schema };

static bool quick_wanted;

static void start(size_t lanes, const struct pg_events *events, const char *more)
{
    char conninfo[200];
    struct pg_ref none;

    /* Who tried to connect to the end of the test before has gone. */
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(fd);
    snprintf(conninfo, sizeof conninfo, "host=%s port=5432 user=u dbname=d sslmode=disable gssencmode=disable %s", dir, more);
    decisions = wrong_schemas = notifications = 0;
    pg = pg_new(loop, conninfo, &maildrop_statements, &(struct pg_wants){ lanes, 1, 20, SQL_COMMIT_ON, 0, quick_wanted }, events, NULL);
    pg_serve_one(pg);
    /* It connects where somebody is there whom to connect for. */
    assert_int_equal(pg_bind(pg, &none), PG_WAIT);
}

struct answer {
    bool answered;
    enum db_status status;
    bool unconfirmed;
};

static void answered(void *arg, enum db_status status, PGresult *res)
{
    assert_false(((struct answer *)arg)->answered);
    assert_true((status == DB_OK) == (res != NULL));
    *(struct answer *)arg = (struct answer){ true, status, pg_unconfirmed(pg) };
    PQclear(res);
}

static void ask_close(struct pg_ref ref, struct answer *a)
{
    struct pg_args args = PG_ARGS_EMPTY;

    *a = (struct answer){ false, DB_OK, false };
    pg_arg_int8(&args, 1);
    pg_ask(pg, ref, PG_CLOSE, &args, answered, a);
    assert_false(a->answered);
}

/* More than a socket takes at once. */
static void ask_large(struct pg_ref ref, struct answer *a)
{
    struct pg_args args = PG_ARGS_EMPTY;
    char *text = mem_zalloc(LARGE);

    *a = (struct answer){ false, DB_OK, false };
    pg_arg_bytes(&args, SPAN_OF("postern_reply_0123456789abcdef"));
    pg_arg_bytes(&args, (struct span){ text, LARGE });
    pg_ask(pg, ref, PG_ANSWER, &args, answered, a);
    mem_free(text);
}

static void put_true(struct buf *out)
{
    put_row(out, 1, PG_BOOL, "\1", 1);
    put_ready(out);
}

static struct pg_ref bound(void)
{
    struct pg_ref ref;
    TURN_UNTIL(pg_bind(pg, &ref) == PG_BOUND);
    return ref;
}

/* With any fault the lane goes on, and the next question is answered as ever. */
static void expect_fine(int fd, struct pg_ref ref)
{
    struct buf out = BUF_EMPTY;
    struct answer a;

    assert_true(pg_alive(ref));
    ask_close(ref, &a);
    hear_question(fd, NULL, 0);
    put_true(&out);
    say(fd, &out);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, DB_OK);
}

static void expect_answer(int fd, struct pg_ref ref, struct buf *out, enum db_status wanted)
{
    struct answer a;

    ask_close(ref, &a);
    hear_question(fd, NULL, 0);
    put_ready(out);
    say(fd, out);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, wanted);
}

static int set_up(void **state)
{
    (void)state;
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    loop = loop_new();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || mkdtemp(dir) == NULL)
        return -1;
    snprintf(place.sun_path, sizeof place.sun_path, "%s/.s.PGSQL.5432", dir);
    return bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 16) != 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(listener);
    unlink(place.sun_path);
    loop_free(&loop);
    return rmdir(dir);
}

/* ---- set-up */

/* The server goes away behind each step of the set-up: nobody is bound to such a lane, and the next attempt is a whole one. */
static void gone_before_it_is_up(void **state)
{
    struct pg_ref ref;

    (void)state;
    start(1, &deaf, "");
    assert_int_equal(pg_bind(pg, &ref), PG_WAIT);
    close(greet());
    TURN_UNTIL(pg_bind(pg, &ref) == PG_AWAY);
    int fd = greet();
    hear_question(fd, NULL, 0);
    close(fd);
    fd = greet();
    assert_int_equal(pg_bind(pg, &ref), PG_AWAY);
    assert_int_equal(pg_lanes_up(pg), 0);
    answer_setup(fd, schema_wanted());
    expect_fine(fd, bound());
    assert_int_equal(wrong_schemas, 0);
    close(fd);
    pg_free(&pg);
}

/* Of another release: each version is told once, however often it is found, and the lane comes up when it is mended. */
static void another_schema(void **state)
{
    const int versions[] = { schema_wanted() - 1, schema_wanted() - 1, schema_wanted() + 1, NO_VERSION, 0 };
    const unsigned told[] = { 1, 1, 2, 3, 3 };

    (void)state;
    start(1, &deaf, "");
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct pg_ref ref;
        unsigned before = decisions;
        int fd = greet();
        answer_setup(fd, versions[i]);
        TURN_UNTIL(decisions > before);
        assert_int_equal(pg_bind(pg, &ref), PG_WRONG);
        assert_int_equal(wrong_schemas, told[i]);
        close(fd);
    }
    int fd = serve();
    expect_fine(fd, bound());
    close(fd);
    pg_free(&pg);
}

/* A pooler gives what another lane has: not used, and asked for again. */
static void marked_connection(void **state)
{
    struct pg_ref ref;

    (void)state;
    start(1, &deaf, "");
    int fd = greet();
    mark = "marked";
    answer_setup(fd, schema_wanted());
    mark = NULL;
    TURN_UNTIL(decisions > 0);
    assert_int_equal(pg_bind(pg, &ref), PG_AWAY);
    assert_int_equal(wrong_schemas, 0);
    close(fd);
    fd = greet();
    mark = "";                  /* as after DISCARD ALL */
    answer_setup(fd, schema_wanted());
    mark = NULL;
    expect_fine(fd, bound());
    close(fd);
    pg_free(&pg);
}

/* Not used, and asked for again; another identity is another number; one of before, or of others, is not used. */
static void standby(void **state)
{
    struct pg_ref ref;

    (void)state;
    start(1, &deaf, "");
    int fd = greet();
    identity = "";
    answer_setup(fd, schema_wanted());
    TURN_UNTIL(decisions > 0);
    assert_int_equal(pg_bind(pg, &ref), PG_AWAY);
    assert_int_equal(wrong_schemas, 0);
    close(fd);
    static const struct { const char *identity; uint64_t number; } cases[] = {
        { "7/00000001", 1 }, { "7/00000001", 1 }, { "7/00000002", 2 }, { "7/00000001", 0 }, { "8/00000009", 0 },
        { "no name", 0 }, { "7/00000003", 3 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        identity = cases[i].identity;
        decisions = 0;
        fd = serve();
        if (cases[i].number == 0) {
            TURN_UNTIL(decisions > 0);
            assert_int_equal(pg_bind(pg, &ref), PG_AWAY);
            close(fd);
            continue;
        }
        ref = bound();
        assert_int_equal(pg_server(ref), cases[i].number);
        close(fd);
        TURN_UNTIL(!pg_alive(ref));
        assert_int_equal(pg_server(ref), 0);
    }
    pg_free(&pg);
    identity = "7/00000001";
    assert_true(primary_share());
}

/* Another process meets a newer primary: the answer of this one does not count any more, and its connection ends. */
static void replaced(void **state)
{
    struct answer a;

    (void)state;
    start(1, &deaf, "");
    int old = serve();
    struct pg_ref ref = bound();
    ask_close(ref, &a);
    hear_question(old, NULL, 0);
    assert_int_equal(primary_meet((struct primary_id){ ref.lane->primary.cluster, 2 }, clock_ms()), PRIMARY_NEW);
    struct buf out = BUF_EMPTY;
    put_row(&out, 1, PG_BOOL, "\1", 1);
    put_ready(&out);
    say(old, &out);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, DB_LOST);
    TURN_UNTIL(!pg_alive(ref));
    close(old);
    /* Not asked at all. */
    identity = "7/00000002";
    int fd = serve();
    ref = bound();
    assert_int_equal(primary_meet((struct primary_id){ ref.lane->primary.cluster, 3 }, clock_ms()), PRIMARY_NEW);
    ask_close(ref, &a);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, DB_LOST);
    char octet;
    hear(fd, &octet, 1);
    assert_int_equal(octet, 'X');
    close(fd);
    pg_free(&pg);
    identity = "7/00000001";
    assert_true(primary_share());
}

/* A set-up that is refused says nothing of the schema, unless it is the schema that is not there. */
static void refused_set_up(void **state)
{
    static const struct { bool at_version; const char *sqlstate; enum pg_bound wanted; } cases[] = {
        { false, "22023", PG_AWAY }, { false, "42883", PG_AWAY }, { true, "42501", PG_AWAY },
        { true, "3F000", PG_WRONG }, { true, "42P01", PG_WRONG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = BUF_EMPTY;
        struct pg_ref ref;

        start(1, &deaf, "");
        int fd = greet();
        hear_question(fd, NULL, 0);
        for (int before = 0; before < 2 && cases[i].at_version; before++)
            put_row(&out, 1, 25, "1ms", before == 0 ? 3 : 0);
        put_error(&out, cases[i].sqlstate);
        put_ready(&out);
        say(fd, &out);
        TURN_UNTIL(decisions > 0);
        assert_int_equal(pg_bind(pg, &ref), cases[i].wanted);
        assert_int_equal(wrong_schemas, cases[i].wanted == PG_WRONG);
        close(fd);
        pg_free(&pg);
    }
}

/* connect_timeout=0 is libpq's word for none, and not an attempt that has failed before it began. */
static void no_connect_timeout(void **state)
{
    (void)state;
    start(1, &deaf, "connect_timeout=0");
    int fd = greet();
    for (int i = 0; i < 50; i++)
        turn();
    answer_setup(fd, schema_wanted());
    expect_fine(fd, bound());
    close(fd);
    pg_free(&pg);
}

/* ---- answers */

/* A function was replaced by one with other columns: its caller hears of it, and everybody else goes on. */
static void other_columns(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    struct pg_ref ref = bound();
    put_row(&out, 2, PG_BOOL, "\1", 1);
    expect_answer(fd, ref, &out, DB_BUG);
    put_row(&out, 1, PG_INT4, "\0\0\0\1", 4);
    expect_answer(fd, ref, &out, DB_BUG);
    /* What the end of the transaction adds changes nothing of that. */
    put_row(&out, 1, PG_INT4, "\0\0\0\1", 4);
    put_error(&out, "40001");
    expect_answer(fd, ref, &out, DB_BUG);
    expect_fine(fd, ref);
    close(fd);
    pg_free(&pg);
}

/* Rows, and then an error at the commit: it is the error that counts. An error without a code is over in a moment. */
static void errors(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    struct pg_ref ref = bound();
    put_row(&out, 1, PG_BOOL, "\1", 1);
    put_error(&out, "40001");
    expect_answer(fd, ref, &out, DB_RETRY);
    put_error(&out, NULL);
    expect_answer(fd, ref, &out, DB_RETRY);
    put_error(&out, "42883");
    expect_answer(fd, ref, &out, DB_BUG);
    put_error(&out, "PN423");
    expect_answer(fd, ref, &out, DB_LOST);
    expect_fine(fd, ref);
    close(fd);
    pg_free(&pg);
}

/* The end of an answer that never began must not pass for one. */
static void put_warning(struct buf *out, const char *function)
{
    struct buf fields = BUF_EMPTY;

    buf_addf(&fields, "SWARNUNG%cVWARNING%cC01000%cMin words of another language%cR%s%c%c", 0, 0, 0, 0, function, 0, 0);
    put_message(out, 'N', fields.data, buf_left(&fields));
    buf_free(&fields);
}

/* The server warns between the rows and the Sync, and it is told of that question and of no other. */
static void unconfirmed(void **state)
{
    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    struct pg_ref ref = bound();
    struct answer a[3];
    struct buf out = BUF_EMPTY;

    for (int i = 0; i < 3; i++)
        ask_close(ref, &a[i]);
    for (int i = 0; i < 3; i++) {
        hear_question(fd, NULL, 0);
        put_row(&out, 1, PG_BOOL, "\1", 1);
        put_warning(&out, i == 1 ? "SyncRepWaitForLSN" : "errfinish");
        put_ready(&out);
    }
    say(fd, &out);
    TURN_UNTIL(a[2].answered);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].status, DB_OK);
        assert_int_equal(a[i].unconfirmed, i == 1);
    }
    pg_unbind(ref);
    pg_free(&pg);
    close(fd);
}

static void no_answer(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    expect_answer(fd, bound(), &out, DB_BUG);
    close(fd);
    pg_free(&pg);
}

/* What is not PostgreSQL's protocol: the lane is given up, and what it was asked counts as lost. */
static void not_the_protocol(void **state)
{
    struct buf out = BUF_EMPTY;
    struct answer a;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    struct pg_ref ref = bound();
    ask_close(ref, &a);
    hear_question(fd, NULL, 0);
    buf_add(&out, "C\x7f\xff\xff\xff", 5);    /* a tag of two gigabytes */
    say(fd, &out);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, DB_LOST);
    assert_false(pg_alive(ref));
    assert_int_equal(pg_backend_pid(ref), 0);
    close(fd);
    pg_free(&pg);
}

/* The server goes away, or says no more, while the end of a question is still here. */
static void gone_before_all_was_sent(void **state)
{
    static char heard[256 * 1024];

    (void)state;
    for (int half = 0; half < 2; half++) {
        struct answer a;

        start(1, &deaf, "");
        int fd = serve();
        struct pg_ref ref = bound();
        ask_large(ref, &a);
        turn();
        if (half) {
            shutdown(fd, SHUT_WR);
            assert_true(recv(fd, heard, sizeof heard, MSG_DONTWAIT) > 0);
        } else {
            close(fd);
        }
        TURN_UNTIL(a.answered);
        assert_int_equal(a.status, DB_LOST);
        assert_false(pg_alive(ref));
        if (half)
            close(fd);
        pg_free(&pg);
    }
}

/* A lane that is given up gives no answer any more, though one came; and it takes no further session. */
static void given_up(void **state)
{
    struct buf out = BUF_EMPTY;
    struct answer a, behind;
    struct pg_ref other;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    struct pg_ref ref = bound();
    assert_int_equal(pg_backend_pid(ref), fd);
    ask_close(ref, &a);
    hear_question(fd, NULL, 0);
    put_true(&out);
    say(fd, &out);
    pg_break(ref, "a test");
    pg_break(ref, "and again");
    assert_false(pg_alive(ref));
    assert_int_equal(pg_lanes_up(pg), 0);
    assert_false(pg_wait(pg, 1));
    assert_int_equal(pg_bind(pg, &other), PG_AWAY);
    assert_false(pg_keep_alone(pg, ref));
    ask_close(ref, &behind);
    TURN_UNTIL(behind.answered);
    assert_true(a.answered);
    assert_int_equal(a.status, DB_LOST);
    assert_int_equal(behind.status, DB_LOST);
    close(fd);
    pg_free(&pg);
}

/* ---- several lanes */

static void serve_lanes(int fds[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        fds[i] = serve();
    TURN_UNTIL(pg_lanes_up(pg) == count);
}

static void close_all(int fds[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    pg_free(&pg);
}

/* A lane is kept alone only while another one is there for everybody else. */
static void alone(void **state)
{
    struct pg_ref refs[LANES_MAX], none = { NULL, 0 };
    int fds[LANES_MAX];

    (void)state;
    start(3, &deaf, "");
    fds[0] = serve();
    struct pg_ref first = bound();
    assert_false(pg_keep_alone(pg, first));     /* the others are not up yet */
    pg_unbind(first);
    fds[1] = serve();
    fds[2] = serve();
    TURN_UNTIL(pg_lanes_up(pg) == 3);
    for (int i = 0; i < 3; i++)
        refs[i] = bound();
    struct pg_ref before = refs[0];             /* somebody else, who may yet ask */
    before.lane->use.bound++;
    assert_false(pg_is_alone(refs[0]));
    assert_true(pg_keep_alone(pg, refs[0]));
    assert_false(pg_keep_alone(pg, refs[0]));
    assert_false(pg_is_alone(refs[0]));
    pg_unbind(before);
    assert_true(pg_is_alone(refs[0]));
    assert_false(pg_is_alone(none));
    assert_true(pg_keep_alone(pg, refs[1]));
    assert_false(pg_keep_alone(pg, refs[2]));
    pg_share(refs[0]);
    pg_share(none);
    pg_break(refs[0], "a test");                /* one that is given up serves nobody */
    assert_false(pg_keep_alone(pg, refs[2]));
    assert_false(pg_keep_alone(pg, none));
    close_all(fds, 3);
}

/* The lane for who rests: one that is given up, or not up yet, takes nobody. */
static void aside(void **state)
{
    struct pg_ref ref;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    bound();
    assert_false(pg_bind_aside(pg, &ref));
    int other = serve();
    TURN_UNTIL(pg_bind_aside(pg, &ref));
    assert_int_equal(pg_bound_aside(pg), 1);
    pg_break(ref, "a test");
    assert_false(pg_bind_aside(pg, &ref));
    assert_null(ref.lane);
    close(other);
    close(fd);
    pg_free(&pg);
}

/* What writes nothing has the last lane to itself, as long as there is another one for the rest. */
static void quick(void **state)
{
    struct pg_ref refs[4], ref;
    int fds[LANES_MAX];

    (void)state;
    quick_wanted = true;
    start(2, &deaf, "");
    serve_lanes(fds, 2);
    for (size_t i = 0; i < 2; i++)
        refs[i] = bound();
    assert_int_equal(pg_bind_quick(pg, &refs[2]), PG_BOUND);
    assert_int_equal(pg_bind_quick(pg, &refs[3]), PG_BOUND);
    assert_ptr_equal(refs[0].lane, refs[1].lane);
    assert_ptr_not_equal(refs[0].lane, refs[2].lane);
    assert_ptr_equal(refs[2].lane, refs[3].lane);
    assert_true(pg_keep_alone(pg, refs[0]));
    assert_int_equal(pg_bind(pg, &ref), PG_BOUND);
    assert_ptr_equal(ref.lane, refs[2].lane);
    pg_share(refs[0]);
    pg_break(refs[2], "a test");
    assert_int_equal(pg_bind_quick(pg, &ref), PG_BOUND);
    assert_ptr_equal(ref.lane, refs[0].lane);
    close_all(fds, 2);

    start(1, &deaf, "");
    fds[0] = serve();
    ref = bound();
    assert_int_equal(pg_bind_quick(pg, &refs[0]), PG_BOUND);
    assert_ptr_equal(ref.lane, refs[0].lane);
    quick_wanted = false;
    close_all(fds, 1);
}

/* The lane for long work: there when it is asked for and as long as somebody is bound; a failure is told once. */
static void on_demand(void **state)
{
    struct pg_ref ref, again, shared;
    char heard[16];

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    bound();
    assert_int_equal(pg_bind_alone(pg, &ref), PG_WAIT);
    assert_null(ref.lane);
    int other = serve();
    TURN_UNTIL(pg_bind_alone(pg, &ref) == PG_BOUND);
    assert_int_equal(pg_bind_alone(pg, &again), PG_BOUND);
    assert_int_equal(pg_lanes_up(pg), 1);
    assert_int_equal(pg_bind(pg, &shared), PG_BOUND);
    assert_ptr_not_equal(shared.lane, ref.lane);
    pg_unbind(ref);
    turn();
    assert_true(pg_alive(again));
    pg_unbind(again);
    TURN_UNTIL(!pg_alive(again));
    TURN_UNTIL(recv(other, heard, sizeof heard, MSG_DONTWAIT) == 0);
    close(other);
    /* Lost at its set-up. */
    assert_int_equal(pg_bind_alone(pg, &ref), PG_WAIT);
    other = greet();
    close(other);
    enum pg_bound is = PG_WAIT;
    TURN_UNTIL((is = pg_bind_alone(pg, &ref)) != PG_WAIT);
    assert_int_equal(is, PG_AWAY);
    /* And lost while it was used: the next one asks for it anew. */
    assert_int_equal(pg_bind_alone(pg, &ref), PG_WAIT);
    other = serve();
    TURN_UNTIL(pg_bind_alone(pg, &ref) == PG_BOUND);
    pg_break(ref, "a test");
    assert_int_equal(pg_bind_alone(pg, &again), PG_WAIT);
    turn();
    assert_int_equal(pg_bind_alone(pg, &again), PG_WAIT);
    close(other);
    close(fd);
    pg_free(&pg);
}

/* At the end of the process, without the loop: an answer of any lane is waited for, and no longer than it was said. */
static void waited_for(void **state)
{
    struct buf out = BUF_EMPTY;
    struct pg_ref refs[2];
    struct answer a[2];
    int fds[2];

    (void)state;
    start(2, &deaf, "");
    assert_false(pg_wait(pg, 1));       /* nothing is up */
    serve_lanes(fds, 2);
    assert_false(pg_wait(pg, 1));       /* nothing was asked */
    for (int i = 0; i < 2; i++) {
        refs[i] = bound();
        ask_close(refs[i], &a[i]);
    }
    assert_false(pg_wait(pg, 1));       /* nothing comes */
    assert_int_equal(pg_lanes_busy(pg), 2);
    for (int i = 0; i < 2; i++) {
        int fd = pg_backend_pid(refs[i]);
        hear_question(fd, NULL, 0);
        put_true(&out);
        say(fd, &out);
        assert_true(pg_wait(pg, 10000));
        assert_true(a[i].answered);
        assert_int_equal(a[i].status, DB_OK);
        assert_int_equal(a[1].answered, i == 1);
    }
    close_all(fds, 2);
}

/* A server that reads slowly what it is asked, and then answers. */
static void *slow_server(void *arg)
{
    static const char end[] = { 'S', 0, 0, 0, 4 };
    char *heard = mem_alloc(LARGE), last[sizeof end] = "";
    const int *fd = arg;
    struct buf out = BUF_EMPTY;

    while (memcmp(last, end, sizeof end) != 0) {
        ssize_t n = recv(*fd, heard, LARGE, 0);
        assert_true(n > 0);
        for (ssize_t i = n > 5 ? n - 5 : 0; i < n; i++) {
            memmove(last, last + 1, sizeof last - 1);
            last[sizeof last - 1] = heard[i];
        }
    }
    mem_free(heard);
    put_row(&out, 1, PG_VOID, "", 0);
    put_ready(&out);
    say(*fd, &out);
    return NULL;
}

/* The same for a question that was not sent to its end: waiting sends it. */
static void waiting_sends(void **state)
{
    struct answer a;
    pthread_t server;

    (void)state;
    start(1, &deaf, "");
    int fd = serve();
    ask_large(bound(), &a);
    assert_int_equal(pthread_create(&server, NULL, slow_server, &fd), 0);
    while (!a.answered)
        assert_true(pg_wait(pg, 10000));
    assert_int_equal(a.status, DB_OK);
    assert_int_equal(pthread_join(server, NULL), 0);
    close(fd);
    pg_free(&pg);
}

/*
 * A server that hangs: who asked it is told after five seconds, and a lane that
 * nobody uses is connected anew, as it would hang too. Whoever has one keeps it.
 */
static void hanging_server(void **state)
{
    int fds[LANES_MAX];
    struct pg_ref refs[LANES_MAX];
    struct answer a;

    (void)state;
    start(4, &deaf, "");
    serve_lanes(fds, 3);            /* the fourth one is at its first attempt */
    for (int i = 0; i < 3; i++)
        refs[i] = bound();
    pg_unbind(refs[2]);
    ask_close(refs[0], &a);
    TURN_UNTIL(a.answered);
    assert_int_equal(a.status, DB_LOST);
    assert_false(pg_alive(refs[0]));
    assert_true(pg_alive(refs[1]));
    assert_false(pg_alive(refs[2]));
    assert_int_equal(pg_lanes_up(pg), 1);
    close_all(fds, 3);
}

/* ---- notifications */

static void expect_listen(int fd, const char *channel)
{
    struct buf out = BUF_EMPTY;
    char sql[100], wanted[100];

    hear_question(fd, sql, sizeof sql);
    snprintf(wanted, sizeof wanted, "listen %s", channel);
    assert_string_equal(sql, wanted);
    put_listening(&out);
    say(fd, &out);
}

static int listening(void)
{
    return pg_backend_pid(pg_listener(pg));
}

/* One lane listens. Where it is lost another one does, one that was up before, to all that was listened to. */
static void one_listens(void **state)
{
    struct buf out = BUF_EMPTY;
    int fds[LANES_MAX], silent = 0;
    char byte;

    (void)state;
    start(3, &hearing, "");
    assert_null(pg_listener(pg).lane);
    serve_lanes(fds, 3);
    int first = listening();
    expect_listen(first, PG_ASK_CHANNEL);
    const char *channel = pg_reply_channel(pg);
    expect_listen(first, channel);
    assert_ptr_equal(pg_reply_channel(pg), channel);
    put_message(&out, 'A', "\0\0\0\7postern_ask\0hello", 4 + sizeof "postern_ask" + sizeof "hello");
    say(first, &out);
    TURN_UNTIL(notifications == 1);

    close(first);
    TURN_UNTIL(pg_lanes_up(pg) == 2);
    int second = listening();
    assert_int_not_equal(second, first);
    expect_listen(second, PG_ASK_CHANNEL);
    expect_listen(second, channel);
    for (int i = 0; i < 3; i++)
        silent += fds[i] != first && recv(fds[i], &byte, 1, MSG_DONTWAIT) == -1;
    assert_int_equal(silent, 2);
    close(second);
    for (int i = 0; i < 3; i++)
        if (fds[i] != first && fds[i] != second)
            close(fds[i]);
    pg_free(&pg);
}

/* Who is given up does not listen, nor does one that is about to be. */
static void broken_ones_do_not_listen(void **state)
{
    struct pg_ref refs[LANES_MAX];
    int fds[LANES_MAX];

    (void)state;
    start(3, &hearing, "");
    serve_lanes(fds, 3);
    for (int i = 0; i < 3; i++)
        refs[i] = bound();
    int first = listening(), stays = 0;
    for (int i = 2; i >= 0; i--) {
        if (pg_backend_pid(refs[i]) != first && stays == 0)
            stays = pg_backend_pid(refs[i]);
        else
            pg_break(refs[i], "a test");
    }
    assert_null(pg_listener(pg).lane);
    TURN_UNTIL(pg_listener(pg).lane != NULL);
    assert_int_equal(listening(), stays);
    expect_listen(stays, PG_ASK_CHANNEL);
    close_all(fds, 3);
}

/* The server goes away just when the lane is up: what would have to be asked first fails, and the lane is none. */
static void gone_when_it_is_up(void **state)
{
    struct pg_ref ref;

    (void)state;
    start(1, &hearing, "");
    const char *channel = pg_reply_channel(pg);     /* before any lane listens */
    int fd = serve();
    close(fd);
    TURN_UNTIL(decisions > 0);
    assert_int_equal(pg_bind(pg, &ref), PG_AWAY);
    assert_null(pg_listener(pg).lane);
    fd = serve();
    expect_listen(fd, PG_ASK_CHANNEL);
    expect_listen(fd, channel);
    assert_int_equal(pg_bind(pg, &ref), PG_BOUND);
    close(fd);
    pg_free(&pg);
}

static void nothing_to_free(void **state)
{
    struct pg *none = NULL;

    (void)state;
    pg_free(&none);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gone_before_it_is_up),
        cmocka_unit_test(another_schema),
        cmocka_unit_test(marked_connection),
        cmocka_unit_test(standby),
        cmocka_unit_test(replaced),
        cmocka_unit_test(refused_set_up),
        cmocka_unit_test(no_connect_timeout),
        cmocka_unit_test(other_columns),
        cmocka_unit_test(errors),
        cmocka_unit_test(unconfirmed),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(not_the_protocol),
        cmocka_unit_test(gone_before_all_was_sent),
        cmocka_unit_test(given_up),
        cmocka_unit_test(alone),
        cmocka_unit_test(aside),
        cmocka_unit_test(quick),
        cmocka_unit_test(on_demand),
        cmocka_unit_test(waited_for),
        cmocka_unit_test(waiting_sends),
        cmocka_unit_test(hanging_server),
        cmocka_unit_test(one_listens),
        cmocka_unit_test(broken_ones_do_not_listen),
        cmocka_unit_test(gone_when_it_is_up),
        cmocka_unit_test(nothing_to_free),
    };
    return cmocka_run_group_tests_name("pg_lane", tests, set_up, tear_down);
}
