/*
 * message.c - `message list`, `show`, `uidl` and `remove`.
 */
#include <stdio.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/mail/mailread.h"
#include "admin/out.h"
#include "admin/tenant.h"
#include "daemon/base/num.h"
#include "storage/maildrop/uidl.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

static bool find_mailbox(struct ctl *c, char address[CTL_ADDRESS_SIZE], struct mailbox_ref *mailbox_r,
                         enum ctl_exit *end_r)
{
    struct args a = ARGS_NONE;

    *end_r = CTL_FAILED;
    if (!ctl_address(c->args[0], false, address))
        return false;
    *end_r = tenant_opens(c, address);
    if (*end_r != CTL_DONE)
        return false;
    args_text(&a, address);
    if (db_numbers(c, "find the mailbox", "select postern.find_mailbox($1)", &a, 1, &mailbox_r->number))
        return true;
    *end_r = db_end(c);
    return false;
}

static bool read_uid(const char *arg, int64_t *uid_r)
{
    uint64_t n;

    if (num_parse(span_str(arg), INT64_MAX, &n) == 1 && n > 0) {
        *uid_r = (int64_t)n;
        return true;
    }
    ctl_error(CTL_USAGE, "\"%s\" is not a uid: see posternctl message list", arg);
    return false;
}

enum ctl_exit run_message_list(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    struct mailbox_ref mailbox;

    if (!find_mailbox(c, address, &mailbox, &end))
        return end;
    args_mailbox(&a, &mailbox);
    return out_ask(
        c, "list messages",
        "select row_number() over (order by uid) as number, * from postern.list_messages($1, 0, null) order by uid",
        &a);
}

static bool nothing(void *arg, const struct mail *mail)
{
    (void)arg;
    (void)mail;
    return true;
}

static bool to_stdout(void *arg, struct span octets)
{
    (void)arg;
    return fwrite(octets.at, 1, octets.len, stdout) == octets.len;
}

static enum ctl_exit show_raw(struct ctl *c, const struct mailbox_ref *mailbox, int64_t uid)
{
    static const struct mail_sink sink = { nothing, to_stdout, nothing };
    struct args a = ARGS_NONE;
    struct mail mail = { .uid = uid };
    enum ctl_exit end;
    PGresult *res;

    if (!db_do(c, "read the message", "begin isolation level repeatable read, read only"))
        return db_end(c);
    args_mailbox(&a, mailbox);
    args_int(&a, uid - 1);
    res = db_ask_binary(c, "find the message", "select uid, octets from postern.list_messages($1, $2, 1)", &a);
    if (res == NULL)
        return db_end(c);
    if (PQntuples(res) == 1 && db_int8(res, 0, 0) == uid) {
        mail.octets = db_int8(res, 0, 1);
        end = mail_read(c, mailbox, &mail, 1, &sink, NULL);
    } else {
        end = ctl_error(CTL_FAILED, "mailbox %s has no message with uid %lld", c->args[0], (long long)uid);
    }
    PQclear(res);
    return end;
}

enum ctl_exit run_message_show(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    PGresult *res;
    enum ctl_exit end;
    struct mailbox_ref mailbox;
    int64_t uid;

    if (c->json && c->opt[OPT_RAW] != NULL)
        return ctl_error(CTL_USAGE, "--raw and --json exclude each other");
    if (!read_uid(c->args[1], &uid))
        return CTL_USAGE;
    if (!find_mailbox(c, address, &mailbox, &end))
        return end;
    if (c->opt[OPT_RAW] != NULL)
        return show_raw(c, &mailbox, uid);
    args_text(&a, address);
    args_int(&a, uid);
    res = db_ask(c, "show the message", "select * from postern.show_message($1, $2)", &a);
    if (res == NULL)
        return db_end(c);
    out_row(c, res);
    PQclear(res);
    return CTL_DONE;
}

