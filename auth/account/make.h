/*
 * make.h - new secrets from a password: what is stored of each kind.
 */
#ifndef POSTERN_AUTH_MAKE_H
#define POSTERN_AUTH_MAKE_H

#include "auth/account/credentials.h"

struct auth_settings;

/*
 * The text of postern.credential.secret, before it is sealed: Argon2id for a
 * password, a SCRAM verifier (RFC 5802 section 3, 7677), or the secret itself. All
 * of the password as prepare_password() has it, so that whatever form of it a
 * client sends is found to be this one. An app password is long and random, so that
 * nobody guesses it from a salted SHA-512, and a mailbox may have many of them
 * where each refusal has to verify all. 0, or -1 with the reason in *error_r
 * (static text). The caller wipes out.
 */
int make_secret(enum credential_kind kind, struct span password, const struct auth_settings *settings,
                char out[SCHEME_TEXT_MAX], const char **error_r);

/*
 * A new app password: five groups of five letters and digits, 125 bits. Its
 * owner may type it in any case, and with or without what separates the
 * groups: both sides are brought to one form by make_app_form().
 */
enum { APP_PASSWORD_MAX = 32 };
void make_app_password(char out[APP_PASSWORD_MAX]);
/* Octets of out, which has room for password.len. */
size_t make_app_form(struct span password, char *out);

#endif
