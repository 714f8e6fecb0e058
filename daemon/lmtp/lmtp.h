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

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/options.h"
#include "daemon/session/protocol.h"

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

/*
 * Sessions that are to drain or to close end with 421: at once those that are
 * between messages, the others behind the replies to the message that they are
 * at. What is being committed when one is abandoned is committed, and nobody is
 * told.
 */
extern const struct protocol lmtp_protocol;

#endif
