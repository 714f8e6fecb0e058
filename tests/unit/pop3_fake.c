/* pop3_fake.c - see pop3_fake.h. */
#include "tests/unit/pop3_fake.h"

struct fake fake;
static struct drop the_drop;

/* ------------------------------------------------------------------- auth */

static void answer_auth(void *arg)
{
    struct auth_result result = { .verdict = fake.auth_says, .mailbox = { 42 }, .address = SPAN_OF("anna@example.org"), .policy = fake.policy, .ticket = { "the ticket" } };
    auth_done *done = fake.auth_done;

    (void)arg;
    fake.auth_done = NULL;
    if (fake.unconfirmed) {
        result.verdict = AUTH_OK_UNCONFIRMED;
        result.versions = fake.versions;
    }
    if (done != NULL)
        done(fake.auth_owner, &result);
}

static void copy_span(char *to, size_t size, struct span from)
{
    assert_true(from.len < size);
    if (from.len > 0)
        memcpy(to, from.at, from.len);
    to[from.len] = '\0';
}

uint64_t auth_check_password(struct auth_client *client, struct span name, struct span password,
                             struct span default_domain, const struct auth_origin *origin, const char *session,
                             auth_done *done, void *owner)
{
    (void)client, (void)origin;
    assert_int_equal(strlen(session), 12);
    assert_null(fake.auth_done);
    fake.checks++;
    copy_span(fake.asked_name, sizeof fake.asked_name, name);
    copy_span(fake.asked_password, sizeof fake.asked_password, password);
    copy_span(fake.asked_domain, sizeof fake.asked_domain, default_domain);
    fake.auth_says = span_is(password, SPAN_OF("secret")) ? fake.verdict : AUTH_REFUSED;
    fake.auth_done = fake.uncached_done = done;
    fake.auth_owner = fake.uncached_owner = owner;
    fake.unconfirmed = fake.versions.proof != 0;
    if (!fake.hold_auth)
        loop_defer(fake.loop, answer_auth, NULL);
    return 7;
}

void auth_check_uncached(struct auth_client *client, uint64_t id)
{
    (void)client;
    assert_int_equal(id, 7);
    assert_true(fake.unconfirmed && fake.auth_done == NULL);
    fake.unconfirmed = false;
    fake.uncached++;
    fake.auth_done = fake.uncached_done;
    fake.auth_owner = fake.uncached_owner;
    loop_defer(fake.loop, answer_auth, NULL);
}

bool auth_password(const struct auth_client *client, uint64_t id, struct span *password_r)
{
    (void)client, (void)id;
    *password_r = span_str(fake.asked_password);
    return fake.asked_password[0] != '\0';
}

void auth_report(struct auth_client *client, uint64_t id, bool right, struct span address)
{
    (void)client, (void)id, (void)right, (void)address;
}

void auth_lane(struct auth_client *client, uint64_t id, uint32_t pid)
{
    (void)client;
    assert_int_equal(id, 7);
    assert_int_equal(pid, FAKE_LANE);
    fake.bound++;
}

struct login_lane {
    struct store *store;
};
static struct login_lane the_lane;

struct login_lane *login_lane_new(struct store *store, void (*ready)(void *owner), void *owner)
{
    (void)ready, (void)owner;
    assert_null(the_lane.store);
    fake.lanes++;
    the_lane.store = store;
    return &the_lane;
}

bool login_lane_pid(const struct login_lane *lane, uint32_t *pid_r)
{
    assert_ptr_equal(lane, &the_lane);
    *pid_r = FAKE_LANE;
    return true;
}

static void lane_gone(struct login_lane **lane)
{
    assert_ptr_equal(*lane, &the_lane);
    assert_true(fake.lanes > 0);
    fake.lanes--;
    the_lane.store = NULL;
    *lane = NULL;
}

void login_lane_free(struct login_lane **lane)
{
    if (*lane != NULL)
        lane_gone(lane);
}

void answer_challenge(void *arg)
{
    auth_done *done = fake.auth_done;

    (void)arg;
    fake.auth_done = NULL;
    if (done != NULL)
        done(fake.auth_owner, &(struct auth_result){ .verdict = AUTH_CHALLENGE, .challenge = span_str(fake.challenges[fake.challenged++]) });
}

