/*
 * conn.c - one client's byte stream. Owns its descriptors, its unconsumed
 * input and its queued output. Must never call the owner from within a call of
 * the owner's: whatever a call causes is told at the end of the turn.
 *
 * Costs are counted in system calls: one read and one write for a batch of
 * commands, none to pause and resume a client that sends nothing meanwhile,
 * none to move a timeout.
 *
 *   open       input flows to the owner, output to the client
 *   finishing  the owner has gone; what is queued is written
 *   lingering  all is written, the client's last octets are read away
 *   closed     memory waits for the end of the turn
 */
#include "daemon/net/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <sys/socket.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/conn_impl.h"
#include "daemon/net/loop.h"

enum {
    READ_SIZE = 16384,          /* also what a paused client can make us keep, with an unfinished line */
    KEPT_MAX = 65536,           /* of a protocol that does not consume */
    WRITE_PIECES = 64,
    LINGER_MS = 2000,
    LINGER_OCTETS = 65536,
};

/* Of all conns: an idle one owns no input buffer. Nothing stays in it after a callback. */
static char scratch[READ_SIZE];

static void at_turn_end(void *arg);

static void schedule(struct conn *c)
{
    if (c->scheduled || c->state == CLOSED)
        return;
    c->scheduled = true;
    loop_defer(c->loop, at_turn_end, c);
}

/* --- end --- */

static void free_memory(void *arg)
{
    struct conn *c = arg;
    buf_wipe(&c->kept);     /* not before: its owner may have ended the conn while reading from it */
    mem_free(c->peer);
    mem_free(c->local);
    mem_free(c->origin);
    mem_free(c);
}

static void close_now(struct conn *c)
{
    if (c->state == CLOSED)
        return;
    c->state = CLOSED;
    watch_free(&c->in_watch);
    watch_free(&c->out_watch);
    timer_free(&c->timer);
    evbuffer_free(c->queue);
    if (c->tls_to_next != NULL)
        conn_tls_drop(c->tls_to_next);
    conn_tls_free(&c->io);
    fd_close(&c->io.in);
    if (!c->io.same)
        fd_close(&c->io.out);
    if (c->done != NULL)
        c->done(c->done_arg);
    loop_defer(c->loop, free_memory, c);
}

static void tell_end(struct conn *c, enum conn_end why)
{
    c->told = true;
    c->told_why = why;
    c->protocol->end(c->owner, why);
}

static void tell_lost(struct conn *c)
{
    c->in_over = true;
    c->in_why = CONN_LOST;
    c->due = false;
    buf_wipe(&c->kept);
    tell_end(c, CONN_LOST);
}

/* Nobody reads our answers. Told at once if the owner does not know of an end yet. */
static void output_lost(struct conn *c)
{
    bool news = !c->out_lost;

    c->out_lost = true;
    c->blocked = false;
    evbuffer_drain(c->queue, evbuffer_get_length(c->queue));
    if (c->state != OPEN || c->told)
        return;
    if (c->protocol->unheard == NULL) {
        tell_lost(c);
    } else if (news) {
        c->protocol->unheard(c->owner);
        schedule(c);        /* the input that is left, or `drained`, comes as ever */
    }
}

/* --- output --- */

static void flush(struct conn *c)
{
    while (c->io.open && !c->blocked && !c->out_lost && evbuffer_get_length(c->queue) > 0) {
        struct evbuffer_iovec iov[WRITE_PIECES];
        int pieces = evbuffer_peek(c->queue, -1, NULL, iov, WRITE_PIECES);
        size_t count = pieces < WRITE_PIECES ? (size_t)pieces : WRITE_PIECES, total = 0;
        for (size_t i = 0; i < count; i++)
            total += iov[i].iov_len;

        ssize_t n = c->io.row->write(&c->io, iov, count);
        if (n < 0) {
            if (errno == EAGAIN && c->io.out.kind != FD_FILE)
                c->blocked = true;
            else
                output_lost(c);
            return;
        }
        c->octets_out += (uint64_t)n;
        c->active = loop_now(c->loop);
        evbuffer_drain(c->queue, (size_t)n);
        /* Less than we had is all that it takes: the next write would only say EAGAIN. */
        if ((size_t)n < total && c->io.out.kind != FD_FILE)
            c->blocked = true;
    }
}

