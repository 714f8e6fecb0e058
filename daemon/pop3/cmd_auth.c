/*
 * cmd_auth.c - the commands before the login, but for AUTH and APOP: STLS USER
 * PASS QUIT.
 *
 * Never keeps a password: it is lent out of the input.
 */
#include "daemon/pop3/commands.h"

#include "auth/name.h"
#include "daemon/net/conn.h"
#include "daemon/net/tls_ctx.h"
#include "daemon/pop3/login.h"

/*
 * What was said in the clear may have been said by somebody else: the name is
 * forgotten (as for every command here), and octets behind the line are never
 * used (T02, T03). The refusals are not: they count against guessing.
 */
enum outcome pop3_cmd_stls(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);
    struct tls_ctx *tls = s->login->tls;

    (void)args;
    if (conn_tls_version(s->base.conn) != NULL)
        return pop3_err(s, RC_NONE, "TLS is already active");
    if (tls == NULL)
        return pop3_bad(s, "TLS is not available");
    if (s->more) {
        s->base.end = END_BAD_COMMANDS;
        pop3_err(s, RC_NONE, "data after STLS and before the handshake, closing connection");
        return CMD_CLOSE;
    }
    s->login->tls = NULL;
    if (!tls_ctx_ready(tls))
        return pop3_err(s, RC_SYS_PERM, "TLS is not available: the server's certificate cannot be used");
    s->may_login = true;
    pop3_ok(s, "begin TLS negotiation");
    conn_start_tls(s->base.conn, tls);
    return CMD_DONE;
}

enum outcome pop3_cmd_leave(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    (void)args;
    s->base.end = END_QUIT;
    pop3_ok(s, "bye");
    return CMD_CLOSE;
}

/*
 * The same answer for every name, known or not; a second USER replaces the first.
 * All of the line is the name: blanks around it are not part of it, and those
 * inside belong to a local part in quotes (auth/name.h).
 */
enum outcome pop3_cmd_user(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    if (name_trim(args->v[0]).len == 0)
        return pop3_bad(s, "invalid arguments");
    pop3_set_name(s, args->v[0]);
    if (s->may_login)
        return pop3_ok(s, "send PASS");
    pop3_log_cleartext(s);
    pop3_set_name(s, (struct span){ NULL, 0 });
    return pop3_refuse_cleartext(s);
}

enum outcome pop3_cmd_pass(struct session *session, const struct args *args)
{
    struct pop3_session *s = pop3_of(session);

    if (!s->may_login)
        return pop3_refuse_cleartext(s);
    if (s->login->name == NULL)
        return pop3_err(s, RC_NONE, "send USER first");
    return pop3_ask_password(s, args->v[0]);
}
