/*
 * commands.h - the handlers of all commands, for the table in commands.c only.
 */
#ifndef POSTERN_POP3_COMMANDS_H
#define POSTERN_POP3_COMMANDS_H

#include "daemon/session/command.h"

/* capa.c */
enum outcome pop3_cmd_capa(struct session *s, const struct args *args);

/* cmd_auth.c */
enum outcome pop3_cmd_stls(struct session *s, const struct args *args);
enum outcome pop3_cmd_user(struct session *s, const struct args *args);
enum outcome pop3_cmd_pass(struct session *s, const struct args *args);
enum outcome pop3_cmd_leave(struct session *s, const struct args *args);

/* cmd_sasl.c */
enum outcome pop3_cmd_auth(struct session *s, const struct args *args);
enum outcome pop3_cmd_apop(struct session *s, const struct args *args);
enum outcome pop3_auth_line(struct session *s, enum line_kind kind, struct span line);

/* cmd_drop.c */
enum outcome pop3_cmd_stat(struct session *s, const struct args *args);
enum outcome pop3_cmd_list(struct session *s, const struct args *args);
enum outcome pop3_list_step(struct session *s);
enum outcome pop3_cmd_uidl(struct session *s, const struct args *args);
enum outcome pop3_uidl_step(struct session *s);
enum outcome pop3_cmd_dele(struct session *s, const struct args *args);
enum outcome pop3_cmd_noop(struct session *s, const struct args *args);
enum outcome pop3_cmd_rset(struct session *s, const struct args *args);
enum outcome pop3_cmd_quit(struct session *s, const struct args *args);

/* body.c */
enum outcome pop3_cmd_retr(struct session *s, const struct args *args);
enum outcome pop3_cmd_top(struct session *s, const struct args *args);
enum outcome pop3_body_step(struct session *s);

#endif
