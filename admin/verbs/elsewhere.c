/*
 * elsewhere.c - `old-server`, `mailbox elsewhere` and `here`, the same of `domain`, and `elsewhere`: who
 * is still at another server while mailboxes move here, one by one or many at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/out.h"
#include "daemon/base/host_port.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

/* An array of texts, as it is filled. */
struct texts {
    struct buf array;
    uint32_t count;
};

static void texts_begin(struct texts *t)
{
    t->array = BUF_EMPTY;
    t->count = 0;
    pg_array_begin(&t->array, PG_TEXT);
}

static void texts_add(struct texts *t, struct span text)
{
    pg_array_put_bytes(&t->array, text);
    t->count++;
}

static void texts_arg(struct texts *t, struct args *a)
{
    pg_array_set_count(&t->array, t->count);
    args_binary(a, &t->array);
}

/* --------------------------------------------------------------- old servers */

/* SETTING=VALUE, from the i-th argument on. False after a message. */
static bool add_settings(const struct ctl *c, int i, struct texts *names, struct texts *values)
{
    for (; i < c->nargs; i++) {
        const char *equals = strchr(c->args[i], '=');

        if (equals == NULL || equals == c->args[i]) {
            ctl_error(CTL_USAGE, "\"%s\" is not SETTING=VALUE", c->args[i]);
            return false;
        }
        texts_add(names, (struct span){ c->args[i], (size_t)(equals - c->args[i]) });
        texts_add(values, span_str(equals + 1));
    }
    return true;
}

static bool add_place(const char *arg, struct texts *names, struct texts *values)
{
    struct span list = span_str(arg), word;
    struct host_port at;
    char port[8];

    if (host_port_next(&list, &at, &word) != 1 || list.len > 0) {
        ctl_error(CTL_USAGE, "\"%s\" is not HOST:PORT, as in pop3s.old.example:995 or [2001:db8::7]:995", arg);
        return false;
    }
    snprintf(port, sizeof port, "%u", at.port);
    texts_add(names, SPAN_OF("host"));
    texts_add(values, span_str(at.host));
    texts_add(names, SPAN_OF("port"));
    texts_add(values, span_str(port));
    return true;
}

static enum ctl_exit set_server(struct ctl *c, bool is_new)
{
    struct args a = ARGS_NONE;
    struct texts names, values;
    enum ctl_exit end = CTL_USAGE;

    texts_begin(&names);
    texts_begin(&values);
    if ((!is_new || add_place(c->args[1], &names, &values)) && add_settings(c, is_new ? 2 : 1, &names, &values)) {
        args_text(&a, c->args[0]);
        args_bool(&a, is_new);
        texts_arg(&names, &a);
        texts_arg(&values, &a);
        end = db_call(c, "set the old server", "select postern.set_old_server($1, $2, $3::text[], $4::text[])", &a);
    }
    buf_free(&names.array);
    buf_free(&values.array);
    if (end == CTL_DONE)
        ctl_say(c, "old server %s %s", c->args[0], is_new ? "added" : "changed");
    return end;
}

enum ctl_exit run_old_server_add(struct ctl *c) { return set_server(c, true); }
enum ctl_exit run_old_server_set(struct ctl *c) { return set_server(c, false); }

static const char list_servers[] = "select * from postern.list_old_servers($1)";

enum ctl_exit run_old_server_show(struct ctl *c)
{
    struct args a = ARGS_NONE;

    args_text(&a, c->args[0]);
    return out_ask_one(c, "list old servers", list_servers, &a);
}

enum ctl_exit run_old_server_list(struct ctl *c)
{
    struct args a = ARGS_NONE;

    args_null(&a);
    return out_ask(c, "list old servers", list_servers, &a);
}

enum ctl_exit run_old_server_remove(struct ctl *c)
{
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    args_text(&a, c->args[0]);
    end = db_call(c, "remove the old server", "select postern.remove_old_server($1)", &a);
    if (end == CTL_DONE)
        ctl_say(c, "old server %s removed", c->args[0]);
    return end;
}

/* ----------------------------------------------------------------- mailboxes */

struct moving {
    struct texts addresses, names;
};

static bool add_mailbox(struct moving *m, const char *arg, const char *name)
{
    char address[CTL_ADDRESS_SIZE];

    if (!ctl_address(arg, false, address))
        return false;
    texts_add(&m->addresses, span_str(address));
    texts_add(&m->names, span_str(name));
    return true;
}

