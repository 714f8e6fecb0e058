/*
 * deliver.c - `posternctl deliver`: the message on standard input into the
 * maildrop of one recipient, for mail servers that start a program for it.
 *
 * It speaks LMTP to posternd, which knows all the rules, and needs no right at
 * the database. Exit statuses are those of sysexits.h, as mail servers
 * understand them, and the reply goes to standard output, where they look for
 * a reason. Must never end with 0 unless posternd has said 250, nor with a
 * permanent failure because something here is not as it should be.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/mail/eol.h"
#include "admin/shown.h"
#include "daemon/base/buf.h"
#include "daemon/base/unix_socket.h"

enum {
    CHUNK = 32768,
    REPLY_MAX = 8192,
    PATIENCE_S = 600,       /* RFC 5321 section 4.5.3.2.6: behind the end of the data */
};

struct link {
    int fd;
    struct buf in;
    char reply[REPLY_MAX];  /* the last one, its lines joined */
};

/* For the mail server's log, or the sender: an enhanced code first, where there is one. */
static int tell(int end, const char *text)
{
    puts(text);
    return end;
}

static int later(const char *what)
{
    printf("4.3.0 %s: %s\n", what, errno == EAGAIN ? "no answer" : strerror(errno));
    return EX_TEMPFAIL;
}

/* ---------------------------------------------------------------------- link */

