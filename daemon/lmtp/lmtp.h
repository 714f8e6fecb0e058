/*
 * lmtp.h - LMTP (RFC 2033, with the grammar of RFC 5321): all that others see of it.
 *
 * A message is received whole, then stored in one transaction for all its
 * recipients; 250 is said only for what was committed. A connection that is
 * lost before its replies were read may lead to the message being sent again,
 * and stored again: delivery is at least once (see lmtp_duplicate_window).
 */
#ifndef POSTERN_LMTP_H
#define POSTERN_LMTP_H

#include <stddef.h>

#include "daemon/base/options.h"
#include "daemon/lmtp/trust.h"

struct deliver;
struct loop;
struct lmtp_service;
struct proxy_origin;

/* The words of options, in the order of options.def. */
enum lmtp_refusal { LMTP_TEMPORARY, LMTP_PERMANENT };
enum lmtp_list { LMTP_LIST_SKIP, LMTP_LIST_REFUSE };
enum lmtp_bare { LMTP_BARE_CONVERT, LMTP_BARE_REJECT };
enum lmtp_nul { LMTP_NUL_STORE, LMTP_NUL_REJECT };

struct lmtp_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/lmtp/options.def"
#undef OPTION
};
extern const struct option_table lmtp_options;

/* What depends on more than a bound; to be called where there is a listener for LMTP. Returns how many problems. */
int lmtp_settings_check(const struct lmtp_settings *settings, options_problem *problem, void *arg, const char *file);

struct lmtp_host {
    struct loop *loop;
    struct deliver *deliver;
    const struct lmtp_settings *settings;
    void (*session_ended)(void *arg);   /* after each one */
    void *arg;
};

/* One for each worker. The host and what it points to outlive it. */
struct lmtp_service *lmtp_service_new(const struct lmtp_host *host);
/* Ends every session at once. What is being committed is committed, and nobody is told. */
void lmtp_service_free(struct lmtp_service **service);

/*
 * A client is there: greets it and serves it until it ends. in and out (the
 * same, or two) belong to the session from now on. trust: who may deliver here,
 * asked now and not kept. origin: what a proxy told of the client, or NULL.
 */
void lmtp_session_start(struct lmtp_service *service, int in, int out, const struct trust *trust,
                        const struct proxy_origin *origin);
size_t lmtp_service_sessions(const struct lmtp_service *service);
/*
 * From now on sessions end with 421: at once those that are between messages,
 * the others behind the replies to the message that they are at. To be called
 * when a drain begins, as mail servers keep their connections for the next one.
 */
void lmtp_service_close_all(struct lmtp_service *service);

#endif
