/*
 * operator.c - accepts operators, asks the kernel who they are, takes one line
 * from each.
 *
 * It runs in the master, so it must never wait for anybody, keep more than a
 * few lines, or look at an octet before it knows that an operator sent it.
 */
#include "daemon/control/operator.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/control.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/listener.h"

enum { BACKLOG = 8, PATIENCE_MS = 5000 };

struct client {
    int fd;                     /* -1: free */
    uint64_t until;
    size_t len;
    char line[CONTROL_LINE];
};

struct operator_socket {
    operator_command *run;
    void *arg;
    int fd;
    char *path;
    struct client clients[OPERATOR_CLIENTS];
};

void operator_say(int fd, const char *text, size_t len)
{
    (void)!send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void operator_sayf(int fd, const char *fmt, ...)
{
    struct buf b = BUF_EMPTY;
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_addf(&b, "%s\n", text);
    operator_say(fd, b.data, b.len);
    buf_free(&b);
}

/* ------------------------------------------------------------------ listening */

struct operator_socket *operator_new(operator_command *run, void *arg)
{
    struct operator_socket *o = mem_zalloc(sizeof *o);

    o->run = run;
    o->arg = arg;
    o->fd = -1;
    o->path = mem_str("");
    for (size_t i = 0; i < OPERATOR_CLIENTS; i++)
        o->clients[i].fd = -1;
    return o;
}

void operator_leave(struct operator_socket *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
    mem_free(o->path);
    o->path = mem_str("");
}

void operator_close(struct operator_socket *o)
{
    if (o->fd >= 0)
        unlink(o->path);
    operator_leave(o);
}

void operator_adopt(struct operator_socket *o, const char *path, int fd)
{
    operator_leave(o);
    o->fd = fd;
    mem_free(o->path);
    o->path = mem_str(path);
}

int operator_listen(struct operator_socket *o, const char *path, char **error_r)
{
    int fd = -1;

    if (strcmp(path, o->path) == 0)
        return 0;
    if (path[0] != '\0' && listener_bind_path(path, 0600, (gid_t)-1, BACKLOG, &fd, error_r) < 0)
        return -1;
    operator_close(o);
    if (fd >= 0)
        operator_adopt(o, path, fd);
    return 0;
}

int operator_fd(const struct operator_socket *o)
{
    return o->fd;
}

static void drop(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    c->len = 0;
}

void operator_free(struct operator_socket **operator_p)
{
    struct operator_socket *o = *operator_p;

    if (o == NULL)
        return;
    *operator_p = NULL;
    operator_close(o);
    for (size_t i = 0; i < OPERATOR_CLIENTS; i++) {
        if (o->clients[i].fd >= 0)
            drop(&o->clients[i]);
    }
    mem_free(o->path);
    mem_free(o);
}

/* -------------------------------------------------------------------- serving */

size_t operator_poll(const struct operator_socket *o, struct pollfd *fds)
{
    size_t n = 0;
    bool room = false;

    for (size_t i = 0; i < OPERATOR_CLIENTS; i++) {
        if (o->clients[i].fd >= 0)
            fds[n++] = (struct pollfd){ .fd = o->clients[i].fd, .events = POLLIN };
        else
            room = true;
    }
    if (o->fd >= 0 && room)
        fds[n++] = (struct pollfd){ .fd = o->fd, .events = POLLIN };
    return n;
}

uint64_t operator_deadline(const struct operator_socket *o)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < OPERATOR_CLIENTS; i++) {
        if (o->clients[i].fd >= 0 && o->clients[i].until < next)
            next = o->clients[i].until;
    }
    return next;
}

/* The kernel says who it was at connect time. */
static bool is_operator(int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return false;
    if (who.uid == 0 || who.uid == geteuid())
        return true;
    log_warning(NULL, "control: permission denied for uid %ld (pid %ld)", (long)who.uid, (long)who.pid);
    return false;
}

static void accept_one(struct operator_socket *o, uint64_t now)
{
    int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (size_t i = 0; i < OPERATOR_CLIENTS && is_operator(fd); i++) {
        struct client *c = &o->clients[i];

        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->len = 0;
        c->until = now + PATIENCE_MS;
        return;
    }
    close(fd);
}

/* In place. False if they are more than any command has, or what is no word. */
static bool split(char *line, char *words[CONTROL_WORDS], size_t *count_r)
{
    size_t n = 0;

    for (char *at = line, *next = line; next != NULL; at = next) {
        next = strchr(at, ' ');
        if (next != NULL)
            *next++ = '\0';
        if (at[0] == '\0' || n == CONTROL_WORDS)
            return false;
        for (const char *p = at; *p != '\0'; p++) {
            if ((unsigned char)*p <= ' ' || *p == 0x7f)
                return false;
        }
        words[n++] = at;
    }
    *count_r = n;
    return true;
}

static void obey(struct operator_socket *o, struct client *c, uint64_t now)
{
    char *end = memchr(c->line, '\n', c->len), *words[CONTROL_WORDS];
    size_t count = 0;

    *end = '\0';
    /* One command, and nothing behind it: a NUL in it is the end of the text, but not of the line. */
    if (end != c->line + c->len - 1 || strlen(c->line) != c->len - 1 || !split(c->line, words, &count))
        operator_sayf(c->fd, "ERR unknown command");
    else
        o->run(o->arg, c->fd, words, count, now);
    drop(c);
}

static void read_one(struct operator_socket *o, struct client *c, uint64_t now)
{
    ssize_t n = recv(c->fd, c->line + c->len, sizeof c->line - c->len, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    if (memchr(c->line, '\n', c->len) != NULL)
        obey(o, c, now);
    else if (c->len == sizeof c->line)
        drop(c);
}

void operator_serve(struct operator_socket *o, const struct pollfd *fds, size_t count, uint64_t now)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents == 0)
            continue;
        if (fds[i].fd == o->fd) {
            accept_one(o, now);
            continue;
        }
        for (size_t k = 0; k < OPERATOR_CLIENTS; k++) {
            if (o->clients[k].fd == fds[i].fd)
                read_one(o, &o->clients[k], now);
        }
    }
    for (size_t k = 0; k < OPERATOR_CLIENTS; k++) {
        if (o->clients[k].fd >= 0 && o->clients[k].until <= now)
            drop(&o->clients[k]);
    }
}