static enum ctl_exit set_uidl(struct ctl *c, const struct mailbox_ref *mailbox, int64_t uid, const char *uidl)
{
    struct buf uids = BUF_EMPTY, uidls = BUF_EMPTY;
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    pg_array_begin(&uids, PG_INT8);
    pg_array_put_int8(&uids, uid);
    pg_array_set_count(&uids, 1);
    pg_array_begin(&uidls, PG_TEXT);
    if (uidl != NULL)
        pg_array_put_bytes(&uidls, span_str(uidl));
    else
        pg_array_put_null(&uidls);
    pg_array_set_count(&uidls, 1);
    args_mailbox(&a, mailbox);
    args_binary(&a, &uids);
    args_binary(&a, &uidls);
    end = db_call(c, "set the UIDL", "select postern.set_uidls($1, $2, $3)", &a);
    buf_free(&uids);
    buf_free(&uidls);
    return end;
}

enum ctl_exit run_message_uidl(struct ctl *c)
{
    const char *uidl = c->nargs == 3 ? c->args[2] : NULL, *fault;
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    struct mailbox_ref mailbox;
    PGresult *res;
    int64_t uid;

    if (uidl != NULL && c->opt[OPT_REMOVE] != NULL)
        return ctl_error(CTL_USAGE, "give a UIDL, or --remove");
    if (!read_uid(c->args[1], &uid))
        return CTL_USAGE;
    if (uidl != NULL && (fault = uidl_fault(span_str(uidl))) != NULL)
        return ctl_error(CTL_USAGE, "the UIDL %s", fault);
    if (!find_mailbox(c, address, &mailbox, &end))
        return end;
    args_text(&a, address);
    args_int(&a, uid);
    /* Also before it is set: it says which message does not exist. */
    res = db_ask(c, "show the message", "select uidl from postern.show_message($1, $2)", &a);
    if (res == NULL)
        return db_end(c);
    end = CTL_DONE;
    if (uidl == NULL && c->opt[OPT_REMOVE] == NULL)
        ctl_say(c, "%s", PQgetvalue(res, 0, 0));
    else if ((end = set_uidl(c, &mailbox, uid, uidl)) == CTL_DONE)
        ctl_say(c, "uid %lld of %s had the UIDL %s", (long long)uid, address, PQgetvalue(res, 0, 0));
    PQclear(res);
    return end;
}

/* How many there are; -1 after a message. */
static int64_t count_messages(struct ctl *c, const char *address)
{
    struct args a = ARGS_NONE;
    int64_t found[2];       /* messages, octets */

    args_text(&a, address);
    if (!db_numbers(c, "count messages", "select messages, octets from postern.show_mailbox($1)", &a, 2, found))
        return -1;
    if (found[0] > 0 && c->opt[OPT_YES] == NULL) {
        ctl_error(CTL_FAILED, "mailbox %s has %lld message(s), %lld octets: add --yes to remove them all", address,
                  (long long)found[0], (long long)found[1]);
        return -1;
    }
    return found[0];
}

enum ctl_exit run_message_remove(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    struct buf uids = BUF_EMPTY;
    enum ctl_exit end;
    struct mailbox_ref mailbox;
    int64_t uid;
    PGresult *res;

    if ((c->opt[OPT_ALL] != NULL) != (c->nargs == 1))
        return ctl_error(CTL_USAGE, "give uids, or --all");
    if (!find_mailbox(c, address, &mailbox, &end))
        return end;
    args_text(&a, address);
    if (c->opt[OPT_ALL] != NULL) {
        if (count_messages(c, address) < 0)
            return db_end(c);
        args_null(&a);
    } else {
        pg_array_begin(&uids, PG_INT8);
        for (int i = 1; i < c->nargs; i++) {
            if (!read_uid(c->args[i], &uid)) {
                buf_free(&uids);
                return CTL_USAGE;
            }
            pg_array_put_int8(&uids, uid);
        }
        pg_array_set_count(&uids, (uint32_t)(c->nargs - 1));
        args_binary(&a, &uids);
    }
    res = db_ask(c, "remove messages", "select postern.remove_mail($1, $2)", &a);
    buf_free(&uids);
    if (res == NULL)
        return db_end(c);
    ctl_say(c, "%s message(s) removed from %s", PQgetvalue(res, 0, 0), address);
    PQclear(res);
    return CTL_DONE;
}