static void fake_message(struct span message, bool more, auth_done *done, void *owner)
{
    assert_null(fake.auth_done);
    copy_span(fake.asked_password, sizeof fake.asked_password, message);
    fake.auth_says = span_is(message, SPAN_OF("secret")) ? fake.verdict : AUTH_REFUSED;
    fake.auth_done = done;
    fake.auth_owner = owner;
    if (!fake.hold_auth)
        loop_defer(fake.loop, more ? answer_challenge : answer_auth, NULL);
}

uint64_t auth_start(struct auth_client *client, const struct auth_opening *opening, auth_done *done, void *owner)
{
    (void)client;
    fake.checks++;
    fake.challenged = 0;
    fake.opening = *opening;
    fake.sasl_done = done;
    fake.sasl_owner = owner;
    fake_message(opening->initial, fake.challenges[0] != NULL, done, owner);
    return 7;
}

void auth_respond(struct auth_client *client, uint64_t id, struct span response)
{
    (void)client;
    assert_int_equal(id, 7);
    fake_message(response, fake.challenges[fake.challenged] != NULL, fake.sasl_done, fake.sasl_owner);
}

void auth_forget(struct auth_client *client, uint64_t id)
{
    fake.forgotten++;
    (void)client;
    assert_int_equal(id, 7);
    fake.auth_done = NULL;
    fake.unconfirmed = false;
}

/* ------------------------------------------------------------------- drop */

void answer_open(void *arg)
{
    drop_opened *done = fake.open_done;

    (void)arg;
    fake.open_done = NULL;
    if (done == NULL)
        return;
    fake.opened += fake.open_says == DB_OK;
    done(fake.open_owner, fake.open_says, fake.open_says == DB_OK ? &the_drop : NULL);
}

uint64_t drop_open(struct store *store, struct login_lane **lane, const struct mailbox_ref *mailbox, const struct drop_holder *holder,
                   drop_opened *done, void *owner)
{
    (void)store;
    lane_gone(lane);
    assert_string_equal(holder->ticket.octets, "the ticket");
    assert_int_equal(mailbox->number, 42);
    assert_string_equal(holder->protocol, "pop3");
    fake.opens++;
    assert_int_equal(holder->versions.proof != 0, fake.unconfirmed);
    fake.open_says = fake.unconfirmed ? fake.open_unconfirmed : fake.open_status;
    fake.open_done = done;
    fake.open_owner = owner;
    if (!fake.hold_open)
        loop_defer(fake.loop, answer_open, NULL);
    return 9;
}

void drop_forget(struct store *store, uint64_t id)
{
    (void)store;
    assert_int_equal(id, 9);
    fake.open_done = NULL;
}

size_t drop_count(const struct drop *drop)
{
    (void)drop;
    return fake.count;
}

uint64_t drop_message_octets(const struct drop *drop, size_t i)
{
    (void)drop;
    assert_true(i < fake.count);
    return buf_left(&fake.mail[i % FAKE_MESSAGES]);
}

struct drop_cost drop_cost(const struct drop *drop)
{
    (void)drop;
    return (struct drop_cost){ 2, 1500000 };
}

struct drop_cost store_cost(const struct store *store)
{
    (void)store;
    return (struct drop_cost){ 3, 2000001 };
}

uint64_t drop_octets(const struct drop *drop)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < fake.count; i++)
        sum += drop_message_octets(drop, i);
    return sum;
}

size_t drop_message_uidl(const struct drop *drop, size_t i, char out[UIDL_MAX])
{
    char text[UIDL_MAX + 1];

    (void)drop;
    assert_true(i < fake.count);
    snprintf(text, sizeof text, "uid.%zu", i + 1);
    memcpy(out, text, strlen(text));
    return strlen(text);
}

bool drop_lost(const struct drop *drop)
{
    (void)drop;
    return fake.lost;
}

void piece_hold(struct piece_ref *ref)
{
    ref->refs++;
}

void piece_release(struct piece_ref *ref)
{
    assert_true(ref->refs > 0);
    if (--ref->refs == 0) {
        fake.pieces--;
        free(ref);
    }
}