static bool tls_is_next(const struct conn *c)
{
    return c->tls_next != NULL || c->tls_to_next != NULL;
}

/* Nothing may follow in the clear, in either direction (RFC 2595 section 4). */
static void begin_tls(struct conn *c)
{
    struct tls_ctx *ctx = c->tls_next;
    SSL *to = c->tls_to_next;

    c->tls_next = NULL;
    c->tls_to_next = NULL;
    /* What came in the clear behind the command that led here would be taken for what came by TLS (T02). */
    ASSERT(buf_left(&c->kept) == 0);
    if (to != NULL)
        conn_tls_start_to(&c->io, to);
    else
        conn_tls_start(&c->io, ctx);
}

static void tls_when_written(struct conn *c)
{
    if (evbuffer_get_length(c->queue) == 0 && buf_left(&c->kept) == 0)
        begin_tls(c);
    else
        schedule(c);
}

void conn_start_tls(struct conn *c, struct tls_ctx *ctx)
{
    ASSERT(!tls_is_next(c) && c->io.tls == NULL);
    c->tls_next = ctx;
    tls_when_written(c);
}

void conn_start_tls_to(struct conn *c, SSL *ssl)
{
    ASSERT(!tls_is_next(c) && c->io.tls == NULL);
    c->tls_to_next = ssl;
    tls_when_written(c);
    schedule(c);        /* the first word is ours */
}

void conn_set_protocol(struct conn *c, const struct conn_protocol *protocol, void *owner)
{
    c->protocol = protocol;
    c->owner = owner;
}

void conn_write(struct conn *c, const void *data, size_t len)
{
    ASSERT(!tls_is_next(c));
    if (c->out_lost || len == 0)
        return;
    /* A reply with a gap in it must never go on (P1). */
    if (evbuffer_add(c->queue, data, len) < 0)
        mem_exhausted(len);
    schedule(c);
}

struct reference {
    void (*free_cb)(void *arg);
    void *arg;
};

static void reference_over(const void *data, size_t len, void *arg)
{
    struct reference *r = arg;
    (void)data;
    (void)len;
    r->free_cb(r->arg);
    mem_free(r);
}

void conn_write_ref(struct conn *c, const void *data, size_t len, void (*free_cb)(void *arg), void *arg)
{
    ASSERT(!tls_is_next(c));
    if (c->out_lost || len == 0) {
        free_cb(arg);
        return;
    }
    struct reference *r = mem_alloc(sizeof *r);
    *r = (struct reference){ free_cb, arg };
    if (evbuffer_add_reference(c->queue, data, len, reference_over, r) < 0)
        mem_exhausted(sizeof *r);
    schedule(c);
}

size_t conn_queued(const struct conn *c)
{
    return evbuffer_get_length(c->queue);
}

bool conn_full(struct conn *c)
{
    if (conn_queued(c) <= CONN_HIGH)
        return false;
    c->full_said = true;
    return true;
}

static bool drained_due(const struct conn *c)
{
    return c->state == OPEN && c->full_said && conn_queued(c) < CONN_LOW && (!c->told || c->told_why == CONN_EOF);
}

/* --- input --- */

static bool may_read(const struct conn *c)
{
    return c->state == OPEN && !c->paused && !c->in_over && !c->told && !tls_is_next(c);
}

/* Gives the owner what is kept and, behind it, the `fresh` octets in scratch. */
static void hand_over(struct conn *c, size_t fresh)
{
    bool from_kept = buf_left(&c->kept) > 0, clear = c->io.tls == NULL;
    if (from_kept)
        buf_add(&c->kept, scratch, fresh);
    const struct span in = from_kept ? buf_span(&c->kept) : (struct span){ scratch, fresh };

    c->due = false;
    size_t used = c->protocol->input(c->owner, in);
    if (c->state == OPEN) {
        ASSERT(used <= in.len && (used == in.len || (!tls_is_next(c) && clear == (c->io.tls == NULL))));
        if (!from_kept)
            buf_add(&c->kept, scratch + used, fresh - used);
        else
            buf_consume(&c->kept, used);
        if (buf_left(&c->kept) == 0)
            buf_wipe(&c->kept);
        if (!c->paused && buf_left(&c->kept) > KEPT_MAX) {
            log_warning(NULL, "client=%s sent %zu octets too many, closing", c->peer, buf_left(&c->kept));
            c->in_over = true;
            c->in_why = CONN_LOST;
        }
    }
    secret_wipe(scratch, fresh);
}

