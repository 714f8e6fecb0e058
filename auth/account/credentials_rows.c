/*
 * credentials_rows.c - what the rows of a login mean (see credentials_rows.h).
 *
 * Must never take rows that are not of one mailbox for its own, nor let a
 * stored secret live on in a result.
 */
#include "auth/account/credentials_rows.h"

#include <limits.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

struct span rows_text(const struct rows *rows, int row, int col)
{
    row += rows->first;
    return (struct span){ PQgetvalue(rows->result, row, col), (size_t)PQgetlength(rows->result, row, col) };
}

bool rows_null(const struct rows *rows, int row, int col)
{
    return PQgetisnull(rows->result, rows->first + row, col);
}

bool rows_kind(struct span text, enum credential_kind *kind_r)
{
    for (enum credential_kind kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (span_is(text, span_str(credential_kind_name(kind)))) {
            *kind_r = kind;
            return true;
        }
    return false;
}

/*
 * One secret, its seal taken off. What cannot be opened proves nothing, and is told: a login that
 * needs it is BROKEN.
 */
static void read_secret(const struct keyring *keyring, struct credentials *out, enum credential_kind kind,
                        struct span label, struct span stored)
{
    size_t n = out->count++;
    const struct seal_row row = { out->mailbox, credential_kind_name(kind), label };
    const char *why;
    struct span id;

    out->secrets[n].kind = (char)kind;
    out->secrets[n].sealed = false;
    out->secrets[n].label[0] = out->secrets[n].text[0] = out->secrets[n].stored[0] = '\0';
    if (label.len > SEAL_LABEL_MAX || stored.len >= SEAL_TEXT_MAX || memchr(stored.at, '\0', stored.len) != NULL)
        return;
    memcpy(out->secrets[n].label, label.at, label.len);
    out->secrets[n].label[label.len] = '\0';
    memcpy(out->secrets[n].stored, stored.at, stored.len);
    out->secrets[n].stored[stored.len] = '\0';
    if (!seal_is(out->secrets[n].stored, &id)) {
        if (stored.len < SCHEME_TEXT_MAX)
            memcpy(out->secrets[n].text, out->secrets[n].stored, stored.len + 1);
    } else if (seal_open(keyring, &row, out->secrets[n].stored, out->secrets[n].text, &why) != 0) {
        log_error(NULL, "the stored %s of mailbox %s cannot be used: %s", row.kind, mailbox_text(&out->mailbox).s,
                  why);
    } else {
        out->secrets[n].sealed = span_is(id, span_str(keyring_first(keyring)));
    }
}

static bool is_true(const struct rows *rows, int col)
{
    return span_is(rows_text(rows, 0, col), SPAN_OF("t"));
}

int64_t rows_number(const struct rows *rows, int col, int64_t otherwise)
{
    uint64_t v;

    return num_parse(rows_text(rows, 0, col), INT64_MAX, &v) == 1 ? (int64_t)v : otherwise;
}

static int32_t setting(const struct rows *rows, int col)
{
    int64_t v = rows_number(rows, col, AUTH_UNSET);

    return v <= INT32_MAX ? (int32_t)v : AUTH_UNSET;
}

void rows_read_policy(const struct rows *rows, struct credentials *out)
{
    struct span maintenance = rows_text(rows, 0, COL_MAINTENANCE);

    if (maintenance.len > AUTH_MAINTENANCE_MAX)
        maintenance.len = AUTH_MAINTENANCE_MAX;
    memset(out->maintenance, 0, sizeof out->maintenance);
    memcpy(out->maintenance, maintenance.at, maintenance.len);
    out->policy = (struct auth_policy){
        .pop3 = is_true(rows, COL_POP3),
        .tls_only = is_true(rows, COL_TLS_ONLY),
        .replace_nul = is_true(rows, COL_REPLACE_NUL),
        .trace = is_true(rows, COL_TRACE),
        .maintenance = { out->maintenance, maintenance.len },
        .login_delay = setting(rows, COL_LOGIN_DELAY),
        .expire = setting(rows, COL_EXPIRE),
        .domain = rows_number(rows, COL_DOMAIN, 0),
        .tenant = rows_number(rows, COL_TENANT, 0),
        .domain_sessions = setting(rows, COL_DOMAIN_SESSIONS),
        .tenant_sessions = setting(rows, COL_TENANT_SESSIONS),
    };
    out->known = is_true(rows, COL_KNOWN);
    out->known_today = is_true(rows, COL_KNOWN_TODAY);
}

/* False: it is none. */
static bool read_elsewhere(const struct rows *rows, struct credentials *out)
{
    struct span text = rows_text(rows, 0, COL_ELSEWHERE);
    struct elsewhere parsed;

    out->elsewhere[0] = '\0';
    if (text.len == 0)
        return true;
    if (!elsewhere_parse(text, &parsed))
        return false;
    memcpy(out->elsewhere, text.at, text.len);
    out->elsewhere[text.len] = '\0';
    return true;
}

static bool read_address(const struct rows *rows, struct credentials *out)
{
    struct span address = rows_text(rows, 0, COL_ADDRESS);

    if (address.len == 0 || address.len > NAME_ADDRESS_MAX || rows_null(rows, 0, COL_ACTIVE))
        return false;
    memcpy(out->address, address.at, address.len);
    out->address[address.len] = '\0';
    out->active = is_true(rows, COL_ACTIVE);
    return true;
}

bool rows_read_unknown(const struct rows *rows, struct credentials *out)
{
    out->mailbox = (struct mailbox_ref){ 0 };
    out->count = 0;
    return read_address(rows, out) && read_elsewhere(rows, out);
}

bool rows_read(const struct rows *rows, const struct keyring *keyring, bool whole, struct credentials *out)
{
    if (!mailbox_parse(rows_text(rows, 0, COL_MAILBOX), &out->mailbox) || !read_address(rows, out) ||
        (whole && !read_elsewhere(rows, out)))
        return false;
    out->count = 0;
    for (int row = 0; row < rows->count; row++) {
        /* Two mailboxes for one address: whose password is it? */
        if (!span_is(rows_text(rows, row, COL_MAILBOX), rows_text(rows, 0, COL_MAILBOX)))
            return false;
        struct span secret = rows_text(rows, row, COL_SECRET);
        enum credential_kind kind;
        if (!rows_kind(rows_text(rows, row, COL_KIND), &kind) || rows_null(rows, row, COL_SECRET))
            continue;
        if (out->count == CREDENTIALS_SECRETS_MAX) {
            log_warning(NULL, "mailbox %s has more than %d secrets, the others are ignored",
                        mailbox_text(&out->mailbox).s, CREDENTIALS_SECRETS_MAX);
            break;
        }
        read_secret(keyring, out, kind, rows_text(rows, row, COL_LABEL), secret);
    }
    return true;
}

void rows_wipe(const struct rows *rows)
{
    for (int row = rows->first; row < rows->first + rows->count; row++)
        secret_wipe(PQgetvalue(rows->result, row, COL_SECRET), (size_t)PQgetlength(rows->result, row, COL_SECRET));
}