static void answer_read(void *arg)
{
    struct span message = buf_span(&fake.mail[fake.read_message % FAKE_MESSAGES]);
    drop_piece *done = fake.read_done;
    struct piece piece = { 0 };
    size_t from = (size_t)fake.read_piece * FAKE_PIECE, len;

    (void)arg;
    fake.read_done = NULL;
    if (done == NULL)
        return;
    if (fake.read_status != DB_OK && fake.read_piece == fake.read_fails_at) {
        if (fake.read_status == DB_LOST)
            fake.lost = true;
        done(fake.read_owner, fake.read_status, piece);
        return;
    }
    assert_true(from <= message.len);
    len = message.len - from < FAKE_PIECE ? message.len - from : FAKE_PIECE;
    piece.ref = malloc(sizeof *piece.ref);
    assert_non_null(piece.ref);
    piece.ref->refs = 1;
    memcpy(piece.ref->data, message.at + from, len);
    for (size_t at = 0; at < len; at += PART_OCTETS)
        piece.ref->spans[piece.count++] = (struct span){ piece.ref->data + at, len - at < PART_OCTETS ? len - at : PART_OCTETS };
    piece.spans = piece.ref->spans;
    piece.last = from + len == message.len;
    if (++fake.pieces > fake.most_pieces)
        fake.most_pieces = fake.pieces;
    done(fake.read_owner, DB_OK, piece);
}

int drop_read(struct drop *drop, size_t i, uint32_t piece, enum drop_want want, struct piece *piece_r, drop_piece *done, void *owner)
{
    (void)piece_r;
    (void)want;
    assert_ptr_equal(drop, &the_drop);
    assert_null(fake.read_done);
    fake.read_done = done;
    fake.read_owner = owner;
    fake.read_message = i;
    fake.read_piece = piece;
    fake.reads++;
    loop_defer(fake.loop, answer_read, NULL);
    return 0;
}

void answer_finish(void *arg)
{
    drop_done *done = fake.finish_done;

    (void)arg;
    fake.finish_done = NULL;
    if (done != NULL)
        done(fake.finish_owner, fake.finish_status);
}

void drop_note_retrieved(struct drop *drop, size_t i)
{
    assert_ptr_equal(drop, &the_drop);
    fake.under_way[i % FAKE_MESSAGES] = true;
}

void drop_note_sent(struct drop *drop)
{
    assert_ptr_equal(drop, &the_drop);
    for (size_t i = 0; i < FAKE_MESSAGES; i++)
        fake.retrieved[i] |= fake.under_way[i];
    memset(fake.under_way, 0, sizeof fake.under_way);
}

void drop_finish(struct drop **drop, const unsigned char *marks, drop_done *done, void *owner)
{
    assert_ptr_equal(*drop, &the_drop);
    *drop = NULL;
    fake.finishes++;
    fake.read_done = NULL;
    for (size_t i = 0; i < fake.count && i < FAKE_MESSAGES; i++)
        fake.marked[i] = marks != NULL && marks[i] != 0;
    if (done == NULL)
        return;
    assert_null(fake.finish_done);
    fake.finish_done = done;
    fake.finish_owner = owner;
    if (!fake.hold_finish)
        loop_defer(fake.loop, answer_finish, NULL);
}

/* ------------------------------------------------------------ the client */

static void client_readable(void *arg, int fd, unsigned events)
{
    struct client *c = arg;
    ssize_t n = recv(fd, buf_reserve(&c->in, 65536), 65536, MSG_DONTWAIT);

    (void)events;
    if (n > 0) {
        buf_commit(&c->in, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        c->eof = true;
        watch_set(c->watch, 0);
    }
    if (c->eof || buf_left(&c->in) >= c->want)
        loop_stop(fake.loop);
}

static void too_late(void *arg)
{
    *(bool *)arg = true;
    loop_stop(fake.loop);
}

void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(fake.loop);
}

void run_loop(void)
{
    bool late = false;
    struct timer *timer = timer_new(fake.loop, too_late, &late);

    timer_set(timer, PATIENCE_MS);
    loop_run(fake.loop);
    timer_free(&timer);
    assert_false(late);
}

void run_a_while(uint64_t ms)
{
    struct timer *timer = timer_new(fake.loop, stop_loop, NULL);

    timer_set(timer, ms);
    loop_run(fake.loop);
    timer_free(&timer);
}

struct client *client_new(const char *domain)
{
    struct client *c = mem_zalloc(sizeof *c);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    c->fd = pair[1];
    pop3_protocol.start(fake.service, pair[0], pair[0], &(struct session_entry){
        .default_domain = domain, .cleartext = fake.cleartext,
    });
    c->watch = watch_new(fake.loop, c->fd, client_readable, c);
    watch_set(c->watch, LOOP_READ);
    return c;
}