/* The end of the input, once the owner has seen all that came before it. */
static void tell_input_end(struct conn *c)
{
    if (c->state != OPEN || !c->in_over || c->told || c->paused || c->due)
        return;
    buf_wipe(&c->kept);
    if (c->in_why == CONN_LOST || c->out_lost) {
        c->out_lost = true;
        evbuffer_drain(c->queue, evbuffer_get_length(c->queue));
        tell_lost(c);
    } else {
        tell_end(c, c->in_why);
    }
}

static void read_some(struct conn *c)
{
    ssize_t n = c->io.row->read(&c->io, scratch, sizeof scratch);
    if (n < 0 && errno == EAGAIN && c->io.in.kind != FD_FILE)
        return;
    if (n <= 0) {
        /* What came before a reset the kernel has given us first, so nothing is lost by taking its word. */
        c->in_over = true;
        c->in_why = n == 0 ? CONN_EOF : CONN_LOST;
        if (c->due && buf_left(&c->kept) > 0)
            hand_over(c, 0);
    } else {
        c->in_full = (size_t)n == sizeof scratch;
        c->octets_in += (uint64_t)n;
        c->active = loop_now(c->loop);
        hand_over(c, (size_t)n);
    }
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    c->parked = false;
    c->due = true;
    schedule(c);
}

bool conn_paused(const struct conn *c)
{
    return c->paused;
}

/* --- time --- */

static void on_time(void *arg);

/*
 * The timer is not moved with every octet: it goes off when it was due once,
 * and is set for what is left of the time.
 */
static void keep_time(struct conn *c)
{
    uint64_t now = loop_now(c->loop), deadline = c->active + c->timeout;
    if (c->timeout == 0 || (c->armed != 0 && c->armed <= deadline))
        return;
    if (c->timer == NULL)
        c->timer = timer_new(c->loop, on_time, c);
    c->armed = deadline;
    timer_set(c->timer, deadline > now ? deadline - now : 0);
}

void conn_set_timeout(struct conn *c, uint64_t ms)
{
    c->timeout = ms;
    c->active = loop_now(c->loop);
    keep_time(c);
}

uint64_t conn_silent(const struct conn *c)
{
    uint64_t here = loop_now(c->loop) - c->active, kernel = fd_untaken(&c->io.out);

    return here < kernel ? here : kernel;
}

bool conn_vanished(const struct conn *c)
{
    if (fd_vanished(&c->io.out))
        return true;
    fd_probe(&c->io.out);
    return false;
}

/* --- finish --- */

/*
 * A socket that is closed while octets lie in it unread, or still come, sends
 * a reset, and that may destroy our last reply on its way. So these are read
 * away first; a client that has sent all it wanted costs one read here. The
 * last reply, TLS's goodbye and the end go out in one packet.
 */
static void finish_step(struct conn *c)
{
    /* In the middle of a handshake there is nobody to say anything to. */
    if (!c->io.open) {
        close_now(c);
        return;
    }
    c->io.out.ends = true;
    flush(c);
    if (conn_queued(c) == 0 && !c->out_lost && !c->io.row->bye(&c->io))
        c->blocked = true;
    if (conn_queued(c) > 0 || c->blocked) {
        keep_time(c);
        return;
    }
    if (c->out_lost || c->in_over || c->io.in.kind != FD_SOCKET || c->io.out.kind != FD_SOCKET) {
        close_now(c);
        return;
    }
    /* With TLS too as it comes: it is thrown away. */
    ssize_t n = fd_read(&c->io.in, scratch, sizeof scratch);
    if (n > 0)
        secret_wipe(scratch, (size_t)n);
    c->lingered += n > 0 ? (size_t)n : 0;
    /* Nothing there: still to come from one who just filled a whole read, and from one whom we told that we end. */
    bool wait = n > 0 || (n < 0 && errno == EAGAIN && (c->state == LINGERING || c->in_full));
    if (!wait || c->lingered > LINGER_OCTETS) {
        close_now(c);
        return;
    }
    if (c->state == FINISHING) {
        c->state = LINGERING;
        shutdown(c->io.out.fd, SHUT_WR);
        c->timeout = LINGER_MS;
        c->active = loop_now(c->loop);
        keep_time(c);
    }
}

