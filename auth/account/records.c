/*
 * records.c - what is to be written of logins (see records.h).
 *
 * Owns the bounds: of what waits, and of statements in a second.
 */
#include "auth/account/records.h"

#include <string.h>

#include "auth/account/writes.h"
#include "auth/frame.h"
#include "auth/name.h"
#include "auth/settings.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"

enum {
    RECORDS_MAX = 64,           /* of each kind */
    WRITES_A_SECOND = 20,       /* statements */
    SECOND_MS = 1000,
};

struct records {
    struct credentials_source *source;
    const struct auth_settings *settings;
    uint64_t since;             /* clock_ms(): when these writes began */
    int writes;
    size_t failures, logins;
    char addresses[RECORDS_MAX][NAME_ADDRESS_MAX + 1];
    struct mailbox_ref mailboxes[RECORDS_MAX];
    char networks[RECORDS_MAX][FRAME_NETWORK_MAX + 1];
};

struct records *records_new(struct credentials_source *source, const struct auth_settings *settings)
{
    struct records *r = mem_zalloc(sizeof *r);

    r->source = source;
    r->settings = settings;
    return r;
}

void records_free(struct records **records)
{
    mem_free(*records);
    *records = NULL;
}

void records_failure(struct records *r, const char *address)
{
    if (r->failures < RECORDS_MAX)
        memcpy(r->addresses[r->failures++], address, strlen(address) + 1);
}

void records_login(struct records *r, const struct mailbox_ref *mailbox, const char *network)
{
    if (r->logins == RECORDS_MAX)
        return;
    r->mailboxes[r->logins] = *mailbox;
    memcpy(r->networks[r->logins++], network, strlen(network) + 1);
}

static bool may_write(struct records *r)
{
    if (clock_ms() - r->since >= SECOND_MS) {
        r->since = clock_ms();
        r->writes = 0;
    }
    return r->writes++ < WRITES_A_SECOND;
}

void records_write(struct records *r, bool now)
{
    const char *texts[RECORDS_MAX];

    if (r->failures > 0 && (now || may_write(r))) {
        for (size_t i = 0; i < r->failures; i++)
            texts[i] = r->addresses[i];
        writes_count_failures(r->source, texts, r->failures, r->settings->auth_failure_time,
                              2 * r->settings->auth_failures);
        r->failures = 0;
    }
    if (r->logins > 0 && (now || may_write(r))) {
        for (size_t i = 0; i < r->logins; i++)
            texts[i] = r->networks[i];
        writes_remember(r->source, r->mailboxes, texts, r->logins);
        r->logins = 0;
    }
}

int records_wait(const struct records *r)
{
    const uint64_t passed = clock_ms() - r->since;

    if (r->failures == 0 && r->logins == 0)
        return -1;
    return r->writes < WRITES_A_SECOND || passed >= SECOND_MS ? 0 : (int)(SECOND_MS - passed);
}