void client_close(struct client *c)
{
    watch_free(&c->watch);
    close(c->fd);
    buf_free(&c->in);
    mem_free(c);
}

void say_span(struct client *c, struct span text)
{
    assert_int_equal(send(c->fd, text.at, text.len, MSG_NOSIGNAL), (ssize_t)text.len);
}

void say(struct client *c, const char *text)
{
    say_span(c, span_str(text));
}

void hear(struct client *c, size_t octets)
{
    c->want = octets;
    while (!c->eof && buf_left(&c->in) < octets)
        run_loop();
}

void expect(struct client *c, const char *text)
{
    size_t len = strlen(text);
    char got[2048];
    struct span in;

    hear(c, len);
    in = buf_span(&c->in);
    snprintf(got, sizeof got, "%.*s", (int)(in.len < len ? in.len : len), in.at);
    assert_string_equal(got, text);
    buf_consume(&c->in, len);
}

void ask(struct client *c, const char *command, const char *reply)
{
    say(c, command);
    expect(c, reply);
}

void expect_eof(struct client *c)
{
    hear(c, SIZE_MAX);
    assert_int_equal(buf_left(&c->in), 0);
    client_close(c);
}

void until_ended(size_t sessions)
{
    while (fake.ended < sessions)
        run_loop();
}

struct client *login(void)
{
    struct client *c = client_new("");

    expect(c, "+OK Postern ready\r\n");
    ask(c, "USER anna@example.org\r\n", "+OK send PASS\r\n");
    say(c, "PASS secret\r\n");
    hear(c, 4);
    assert_memory_equal(buf_span(&c->in).at, "+OK ", 4);
    while (memchr(buf_span(&c->in).at, '\n', buf_left(&c->in)) == NULL)
        hear(c, buf_left(&c->in) + 1);
    buf_clear(&c->in);
    return c;
}

/* --------------------------------------------------------- set up, tear down */

static void fake_ended(void *arg)
{
    (void)arg;
    fake.ended++;
    loop_stop(fake.loop);
}

void fake_mail(size_t i, const char *text)
{
    buf_clear(&fake.mail[i]);
    buf_add_str(&fake.mail[i], text);
    if (fake.count <= i)
        fake.count = i + 1;
}

void fake_service(void)
{
    struct service_host host = {
        .loop = fake.loop, .logins = fake.logins, .settings = &fake.settings, .session_ended = fake_ended,
    };

    if (fake.service != NULL)
        service_free(&fake.service);
    fake.service = pop3_protocol.serve(&host);
}

static void no_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg;
    fail_msg("%s:%d: %s", file != NULL ? file : "defaults", line, text);
}

int fake_setup(void **state)
{
    struct option_target target = { &pop3_options, &fake.settings };

    (void)state;
    memset(&fake, 0, sizeof fake);
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(options_load(NULL, &target, 1, NULL, false, no_problem, NULL), 0);
    fake.settings.pop3_failure_delay = 1;
    fake.cleartext = CLEARTEXT_LOCAL;
    fake.policy = (struct auth_policy){
        .pop3 = true, .maintenance = SPAN_OF(""), .login_delay = AUTH_UNSET, .expire = AUTH_UNSET,
        .domain_sessions = AUTH_UNSET, .tenant_sessions = AUTH_UNSET,
    };
    fake.loop = loop_new();
    fake_mail(0, "Subject: one\r\n\r\nfirst\r\n");
    fake_mail(1, "Subject: two\r\n\r\n.dot\r\n..\r\nsecond\r\n");
    fake_mail(2, "Subject: three\r\n");
    fake_service();
    return 0;
}

int fake_teardown(void **state)
{
    (void)state;
    service_free(&fake.service);
    run_a_while(1);
    assert_int_equal(fake.pieces, 0);
    assert_int_equal(fake.lanes, 0);
    if (fake.logins != NULL)
        recent_free(&fake.logins);
    options_free(&pop3_options, &fake.settings);
    for (size_t i = 0; i < FAKE_MESSAGES; i++)
        buf_free(&fake.mail[i]);
    loop_free(&fake.loop);
    return 0;
}