void conn_finish(struct conn **conn, uint64_t ms, void (*done)(void *arg), void *arg)
{
    struct conn *c = *conn;
    *conn = NULL;
    c->state = FINISHING;
    c->protocol = NULL;
    c->done = done;
    c->done_arg = arg;
    c->timeout = ms > 0 ? ms : 1;
    c->active = loop_now(c->loop);
    schedule(c);
}

void conn_free(struct conn **conn)
{
    struct conn *c = *conn;
    if (c == NULL)
        return;
    *conn = NULL;
    close_now(c);
}

/* --- events --- */

static void update_watches(struct conn *c)
{
    unsigned wants = c->blocked ? c->io.write_wants : 0;

    if (c->state == LINGERING)
        wants |= LOOP_READ;
    else if (c->state == OPEN && !c->parked && !c->in_over && !c->told && !tls_is_next(c))
        wants |= c->io.read_wants;
    if (c->in_watch != NULL)
        watch_set(c->in_watch, c->io.same ? wants : wants & LOOP_READ);
    if (c->out_watch != NULL)
        watch_set(c->out_watch, wants & LOOP_WRITE);
}

/* After whatever happened: write, tell what is to be told, close if that is next, wait for what is left. */
static void settle(struct conn *c)
{
    if (c->state == OPEN)
        flush(c);
    if (c->state == OPEN && tls_is_next(c) && conn_queued(c) == 0)
        begin_tls(c);
    if (c->state == OPEN)
        tell_input_end(c);
    if (c->state == FINISHING || c->state == LINGERING)
        finish_step(c);
    if (c->state == CLOSED)
        return;
    if (drained_due(c) || (may_read(c) && c->io.row->pending(&c->io)))
        schedule(c);
    update_watches(c);
}

static void at_turn_end(void *arg)
{
    struct conn *c = arg;

    c->scheduled = false;
    if (drained_due(c)) {
        c->full_said = false;
        c->protocol->drained(c->owner);
    }
    if (c->state == OPEN && c->due && !c->paused && !c->told) {
        c->due = false;
        if (buf_left(&c->kept) > 0)
            hand_over(c, 0);
    } else if (may_read(c) && c->io.row->pending(&c->io)) {
        read_some(c);
    }
    settle(c);
}

static void on_event(void *arg, int fd, unsigned events)
{
    struct conn *c = arg;
    (void)fd;

    if (events & c->io.write_wants)
        c->blocked = false;
    if (events & c->io.read_wants && c->state == OPEN) {
        if (!may_read(c))
            c->parked = true;
        else if (conn_tls_may_go_on(&c->io, loop_turn(c->loop)))
            read_some(c);
    }
    settle(c);
}

static void on_time(void *arg)
{
    struct conn *c = arg;

    c->armed = 0;
    if (c->timeout == 0 || loop_now(c->loop) < c->active + c->timeout) {
        keep_time(c);
        return;
    }
    if (c->state != OPEN)
        close_now(c);
    else if (!c->told)
        tell_end(c, CONN_TIMEOUT);
    else if (c->told_why == CONN_EOF)
        output_lost(c);         /* it sends nothing and takes nothing: nobody waits for `drained` in vain */
    settle(c);
}

/* --- life --- */

struct conn *conn_new(struct loop *loop, int in, int out, const struct conn_protocol *protocol, void *owner)
{
    struct conn *c = mem_zalloc(sizeof *c);
    c->loop = loop;
    c->protocol = protocol;
    c->owner = owner;
    c->io.same = in == out;
    c->io.in = fd_take(in);
    c->io.out = c->io.same ? c->io.in : fd_take(out);
    c->io.open = true;
    c->io.read_wants = LOOP_READ;
    c->io.write_wants = LOOP_WRITE;
    c->io.row = &conn_plain_row;
    c->queue = evbuffer_new();
    c->active = loop_now(loop);
    c->peer = fd_peer_name(&c->io.in, &c->local_peer);
    if (c->io.in.kind != FD_FILE)
        c->in_watch = watch_new(loop, in, on_event, c);
    if (!c->io.same && c->io.out.kind != FD_FILE)
        c->out_watch = watch_new(loop, out, on_event, c);
    if (c->io.in.kind == FD_FILE)
        schedule(c);
    update_watches(c);
    return c;
}
