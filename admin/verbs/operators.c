/*
 * operators.c - `tenant operator`: who may look after a tenant; `whoami`: who one is; `audit`: what
 * they, and the operator of the host, have changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/out.h"
#include "admin/secret_line.h"
#include "admin/tenant.h"
#include "daemon/base/list.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

/* --rights as a text[], null where it is not given; --connections behind it. False after a message. */
static bool args_rights(struct ctl *c, struct args *a, struct buf *list)
{
    struct span rest = span_str(c->opt[OPT_RIGHTS] != NULL ? c->opt[OPT_RIGHTS] : ""), word;
    uint32_t count = 0;
    int64_t connections;

    if (!ctl_number(c, OPT_CONNECTIONS, 0, 1000, &connections))
        return false;
    pg_array_begin(list, PG_TEXT);
    while (!span_is(rest, SPAN_OF("none")) && list_next(&rest, &word)) {
        pg_array_put_bytes(list, word);
        count++;
    }
    pg_array_set_count(list, count);
    if (c->opt[OPT_RIGHTS] != NULL)
        args_binary(a, list);
    else
        args_null(a);
    if (connections != 0)
        args_int(a, connections);
    else
        args_null(a);
    return true;
}

static enum ctl_exit change(struct ctl *c, const char *what, const char *sql, const struct args *a, const char *name,
                            const char *done)
{
    enum ctl_exit end = db_call(c, what, sql, a);

    if (end == CTL_DONE)
        ctl_say(c, "operator %s %s", name, done);
    return end;
}

static enum ctl_exit add(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct buf list = BUF_EMPTY;
    enum ctl_exit end = CTL_USAGE;

    args_text(&a, c->args[1]);
    args_text(&a, c->args[2]);
    if (args_rights(c, &a, &list))
        end = change(c, "add the operator", "select postern.add_operator($1, $2, $3::text[], $4)", &a, c->args[2],
                     "added");
    buf_free(&list);
    return end;
}

static enum ctl_exit set(struct ctl *c)
{
    struct args a = ARGS_NONE;
    struct buf list = BUF_EMPTY;
    enum ctl_exit end = CTL_USAGE;

    if (c->opt[OPT_RIGHTS] == NULL && c->opt[OPT_CONNECTIONS] == NULL)
        return ctl_error(CTL_USAGE, "nothing to change: give --rights or --connections");
    args_text(&a, c->args[1]);
    if (args_rights(c, &a, &list))
        end = change(c, "change the operator", "select postern.set_operator($1, $2::text[], $3)", &a, c->args[1],
                     "changed");
    buf_free(&list);
    return end;
}

/* What is sent is what PostgreSQL keeps of it, so that no log can have the password. */
static enum ctl_exit password(struct ctl *c)
{
    struct secret_line line = { .len = 0 };
    struct args a = ARGS_NONE;
    enum ctl_exit end = CTL_FAILED;
    char *verifier = NULL;

    secret_no_core();
    if (c->opt[OPT_REMOVE] == NULL) {
        if (!secret_line_ask("password", c->args[1], true, &line)) {
            secret_wipe(&line, sizeof line);
            return CTL_FAILED;
        }
        line.text[line.len] = '\0';
        verifier = PQencryptPasswordConn(c->db, line.text, c->args[1], "scram-sha-256");
        secret_wipe(&line, sizeof line);
        if (verifier == NULL)
            return ctl_error(CTL_FAILED, "could not make the verifier of the password: %s", PQerrorMessage(c->db));
    }
    args_text(&a, c->args[1]);
    args_text(&a, verifier);
    end = change(c, "set the password of the operator", "select postern.set_operator_password($1, $2)", &a, c->args[1],
                 verifier != NULL ? "has a new password" : "has no password any more");
    if (verifier != NULL)
        secret_wipe(verifier, strlen(verifier));
    PQfreemem(verifier);
    return end;
}

static enum ctl_exit remove_operator(struct ctl *c)
{
    struct args a = ARGS_NONE;

    args_text(&a, c->args[1]);
    return change(c, "remove the operator", "select postern.remove_operator($1)", &a, c->args[1], "removed");
}

static enum ctl_exit list(struct ctl *c)
{
    struct args a = ARGS_NONE;

    args_text(&a, c->nargs > 1 ? c->args[1] : NULL);
    return out_ask(c, "list operators", "select * from postern.list_operators($1)", &a);
}

enum ctl_exit run_tenant_operator(struct ctl *c)
{
    static const struct {
        const char *word;
        int fewest, most;
        enum ctl_exit (*run)(struct ctl *c);
    } actions[] = {
        { "add", 3, 3, add },
        { "set", 2, 2, set },
        { "password", 2, 2, password },
        { "remove", 2, 2, remove_operator },
        { "list", 1, 2, list },
    };

    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(c->args[0], actions[i].word) != 0)
            continue;
        if (c->nargs < actions[i].fewest || c->nargs > actions[i].most)
            return ctl_error(CTL_USAGE, "too %s arguments: see posternctl tenant operator --help",
                             c->nargs < actions[i].fewest ? "few" : "many");
        return actions[i].run(c);
    }
    return ctl_error(CTL_USAGE, "tenant operator has no action \"%s\": see posternctl tenant operator --help",
                     c->args[0]);
}

/* ---- whoami */

static void show_verb(void *arg, const char *word, const char *action, const char *right)
{
    struct json *j = arg;
    char text[64];

    (void)right;
    snprintf(text, sizeof text, "%s%s%s", word, action != NULL ? " " : "", action != NULL ? action : "");
    if (j != NULL)
        json_text(j, NULL, span_str(text));
    else
        printf("  %s\n", text);
}

enum ctl_exit run_whoami(struct ctl *c)
{
    struct json j;

    if (c->json) {
        json_start(&j, stdout);
        json_object(&j, NULL);
        json_text(&j, "role", span_str(PQuser(c->db)));
        json_text(&j, "tenant", c->tenant != NULL ? span_str(c->tenant) : SPAN_OF(""));
        json_text(&j, "rights", c->tenant != NULL ? span_str(c->rights) : SPAN_OF("all"));
        json_array(&j, "verbs");
        tenant_verbs(c, show_verb, &j);
        json_end(&j);
        json_end(&j);
    } else if (c->tenant == NULL) {
        printf("%s, an operator of the host\n", PQuser(c->db));
    } else {
        printf("%s, an operator of tenant %s, with the rights: %s\nverbs that you may use:\n", c->operator_name,
               c->tenant, c->rights[0] != '\0' ? c->rights : "to look");
        tenant_verbs(c, show_verb, NULL);
    }
    return CTL_DONE;
}

/* ---- audit */

enum ctl_exit run_audit(struct ctl *c)
{
    char time[CTL_TIME_SIZE];
    struct args a = ARGS_NONE;
    const char *since;

    if (!ctl_time(c, OPT_SINCE, time, &since))
        return CTL_USAGE;
    args_text(&a, since);
    args_text(&a, c->opt[OPT_TENANT]);
    args_text(&a, c->nargs > 0 ? c->args[0] : NULL);
    return out_ask(c, "show the changes", "select * from postern.list_audit($1, $2, $3)", &a);
}
