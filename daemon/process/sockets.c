/*
 * sockets.c - makes the listening descriptors and keeps them over a reload.
 *
 * It never accepts: workers do, from the same descriptors. A descriptor that
 * goes on with the next configuration is never closed and bound again, since
 * what waits in it would be refused.
 */
#include "daemon/process/sockets.h"

#include <grp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/listener.h"

/* Where one listener of the configuration is bound. */
struct sockets_place {
    char *address;
    int64_t port;
    int fds[LISTENER_MAX_FDS];
    size_t count;
};

static const struct sockets_place *find_place(const struct sockets *s, const char *address, int64_t port)
{
    for (size_t i = 0; s != NULL && i < s->place_count; i++) {
        const struct sockets_place *p = &s->places[i];

        if (strcmp(p->address, address) == 0 && (address[0] == '/' || p->port == port))
            return p;
    }
    return NULL;
}

static bool has_fd(const struct sockets *s, int fd)
{
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        if (s->fds[i] == fd)
            return true;
    }
    return false;
}

static void add_fd(struct sockets *s, int fd, size_t listener)
{
    s->fds = mem_resize(s->fds, s->count + 1, sizeof *s->fds);
    s->listener = mem_resize(s->listener, s->count + 1, sizeof *s->listener);
    s->fds[s->count] = fd;
    s->listener[s->count] = listener;
    s->count++;
}

/* The same descriptors for the next configuration. */
static void use_on(struct sockets_place *p, const struct sockets_place *old, int64_t backlog)
{
    memcpy(p->fds, old->fds, sizeof p->fds);
    p->count = old->count;
    for (size_t i = 0; i < p->count; i++)
        (void)listen(p->fds[i], (int)backlog);      /* once more: it may have changed */
}

/* A family that was missing may be there by now. */
static void complete(struct sockets_place *p, const struct listener_settings *l)
{
    char *error = NULL;
    int count = p->count < LISTENER_MAX_FDS && strcmp(l->address, "*") == 0
                ? listener_bind_rest((uint16_t)l->port, (int)l->backlog, p->fds, p->count, &error) : (int)p->count;

    if (count < 0)
        log_warning(NULL, "%s", error);
    else if ((size_t)count > p->count)
        log_info(NULL, "listening on * port %lld with both address families now", (long long)l->port);
    if (count > 0)
        p->count = (size_t)count;
    mem_drop(&error);
}

static void say_what_is_missing(const struct sockets_place *p, const struct listener_settings *l)
{
    const char *lacks = strcmp(l->address, "*") == 0 ? listener_lacks(p->fds, p->count) : NULL;

    if (lacks != NULL)
        log_warning(NULL, "listening on * port %lld without %s, which this system does not have", (long long)l->port,
                    lacks);
}

static int bind_listener(const struct config *config, size_t i, int *fds_r, char **error_r)
{
    const struct listener_settings *l = config_listener(config, i);
    const struct group *group = l->group[0] != '\0' ? getgrnam(l->group) : NULL;
    const char *usual = l->passed ? "0600" : config_protocol(config, i)->socket_mode;
    const char *mode = l->mode[0] != '\0' ? l->mode : usual;

    if (l->address[0] != '/')
        return listener_bind(l->address, (uint16_t)l->port, (int)l->backlog, fds_r, error_r);
    return listener_bind_path(l->address, (mode_t)strtoul(mode, NULL, 8), group != NULL ? group->gr_gid : (gid_t)-1,
                              (int)l->backlog, fds_r, error_r);
}

static bool has_names(const struct config *config)
{
    for (size_t i = 0; i < config->listeners.count; i++) {
        if (config_listener(config, i)->name[0] != '\0')
            return true;
    }
    return false;
}

/*
 * Never by order where there are names: a manager passes sockets in an order of its own, and one
 * of them may be for TLS.
 */
static bool find_named(const struct config *config, const char *name, size_t len, size_t *listener_r)
{
    for (size_t i = 0; len > 0 && i < config->listeners.count; i++) {
        const char *known = config_listener(config, i)->name;

        if (strlen(known) == len && memcmp(known, name, len) == 0) {
            *listener_r = i;
            return true;
        }
    }
    return false;
}

struct sockets *sockets_adopt(const struct config *config, const int *fds, size_t count, const char *names,
                              char **error_r)
{
    struct sockets *s = mem_zalloc(sizeof *s);
    bool by_name = names != NULL && has_names(config);
    const char *name = names;

    for (size_t i = 0; i < count; i++) {
        size_t listener = i;
        size_t len = by_name ? strcspn(name, ":") : 0;

        if (by_name && !find_named(config, name, len, &listener)) {
            mem_error(error_r, "a socket named \"%.*s\" was passed, but no listener has this name",
                      (int)(len < 256 ? len : 256), name);
            mem_free(s->fds);
            mem_free(s->listener);
            mem_free(s);
            return NULL;
        }
        if (by_name)
            name += len + (name[len] == ':');
        add_fd(s, fds[i], listener);
    }
    s->names = names != NULL ? mem_str(names) : NULL;
    return s;
}

