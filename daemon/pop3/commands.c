/*
 * commands.c - the table of all commands: who may say what, when, and what is
 * to be known of it. A command that is added has its row here.
 */
#include "daemon/pop3/commands.h"

#include "daemon/pop3/args.h"
#include "daemon/pop3/session.h"

enum {
    BEFORE = IN_STATE(POP3_AUTHORIZATION),
    AFTER = IN_STATE(POP3_TRANSACTION),
};

static const struct command rows[] = {
    { "CAPA", BEFORE | AFTER, .keeps_name = true, .run = pop3_cmd_capa, .counted = METRIC_COMMAND_CAPA },
    { "STLS", BEFORE, .login = true, .run = pop3_cmd_stls, .counted = METRIC_COMMAND_STLS },
    { "USER", BEFORE, 1, 1, .rest = true, .login = true, .run = pop3_cmd_user, .counted = METRIC_COMMAND_USER },
    { "PASS", BEFORE, 1, 1, .rest = true, .secret = true, .login = true, .keeps_name = true,
      .run = pop3_cmd_pass, .counted = METRIC_COMMAND_PASS },
    { "AUTH", BEFORE, .rest = true, .secret = true, .login = true, .limit = LINE_SASL_LIMIT,
      .run = pop3_cmd_auth, .answer = pop3_auth_line, .counted = METRIC_COMMAND_AUTH },
    { "APOP", BEFORE, 1, 1, .rest = true, .secret = true, .login = true,
      .run = pop3_cmd_apop, .counted = METRIC_COMMAND_APOP },
    { "QUIT", BEFORE, .run = pop3_cmd_leave, .counted = METRIC_COMMAND_QUIT },

    { "STAT", AFTER, .run = pop3_cmd_stat, .counted = METRIC_COMMAND_STAT },
    { "LIST", AFTER, 0, 1, .run = pop3_cmd_list, .step = pop3_list_step, .counted = METRIC_COMMAND_LIST },
    { "UIDL", AFTER, 0, 1, .run = pop3_cmd_uidl, .step = pop3_uidl_step, .counted = METRIC_COMMAND_UIDL },
    { "RETR", AFTER, 1, 1, .message = true, .run = pop3_cmd_retr, .step = pop3_body_step,
      .counted = METRIC_COMMAND_RETR },
    { "TOP", AFTER, 2, 2, .message = true, .run = pop3_cmd_top, .step = pop3_body_step,
      .counted = METRIC_COMMAND_TOP },
    { "DELE", AFTER, 1, 1, .run = pop3_cmd_dele, .counted = METRIC_COMMAND_DELE },
    { "NOOP", AFTER, .run = pop3_cmd_noop, .counted = METRIC_COMMAND_NOOP },
    { "RSET", AFTER, .run = pop3_cmd_rset, .counted = METRIC_COMMAND_RSET },
    { "QUIT", AFTER, .run = pop3_cmd_quit, .counted = METRIC_COMMAND_QUIT },
};
const struct command_table pop3_commands = { rows, sizeof rows / sizeof rows[0], LINE_LIMIT };
