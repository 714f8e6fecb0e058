/*
 * commands.c - the table of all commands: who may say what, when, and what is
 * to be known of it. A command that is added has its row here.
 */
#include "daemon/lmtp/commands.h"

#include "daemon/lmtp/session.h"

enum {
    READY = IN_STATE(LMTP_READY),
    MAIL = IN_STATE(LMTP_MAIL),
    ALWAYS = IN_STATE(LMTP_START) | READY | MAIL,
};

/* What follows the verb: must not be, may be, must be. */
#define NONE 0, 0, .rest = true, .wrong = REPLY_NO_ARGUMENT
#define ANY 0, 1, .rest = true
#define SOME(why) 1, 1, .rest = true, .wrong = (why)

static const struct command rows[] = {
    { "LHLO", ALWAYS, SOME(REPLY_LHLO_NAME), .run = lmtp_cmd_lhlo },
    { "MAIL", READY | MAIL, SOME(REPLY_SYNTAX_FROM), .limit = LMTP_PATH_LIMIT, .run = lmtp_cmd_mail },
    { "RCPT", MAIL, SOME(REPLY_SYNTAX_TO), .limit = LMTP_PATH_LIMIT, .run = lmtp_cmd_rcpt },
    { "DATA", MAIL, NONE, .run = lmtp_cmd_data },
    { "BDAT", ALWAYS, SOME(REPLY_SYNTAX_BDAT), .run = lmtp_cmd_bdat },
    { "RSET", ALWAYS, NONE, .run = lmtp_cmd_rset },
    { "NOOP", ALWAYS, ANY, .run = lmtp_cmd_noop },
    { "QUIT", ALWAYS, NONE, .run = lmtp_cmd_quit },
    { "VRFY", ALWAYS, SOME(REPLY_BAD_RCPT), .run = lmtp_cmd_vrfy },
    { "HELP", ALWAYS, ANY, .run = lmtp_cmd_help },
    { "EXPN", ALWAYS, ANY, .run = lmtp_cmd_not_here },
    { "AUTH", ALWAYS, ANY, .secret = true, .run = lmtp_cmd_not_here },
    { "STARTTLS", ALWAYS, ANY, .run = lmtp_cmd_not_here },
    { "HELO", ALWAYS, ANY, .run = lmtp_cmd_speak_lmtp },
    { "EHLO", ALWAYS, ANY, .run = lmtp_cmd_speak_lmtp },
};
const struct command_table lmtp_commands = { rows, sizeof rows / sizeof rows[0], LMTP_LINE_LIMIT };
