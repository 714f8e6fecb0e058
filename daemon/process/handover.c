/*
 * handover.c - writes and reads the note. A line for each descriptor:
 *
 *   errors FD
 *   control FD PATH
 *   login_cache FD
 *   listen FD PORT ADDRESS
 *   adopted FD
 *   names TEXT                 of those, with colons in between
 */
#include "daemon/process/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/process/sockets.h"

#define VARIABLE "POSTERN_HANDOVER"

enum { NOTE_MAX = 1 << 20, FD_MAX = 1 << 20 };

/* ---------------------------------------------------------------------- giving */

static bool leave_open(int fd)
{
    return fcntl(fd, F_SETFD, 0) == 0;
}

static void listen_line(void *arg, const char *address, int64_t port, int fd)
{
    buf_addf(arg, "listen %d %lld %s\n", fd, (long long)port, address);
    (void)leave_open(fd);
}

bool handover_give(const struct handover *h)
{
    struct buf note = BUF_EMPTY;
    char number[16];
    int fd = memfd_create("postern-handover", 0);
    bool good = fd >= 0 && leave_open(h->errors);

    buf_addf(&note, "errors %d\n", h->errors);
    if (h->control >= 0) {
        buf_addf(&note, "control %d %s\n", h->control, h->control_path);
        good = good && leave_open(h->control);
    }
    if (h->login_cache >= 0) {
        buf_addf(&note, "login_cache %d\n", h->login_cache);
        good = good && leave_open(h->login_cache);
    }
    if (h->sockets != NULL)
        sockets_each(h->sockets, listen_line, &note);
    for (size_t i = 0; i < h->adopted_count; i++) {
        buf_addf(&note, "adopted %d\n", h->adopted[i]);
        good = good && leave_open(h->adopted[i]);
    }
    if (h->adopted_names != NULL)
        buf_addf(&note, "names %s\n", h->adopted_names);
    good = good && write(fd, note.data, note.len) == (ssize_t)note.len;
    snprintf(number, sizeof number, "%d", fd);
    good = good && setenv(VARIABLE, number, 1) == 0;
    buf_free(&note);
    return good;
}

/* ---------------------------------------------------------------------- taking */

/* Takes a number from the front of the text. */
static bool take_number(char **at, uint64_t max, uint64_t *n_r)
{
    size_t len = strcspn(*at, " ");
    bool good = num_parse((struct span){ *at, len }, max, n_r) == 1;

    *at += len;
    if (**at == ' ')
        (*at)++;
    return good;
}

static bool take_line(struct handover *h, char *line)
{
    char *rest = strchr(line, ' ');
    uint64_t number, port;

    if (rest == NULL)
        return false;
    *rest++ = '\0';
    if (strcmp(line, "names") == 0 && h->adopted_names == NULL) {
        h->adopted_names = mem_str(rest);
        return true;
    }
    if (!take_number(&rest, FD_MAX, &number) || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return false;
    if (strcmp(line, "errors") == 0) {
        h->errors = (int)number;
    } else if (strcmp(line, "control") == 0 && rest[0] == '/' && h->control < 0) {
        h->control = (int)number;
        h->control_path = mem_str(rest);
    } else if (strcmp(line, "login_cache") == 0 && h->login_cache < 0) {
        h->login_cache = (int)number;
    } else if (strcmp(line, "adopted") == 0 && h->adopted_count < HANDOVER_ADOPTED_MAX) {
        h->adopted[h->adopted_count++] = (int)number;
    } else if (strcmp(line, "listen") == 0 && take_number(&rest, 65535, &port)) {
        if (h->sockets == NULL)
            h->sockets = sockets_none();
        sockets_know(h->sockets, rest, (int64_t)port, (int)number);
    } else {
        return false;
    }
    return true;
}

static char *read_note(int fd)
{
    char *text = mem_zalloc(NOTE_MAX + 1);

    for (size_t len = 0; len < NOTE_MAX;) {
        ssize_t n = pread(fd, text + len, NOTE_MAX - len, (off_t)len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return text;
}

int handover_take(struct handover *h)
{
    const char *variable = getenv(VARIABLE);
    uint64_t fd;
    char *text, *next;
    bool good = true;

    *h = (struct handover){ .errors = -1, .control = -1, .login_cache = -1 };
    if (variable == NULL)
        return 0;
    if (num_parse(span_str(variable), FD_MAX, &fd) != 1)
        return -1;
    unsetenv(VARIABLE);
    text = read_note((int)fd);
    close((int)fd);
    for (char *line = text; good && line[0] != '\0'; line = next) {
        size_t len = strcspn(line, "\n");

        next = line + len + (line[len] == '\n');
        line[len] = '\0';
        good = take_line(h, line);
    }
    mem_free(text);
    return good && h->errors >= 0 ? 1 : -1;
}