struct sockets *sockets_bind(const struct config *config, const struct sockets *old, char **error_r)
{
    struct sockets *s;

    if (old != NULL && old->place_count == 0)
        return sockets_adopt(config, old->fds, old->count, old->names, error_r);

    s = mem_zalloc(sizeof *s);
    s->places = mem_array(config->listeners.count, sizeof *s->places);
    for (size_t i = 0; i < config->listeners.count; i++) {
        const struct listener_settings *l = config_listener(config, i);
        const struct sockets_place *before = find_place(old, l->address, l->port);
        struct sockets_place *p = &s->places[s->place_count];
        int made;

        if (before != NULL) {
            use_on(p, before, l->backlog);
            complete(p, l);
        } else {
            made = bind_listener(config, i, p->fds, error_r);
            if (made < 0) {
                sockets_free(&s, old);
                return NULL;
            }
            p->count = (size_t)made;
        }
        p->address = mem_str(l->address);
        p->port = l->port;
        s->place_count++;
        for (size_t k = 0; k < p->count; k++)
            add_fd(s, p->fds[k], i);
        if (before == NULL && l->address[0] == '/')
            log_info(NULL, "listening on %s", l->address);
        else if (before == NULL)
            log_info(NULL, "listening on %s port %lld", l->address, (long long)l->port);
        say_what_is_missing(p, l);
    }
    return s;
}

unsigned sockets_speak(const struct sockets *s, const struct config *config)
{
    unsigned set = 0;

    for (size_t i = 0; i < s->count; i++)
        set |= protocol_bit(config_protocol(config, s->listener[i]));
    return set;
}

struct sockets *sockets_of(const struct sockets *s, const struct config *config, unsigned set)
{
    struct sockets *some = sockets_none();

    for (size_t i = 0; i < s->count; i++)
        if (set & protocol_bit(config_protocol(config, s->listener[i])))
            add_fd(some, s->fds[i], s->listener[i]);
    return some;
}

void sockets_close(const struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++)
        close(s->fds[i]);
}

struct sockets *sockets_none(void)
{
    return mem_zalloc(sizeof(struct sockets));
}

void sockets_know(struct sockets *s, const char *address, int64_t port, int fd)
{
    struct sockets_place *p = NULL;

    for (size_t i = 0; i < s->place_count && p == NULL; i++) {
        if (strcmp(s->places[i].address, address) == 0 && s->places[i].port == port)
            p = &s->places[i];
    }
    if (p == NULL) {
        s->places = mem_resize(s->places, s->place_count + 1, sizeof *s->places);
        p = &s->places[s->place_count++];
        *p = (struct sockets_place){ .address = mem_str(address), .port = port };
    }
    if (p->count == LISTENER_MAX_FDS) {
        close(fd);
        return;
    }
    p->fds[p->count++] = fd;
    add_fd(s, fd, s->place_count - 1);
}

void sockets_each(const struct sockets *s, void (*each)(void *arg, const char *address, int64_t port, int fd),
                  void *arg)
{
    for (size_t i = 0; i < s->place_count; i++) {
        const struct sockets_place *p = &s->places[i];

        for (size_t k = 0; k < p->count; k++)
            each(arg, p->address, p->port, p->fds[k]);
    }
}

static void forget(struct sockets *s)
{
    mem_free(s->names);
    for (size_t i = 0; i < s->place_count; i++)
        mem_free(s->places[i].address);
    mem_free(s->places);
    mem_free(s->fds);
    mem_free(s->listener);
    mem_free(s);
}

void sockets_leave(struct sockets **sockets)
{
    struct sockets *s = *sockets;

    if (s == NULL)
        return;
    *sockets = NULL;
    sockets_close(s);
    forget(s);
}

void sockets_free(struct sockets **sockets, const struct sockets *next)
{
    struct sockets *s = *sockets;

    if (s == NULL)
        return;
    *sockets = NULL;
    for (size_t i = 0; i < s->count; i++) {
        if (!has_fd(next, s->fds[i]))
            close(s->fds[i]);
    }
    for (size_t i = 0; i < s->place_count; i++) {
        struct sockets_place *p = &s->places[i];

        if (p->address[0] == '/' && find_place(next, p->address, p->port) == NULL)
            unlink(p->address);
    }
    forget(s);
}
