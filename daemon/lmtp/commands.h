/*
 * commands.h - the handlers of all commands, for the table in commands.c only.
 */
#ifndef POSTERN_LMTP_COMMANDS_H
#define POSTERN_LMTP_COMMANDS_H

#include "daemon/session/command.h"

/* cmd.c */
enum outcome lmtp_cmd_lhlo(struct session *s, const struct args *args);
enum outcome lmtp_cmd_mail(struct session *s, const struct args *args);
enum outcome lmtp_cmd_rset(struct session *s, const struct args *args);
enum outcome lmtp_cmd_noop(struct session *s, const struct args *args);
enum outcome lmtp_cmd_quit(struct session *s, const struct args *args);
enum outcome lmtp_cmd_vrfy(struct session *s, const struct args *args);
enum outcome lmtp_cmd_help(struct session *s, const struct args *args);
enum outcome lmtp_cmd_not_here(struct session *s, const struct args *args);
enum outcome lmtp_cmd_speak_lmtp(struct session *s, const struct args *args);

/* rcpt.c */
enum outcome lmtp_cmd_rcpt(struct session *s, const struct args *args);

/* message.c */
enum outcome lmtp_cmd_data(struct session *s, const struct args *args);
enum outcome lmtp_cmd_bdat(struct session *s, const struct args *args);

#endif
