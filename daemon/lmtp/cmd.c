/*
 * cmd.c - the commands, but for RCPT (rcpt.c), DATA and BDAT (message.c).
 */
#include "daemon/lmtp/commands.h"

#include "daemon/base/mem.h"
#include "daemon/lmtp/address.h"
#include "daemon/lmtp/transaction.h"

enum outcome lmtp_cmd_lhlo(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);
    struct buf out = BUF_EMPTY;

    lmtp_reset(s);
    s->state = LMTP_READY;
    mem_free(s->lhlo);
    s->lhlo = mem_strn(args->v[0].at, args->v[0].len);
    s->lhlo_len = args->v[0].len;
    buf_addf(&out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE %lld\r\n250-CHUNKING\r\n"
                   "250 ENHANCEDSTATUSCODES\r\n",
             lmtp_service_of(s)->hostname, (long long)lmtp_settings(s)->lmtp_max_size);
    buf_add(&out, "", 1);
    lmtp_say_text(s, out.data);
    buf_free(&out);
    return lmtp_outcome(s);
}

enum outcome lmtp_cmd_rset(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);

    (void)args;
    lmtp_reset(s);
    return lmtp_say(s, REPLY_RESET, NULL, NULL);
}

enum outcome lmtp_cmd_noop(struct session *s, const struct args *args)
{
    (void)args;
    return lmtp_say(lmtp_of(s), REPLY_NOOP, NULL, NULL);
}

enum outcome lmtp_cmd_vrfy(struct session *s, const struct args *args)
{
    (void)args;
    return lmtp_say(lmtp_of(s), REPLY_VRFY, NULL, NULL);
}

enum outcome lmtp_cmd_help(struct session *s, const struct args *args)
{
    (void)args;
    return lmtp_say_text(lmtp_of(s), "214-2.0.0 LMTP, RFC 2033. Commands:\r\n"
                                     "214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n");
}

enum outcome lmtp_cmd_quit(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);

    (void)args;
    lmtp_say(s, REPLY_QUIT, NULL, NULL);
    return lmtp_end(s, END_QUIT);
}

enum outcome lmtp_cmd_not_here(struct session *s, const struct args *args)
{
    (void)args;
    return lmtp_say(lmtp_of(s), REPLY_NOT_HERE, NULL, NULL);
}

enum outcome lmtp_cmd_speak_lmtp(struct session *s, const struct args *args)
{
    (void)args;
    return lmtp_say(lmtp_of(s), REPLY_SPEAK_LMTP, NULL, NULL);
}

/* --------------------------------------------------------------------- MAIL */

static enum lmtp_reply_name check_mail(struct lmtp_session *s, struct span args, struct path *path,
                                       struct mail_params *params)
{
    struct span rest;

    if (!path_prefix(&args, SPAN_OF("FROM:")))
        return REPLY_SYNTAX_FROM;
    if (path_parse(args, path, &rest) != PATH_OK)
        return REPLY_BAD_SENDER;
    switch (mail_params_parse(rest, params)) {
    case PARAMS_OK:
        break;
    case PARAMS_SYNTAX:
        return REPLY_BAD_PARAM;
    case PARAMS_UNKNOWN:
        return REPLY_UNKNOWN_PARAM;
    }
    if (path->eight_bit && !params->utf8)
        return REPLY_NEEDS_UTF8;
    if (params->size_huge || params->size > (uint64_t)lmtp_settings(s)->lmtp_max_size)
        return REPLY_TOO_LARGE;
    return REPLY_SENDER_OK;
}

enum outcome lmtp_cmd_mail(struct session *session, const struct args *args)
{
    struct lmtp_session *s = lmtp_of(session);
    struct path path;
    struct mail_params params;

    s->noteworthy = true;
    if (s->state == LMTP_MAIL)
        return lmtp_say(s, REPLY_NESTED, NULL, NULL);
    enum lmtp_reply_name reply = check_mail(s, args->v[0], &path, &params);
    if (reply == REPLY_SENDER_OK) {
        lmtp_begin(s, (struct span){ path.text, path.len });
        s->state = LMTP_MAIL;
        s->bad = 0;
        s->transaction->utf8 = params.utf8;
        s->transaction->announced = params.size;
    }
    return lmtp_say(s, reply, NULL, NULL);
}
