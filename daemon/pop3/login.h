/*
 * login.h - a session before somebody has logged in, for the files of this
 * folder only: what is known of the client, and how far its login is.
 *
 * Made with the session, freed when the login is complete.
 */
#ifndef POSTERN_POP3_LOGIN_H
#define POSTERN_POP3_LOGIN_H

#include "daemon/pop3/session.h"

struct auth_policy;
struct login_lane;
struct auth_result;
struct pop3_elsewhere;

struct pop3_login {
    /* as USER or a mechanism's message has it; when the password was right, the address of the mailbox */
    char *name;
    size_t name_len;
    char *domain;                   /* of the listener, or NULL */
    struct tls_ctx *tls;            /* what STLS may use; NULL where it may not be used, or not again */
    char *timestamp;                /* of the greeting, for APOP; NULL where that is not offered */
    unsigned refused;
    bool cleartext_logged;          /* of a login in the clear: once is enough */
    bool told;                      /* the log has the refusal that is to be said next */
    const char *verb;               /* of the command that is carried out, if it belongs to a login; else NULL */
    char *refusal;                  /* the last one that the log has not: see refusal.c */
    uint64_t auth_id, open_id;      /* requests that wait for an answer, or (auth_id) to be confirmed, or 0 */
    struct login_lane *lane;        /* on which the maildrop of the login under way is to be opened, or NULL */
    uint64_t asked_us;              /* when the helper was asked, then when the maildrop was; monotonic */
    uint64_t pass_at;               /* when PASS, or the client's last message of an exchange, came */
    uint64_t say_at;                /* when the answer that is held is sent, by `say`, or 0 */
    enum outcome (*say)(struct pop3_session *s);
    bool challenged;                /* in this exchange, with a challenge that depends on a name */
    char *challenge;                /* one that is held, or NULL */
    size_t challenge_len;
    struct mailbox_ref mailbox;
    int64_t old_server;             /* that is asked */
    struct pop3_elsewhere *elsewhere;   /* while an old server is asked, of elsewhere.c; or NULL */
};

/* login.c */
struct pop3_login *pop3_login_new(const struct session_entry *entry);
/* Forgets what was asked, too. */
void pop3_login_free(struct pop3_session *s);
/* The one that is held, if any, is not to be sent. */
void pop3_drop_challenge(struct pop3_login *login);
/* What the client calls itself; empty if it has said nothing. */
struct span pop3_name(const struct pop3_session *s);
void pop3_set_name(struct pop3_session *s, struct span name);
/* guard_try(), for whatever mechanism; the name may be empty. */
bool pop3_may_try(struct pop3_session *s, struct span name, char network[NETWORK_TEXT_SIZE],
                  struct auth_origin *origin_r);
/* " tls=TLSv1.3 cipher=...", or nothing: for the log. */
enum { TLS_TEXT_SIZE = 128 };
const char *pop3_tls_text(const struct pop3_session *s, char out[TLS_TEXT_SIZE]);
/* " mechanism=PLAIN", or nothing: for the log. */
const char *pop3_mechanism_text(const struct pop3_session *s, char out[SASL_LIST_SIZE]);

/* Somebody has logged in, by what is known of the login. */
void pop3_count_login(const struct pop3_session *s);
/* The name of the login becomes the address of the session: before pop3_login_free(). */
void pop3_keep_address(struct pop3_session *s);

/* refusal.c */
/* Before the login: this line is what is answered next; empty if it could not be read. */
void pop3_begin_login_command(struct pop3_session *s, struct span line);
/* An -ERR is said: without its line end. */
void pop3_note_refusal(struct pop3_session *s, struct span reply);
/* The client never logged in: what it was last refused for, unless the log has it. */
void pop3_tell_refusal(struct pop3_session *s);
/* By the limits on its address. */
void pop3_log_turned_away(struct pop3_session *s, const char *why);

/* admit.c */
/*
 * The password was right: may this session be, by the policy of the mailbox, by
 * the delay between logins, by the number of sessions? 1: it may. 0: it may not,
 * *out_r is the outcome of the -ERR. -1: it may not, but nothing was said, as the
 * login is not confirmed.
 */
int pop3_admit(struct pop3_session *s, const struct auth_policy *policy, bool confirmed, enum outcome *out_r);
/* Refused for another reason than its credentials: no delay, the name is forgotten. */
enum outcome pop3_login_failed(struct pop3_session *s, const char *reason, enum code code, const char *text);
void pop3_log_refused(struct pop3_session *s, const char *reason);

/* held.c */
/*
 * Before a login, answers that depend on a name are sent on a grid of time. A helper
 * takes more or less time for a name that exists, for one that has an old hash, for
 * a domain of ours; the client must not be able to see the difference. A successful
 * login is not delayed: the client has proven that the name exists, also where it is
 * told why there can be no session.
 *
 * say() is called at that time, unless the session ends before.
 */
enum outcome pop3_hold(struct pop3_session *s, enum outcome (*say)(struct pop3_session *s), uint64_t at);
/* The next time for what is not a refusal. */
uint64_t pop3_soon(const struct pop3_session *s);
/* The credentials are refused, to be said after a delay. guesses: as the helper told, or 0. */
enum outcome pop3_refuse(struct pop3_session *s, const char *reason, uint32_t guesses);

/* elsewhere.c */
/* A verdict of AUTH_ELSEWHERE: the old server is asked. */
enum outcome pop3_relay_login(struct pop3_session *s, const struct auth_result *result);

/* opening.c */
/* Is this the password of pop3_name()? By PASS, or by a mechanism that is the same in other words. */
enum outcome pop3_ask_password(struct pop3_session *s, struct span password);
/* An auth_done: the verdict of a helper. */
void pop3_on_verdict(void *owner, const struct auth_result *result);
/* login->auth_id is asked as soon as there is a lane for its maildrop: mostly at once. */
void pop3_bind_login(struct pop3_session *s);
/* A helper has answered: how long it took. */
void pop3_time_answer(struct pop3_session *s);
enum outcome pop3_refuse_cleartext(struct pop3_session *s);
void pop3_log_cleartext(struct pop3_session *s);

#endif