/* "ADDRESS", or with named "ADDRESS NAME"; the name is the rest of the line. */
static bool add_line(struct moving *m, char *line, bool named, const char *path, unsigned long number)
{
    char *address = line + strspn(line, " \t"), *name;
    size_t len = strcspn(address, "\r\n");

    while (len > 0 && (address[len - 1] == ' ' || address[len - 1] == '\t'))
        len--;
    address[len] = '\0';
    if (address[0] == '\0' || address[0] == '#')
        return true;
    name = address + strcspn(address, " \t");
    if (*name != '\0')
        *name++ = '\0';
    name += strspn(name, " \t");
    if ((named || name[0] == '\0') && add_mailbox(m, address, name))
        return true;
    ctl_error(CTL_USAGE, "%s:%lu: this line is wrong%s", path, number,
              !named && name[0] != '\0' ? ": only an address is expected" : "");
    return false;
}

static enum ctl_exit add_file(struct moving *m, const char *path, bool named)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    unsigned long number = 0;
    bool ok = in != NULL;

    while (ok && getline(&line, &room, in) >= 0)
        ok = add_line(m, line, named, path, ++number);
    enum ctl_exit end = ok ? CTL_DONE : CTL_USAGE;

    if (in == NULL || (ok && ferror(in)))
        end = ctl_error(CTL_FAILED, "could not read %s: %s", path, strerror(errno));
    free(line);
    if (in != NULL && in != stdin)
        fclose(in);
    return end;
}

static const char set_elsewhere[] = "select postern.set_elsewhere($1, $2::text[], $3::text[])";

/* server: NULL for here. The addresses are those from the i-th argument on, or in a file. */
static enum ctl_exit move(struct ctl *c, const char *server, int i)
{
    const char *file = c->opt[OPT_FILE], *name = server != NULL ? c->opt[OPT_NAME] : NULL;
    struct args a = ARGS_NONE;
    struct moving m;
    enum ctl_exit end = CTL_DONE;
    int64_t count = 0;

    if ((file != NULL) == (c->nargs > i) || (name != NULL && c->nargs != i + 1))
        return ctl_error(CTL_USAGE, "give addresses, or --file; --name goes with one address");
    texts_begin(&m.addresses);
    texts_begin(&m.names);
    if (file != NULL)
        end = add_file(&m, file, server != NULL);
    for (; end == CTL_DONE && i < c->nargs; i++)
        end = add_mailbox(&m, c->args[i], name != NULL ? name : "") ? CTL_DONE : CTL_USAGE;
    if (end == CTL_DONE) {
        args_text(&a, server);
        texts_arg(&m.addresses, &a);
        texts_arg(&m.names, &a);
        if (!db_numbers(c, "move the mailboxes", set_elsewhere, &a, 1, &count))
            end = db_end(c);
    }
    buf_free(&m.addresses.array);
    buf_free(&m.names.array);
    if (end == CTL_DONE)
        ctl_say(c, "%lld of %u mailboxes changed: %s%s", (long long)count, m.addresses.count,
                server != NULL ? "elsewhere, at " : "here", server != NULL ? server : "");
    return end;
}

enum ctl_exit run_mailbox_elsewhere(struct ctl *c) { return move(c, c->args[0], 1); }
enum ctl_exit run_mailbox_here(struct ctl *c) { return move(c, NULL, 0); }

/* ------------------------------------------------------------------- domains */

static enum ctl_exit move_domain(struct ctl *c, const char *server)
{
    char domain[CTL_DOMAIN_SIZE];
    struct args a = ARGS_NONE;
    int64_t count;

    if (!ctl_domain(c->args[0], domain))
        return CTL_USAGE;
    args_text(&a, domain);
    args_text(&a, server);
    if (!db_numbers(c, "move the domain", "select postern.set_domain_elsewhere($1, $2)", &a, 1, &count))
        return db_end(c);
    ctl_say(c, "domain %s is %s%s; %lld of its mailboxes are elsewhere", domain,
            server != NULL ? "elsewhere, at " : "here", server != NULL ? server : "", (long long)count);
    return CTL_DONE;
}

enum ctl_exit run_domain_elsewhere(struct ctl *c) { return move_domain(c, c->args[1]); }
enum ctl_exit run_domain_here(struct ctl *c) { return move_domain(c, NULL); }

enum ctl_exit run_elsewhere(struct ctl *c)
{
    char domain[CTL_DOMAIN_SIZE];
    struct args a = ARGS_NONE;

    if (c->nargs > 0 && !ctl_domain(c->args[0], domain))
        return CTL_USAGE;
    args_text(&a, c->nargs > 0 ? domain : NULL);
    return out_ask(c, "list who is elsewhere", "select * from postern.list_elsewhere($1)", &a);
}
