/*
 * prepare.c - one form of a password (see prepare.h).
 *
 * Pure. Must never make an empty password of one that is not, and wipes what it
 * has made on the way; copies that the libraries make inside lie in this
 * process only.
 */
#include "auth/scheme/prepare.h"

#include <gsasl.h>
#include <stdlib.h>
#include <uninorm.h>
#include <unistr.h>
#include <unictype.h>

#include "daemon/base/secret.h"
#include "daemon/base/utf8.h"

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80)
            return false;
    return true;
}

/* With a NUL behind it; 0 where it does not fit. */
static size_t normalize(uninorm_t form, struct span password, char out[PASSWORD_MAX + 1])
{
    size_t len = PASSWORD_MAX;
    uint8_t *result = u8_normalize(form, (const uint8_t *)password.at, password.len, (uint8_t *)out, &len);

    if (result != (uint8_t *)out) {
        if (result != NULL)
            secret_wipe(result, len);
        free(result);
        return 0;
    }
    out[len] = '\0';
    return len;
}

/* Every blank in it a space: never longer than before. */
static size_t plain_blanks(const char *text, size_t len, char *out)
{
    size_t at = 0, to = 0;

    while (at < len) {
        ucs4_t c;
        size_t n = (size_t)u8_mbtouc(&c, (const uint8_t *)text + at, len - at);

        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Zs)) {
            out[to++] = ' ';
        } else {
            memcpy(out + to, text + at, n);
            to += n;
        }
        at += n;
    }
    return to;
}

/* 0 where SASLprep forbids it, or leaves nothing of it. */
static size_t saslprep(const char *text, char out[PASSWORD_MAX])
{
    char *prepared = NULL;
    size_t len = 0;

    /* Code points that are newer than it are let through: those who choose such a password must be able to use it. */
    if (gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) != GSASL_OK || prepared == NULL)
        return 0;
    len = strlen(prepared);
    if (len <= PASSWORD_MAX)
        memcpy(out, prepared, len);
    secret_wipe(prepared, len);
    gsasl_free(prepared);
    return len <= PASSWORD_MAX ? len : 0;
}

size_t prepare_form(enum prepare_form form, struct span password, char out[PASSWORD_MAX])
{
    char text[PASSWORD_MAX + 1];
    size_t len, prepared;

    if (is_ascii(password) || scheme_password_problem(password) != NULL || !utf8_valid(password))
        return 0;
    len = normalize(form == PREPARE_COMPOSED ? UNINORM_NFC : UNINORM_NFD, password, text);
    if (len == 0)
        return 0;
    if (form == PREPARE_DECOMPOSED)
        memcpy(out, text, prepared = len);
    else if ((prepared = saslprep(text, out)) == 0)
        prepared = plain_blanks(text, len, out);
    secret_wipe(text, sizeof text);
    return prepared == password.len && memcmp(out, password.at, prepared) == 0 ? 0 : prepared;
}

size_t prepare_password(struct span password, char out[PASSWORD_MAX])
{
    return prepare_form(PREPARE_COMPOSED, password, out);
}