/* "127.0.0.1:24", "[::1]:24" */
static int connect_address(const char *where)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char host[128];
    const char *port = strrchr(where, ':');
    int fd = -1;

    errno = EINVAL;
    if (port == NULL || (size_t)(port - where) >= sizeof host)
        return -1;
    bool brackets = where[0] == '[' && port > where + 1 && port[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(port - where) - (brackets ? 2 : 0), where + (brackets ? 1 : 0));
    if (getaddrinfo(host, port + 1, &hints, &found) != 0) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static bool send_all(struct link *l, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(l->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* One whole reply into l->reply, without the codes of its further lines; its class, or 0 with errno. */
static char receive(struct link *l)
{
    size_t used = 0;

    l->reply[0] = '\0';
    for (;;) {
        struct span in = buf_span(&l->in);
        const char *end = memmem(in.at, in.len, "\r\n", 2);
        if (end == NULL) {
            char *room = buf_reserve(&l->in, CHUNK);
            ssize_t n = in.len > REPLY_MAX ? 0 : recv(l->fd, room, CHUNK, 0);
            if (n < 0 && errno == EINTR)
                continue;
            if (n == 0)
                errno = ECONNRESET;
            if (n <= 0)
                return 0;
            buf_commit(&l->in, (size_t)n);
            continue;
        }
        size_t len = (size_t)(end - in.at);
        bool last = len < 4 || in.at[3] != '-';
        size_t skip = used == 0 ? 0 : len < 4 ? len : 4;
        if (len - skip < sizeof l->reply - used - 2) {
            memcpy(l->reply + used, in.at + skip, len - skip);
            used += len - skip;
            l->reply[used] = '\0';
        }
        buf_consume(&l->in, len + 2);
        if (last)
            return l->reply[0];
    }
}

static char ask(struct link *l, const char *fmt, const char *a, const char *b)
{
    struct buf line = BUF_EMPTY;

    for (const char *p = fmt; *p != '\0'; p++) {
        if (*p == '%') {
            buf_add_str(&line, a != NULL ? a : "");
            a = b;
        } else {
            buf_add(&line, p, 1);
        }
    }
    buf_add_str(&line, "\r\n");
    bool sent = send_all(l, line.data, line.len);
    buf_free(&line);
    return sent ? receive(l) : 0;
}

/* What a reply means to a mail server. */
static int meaning(const char *reply)
{
    static const struct {
        const char *begins;
        int end;
    } rows[] = {
        { "2", EX_OK },
        { "4", EX_TEMPFAIL },
        { "550 5.1.", EX_NOUSER }, { "501 5.1.3", EX_NOUSER },
        { "554 5.6.", EX_DATAERR }, { "552 5.3.4", EX_DATAERR },
        { "554 5.7.", EX_NOPERM },
        { "5", EX_UNAVAILABLE },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strncmp(reply, rows[i].begins, strlen(rows[i].begins)) == 0)
            return rows[i].end;
    return EX_TEMPFAIL;
}

/* The reply that ended it, without its first code; where the connection failed, that. */
static int ended_by(struct link *l, char class)
{
    if (class == 0)
        return later("the connection to posternd was lost");
    shown_text(l->reply);
    return tell(meaning(l->reply), strlen(l->reply) > 4 ? l->reply + 4 : l->reply);
}

/* ------------------------------------------------------------------- message */

struct message {
    struct eol eol;
    bool line_start;
};

/* Canonical octets on their way: dots stuffed. */
static bool send_lines(struct link *l, struct message *m, const char *data, size_t len)
{
    const char *from = data, *end = data + len;

    for (const char *p = data; p < end;) {
        if (m->line_start && *p == '.') {
            if (!send_all(l, from, (size_t)(p - from)) || !send_all(l, ".", 1))
                return false;
            from = p;
        }
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        m->line_start = lf != NULL;
        p = lf != NULL ? lf + 1 : end;
    }
    return send_all(l, from, (size_t)(end - from));
}

/* Some mail servers put the line of an mbox in front: it is no part of the message. */
static bool skip_from_line(struct buf *first)
{
    static const struct span mark = { "From ", 5 };
    struct span in = buf_span(first);

    if (in.len < mark.len || memcmp(in.at, mark.at, mark.len) != 0)
        return true;
    const char *lf = memchr(in.at, '\n', in.len);
    if (lf == NULL)
        return false;
    buf_consume(first, (size_t)(lf - in.at) + 1);
    return true;
}

/* -1 with errno. */
static ssize_t read_input(char *out, size_t size)
{
    ssize_t n;

    do {
        n = read(STDIN_FILENO, out, size);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* As much as one can look at to see what the input begins with. */
static bool read_first(struct buf *first)
{
    ssize_t n = 1;

    while (n > 0 && buf_left(first) < CHUNK) {
        n = read_input(buf_reserve(first, CHUNK), CHUNK);
        if (n > 0)
            buf_commit(first, (size_t)n);
    }
    return n >= 0;
}

/* The whole message and the line that ends it: EX_OK, or why not. Without its end posternd stores nothing. */
static int send_message(struct link *l, struct buf *first)
{
    struct message m = { .eol = EOL_START, .line_start = true };
    char in[CHUNK], out[EOL_ROOM(CHUNK)];
    ssize_t n;

    while (buf_left(first) > 0) {
        struct span piece = buf_span(first);
        if (piece.len > CHUNK)
            piece.len = CHUNK;
        if (!send_lines(l, &m, out, eol_feed(&m.eol, piece.at, piece.len, out)))
            return later("could not send the message to posternd");
        buf_consume(first, piece.len);
    }
    while ((n = read_input(in, sizeof in)) > 0)
        if (!send_lines(l, &m, out, eol_feed(&m.eol, in, (size_t)n, out)))
            return later("could not send the message to posternd");
    if (n < 0)
        return later("could not read the message");
    if (!send_lines(l, &m, out, eol_end(&m.eol, out)) || !send_all(l, ".\r\n", 3))
        return later("could not send the message to posternd");
    return EX_OK;
}

static int transaction(struct link *l, const char *sender, const char *recipient, bool utf8, struct buf *first)
{
    char host[256] = "localhost", class;
    int end;

    gethostname(host, sizeof host - 1);
    if ((class = receive(l)) != '2' || (class = ask(l, "LHLO %", host, NULL)) != '2' ||
        (class = ask(l, "MAIL FROM:<%> BODY=8BITMIME%", sender, utf8 ? " SMTPUTF8" : "")) != '2' ||
        (class = ask(l, "RCPT TO:<%>", recipient, NULL)) != '2' || (class = ask(l, "DATA", NULL, NULL)) != '3')
        return ended_by(l, class);
    end = send_message(l, first);
    if (end != EX_OK)
        return end;
    class = receive(l);
    if (class != '2')
        return ended_by(l, class);
    (void)send_all(l, "QUIT\r\n", 6);
    return EX_OK;
}

/* An address that can stand between angle brackets. */
static bool harmless(const char *address, bool *utf8)
{
    for (const char *p = address; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7F || c == '<' || c == '>')
            return false;
        *utf8 = *utf8 || c >= 0x80;
    }
    return strlen(address) <= 512;
}

enum ctl_exit run_deliver(struct ctl *c)
{
    const char *where = c->opt[OPT_SOCKET] != NULL ? c->opt[OPT_SOCKET] : "/run/postern/lmtp";
    const char *sender = c->opt[OPT_SENDER] != NULL ? c->opt[OPT_SENDER] : "", *recipient = c->args[0];
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    struct link l = { .fd = -1, .in = BUF_EMPTY };
    struct buf first = BUF_EMPTY;
    bool utf8 = false;
    int end;

    if (strcmp(sender, "<>") == 0)
        sender = "";
    if (!harmless(sender, &utf8) || !harmless(recipient, &utf8) || recipient[0] == '\0')
        return (enum ctl_exit)tell(EX_USAGE, "5.1.3 the sender or the recipient is not an address");
    if (!read_first(&first)) {
        end = later("could not read the message");
    } else if (buf_left(&first) == 0) {
        end = tell(EX_DATAERR, "5.6.0 no message on standard input");
    } else if (!skip_from_line(&first)) {
        end = tell(EX_DATAERR, "5.6.0 the message has no line end");
    } else if ((l.fd = where[0] == '/' ? unix_socket_connect(where, SOCK_STREAM) : connect_address(where)) < 0) {
        end = later("posternd cannot be reached");
    } else {
        setsockopt(l.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(l.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        end = transaction(&l, sender, recipient, utf8, &first);
        close(l.fd);
    }
    buf_free(&first);
    buf_free(&l.in);
    return (enum ctl_exit)end;
}
