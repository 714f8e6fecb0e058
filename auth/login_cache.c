/*
 * login_cache.c - the memory of cached logins: its keys, its two tables, and the
 * names of what is in them.
 *
 * Owns the keys, made at random for each memory and never shown. Must never
 * hold a password, a stored secret, an address, or a digest made without the key.
 */
#include "auth/login_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/slots.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/secret.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW, HEAD = 4096 };

enum kind { PASSWORDS, POLICIES, KINDS };

/* What begins the memory; the tables are at HEAD, as many sets of each as fit. */
struct head {
    char layout[16];            /* LAYOUT: another one is of another version of the program */
    struct keys {
        unsigned char names[crypto_generichash_KEYBYTES], checks[SLOTS_KEY];
    } keys;
    _Atomic int64_t version;
};
static const char layout[16] = "login cache 1";
_Static_assert(sizeof(struct head) <= HEAD, "the tables are behind it");

static const size_t words_of[KINDS] = { [PASSWORDS] = 0, [POLICIES] = LOGIN_CACHE_POLICY_WORDS };

struct login_cache {
    struct head *head;          /* NULL: nothing is kept */
    size_t size;
    struct slots tables[KINDS];
    struct slots_name depends;  /* all zero: on nothing */
};

/* ------------------------------------------------------------------ the memory */

static size_t sets_in(size_t octets)
{
    return (octets - HEAD) / (slots_octets(1, words_of[PASSWORDS]) + slots_octets(1, words_of[POLICIES]));
}

int login_cache_memory(size_t octets)
{
    struct head head = { .version = 0 };
    int fd = memfd_create("postern-login-cache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good;

    ASSERT(octets >= LOGIN_CACHE_LEAST &&
           LOGIN_CACHE_EACH == slots_entry_octets(words_of[PASSWORDS]) + slots_entry_octets(words_of[POLICIES]));
    memcpy(head.layout, layout, sizeof head.layout);
    randombytes_buf(&head.keys, sizeof head.keys);
    good = fd >= 0 && ftruncate(fd, (off_t)octets) == 0 &&
           pwrite(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
    secret_wipe(&head, sizeof head);
    if (good || fd < 0)
        return fd;
    close(fd);
    return -1;
}

/* False where it is not such memory. */
static bool size_of(int fd, size_t *octets_r)
{
    char found[sizeof layout];
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size < LOGIN_CACHE_LEAST || fcntl(fd, F_GET_SEALS) != SEALS ||
        pread(fd, found, sizeof found, 0) != (ssize_t)sizeof found || memcmp(found, layout, sizeof found) != 0)
        return false;
    *octets_r = (size_t)st.st_size;
    return true;
}

bool login_cache_fits(int fd, size_t octets)
{
    size_t found;

    return size_of(fd, &found) && found == octets;
}

static void map(struct login_cache *c, void *memory)
{
    const size_t sets = sets_in(c->size);
    unsigned char *at = (unsigned char *)memory + HEAD;

    c->head = memory;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        c->tables[kind] = (struct slots){
            .memory = at, .sets = sets, .words = words_of[kind], .key = c->head->keys.checks,
            .idle_s = kind == POLICIES ? LOGIN_CACHE_IDLE_S : 0,
        };
        at += slots_octets(sets, words_of[kind]);
    }
    /* As well as it goes: the keys are to be in no swap and in no core file. */
    (void)mlock(&c->head->keys, sizeof c->head->keys);
    (void)madvise(memory, c->size, MADV_DONTDUMP);
}

struct login_cache *login_cache_new(int fd)
{
    struct login_cache *c = mem_zalloc(sizeof *c);

    if (fd < 0)
        return c;
    if (size_of(fd, &c->size)) {
        void *memory = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED)
            map(c, memory);
        else
            log_warning(NULL, "login cache disabled: %s", strerror(errno));
    }
    close(fd);
    return c;
}

void login_cache_free(struct login_cache **cache)
{
    struct login_cache *c = *cache;

    if (c == NULL)
        return;
    *cache = NULL;
    if (c->head != NULL)
        munmap(c->head, c->size);
    mem_free(c);
}

bool login_cache_is_on(const struct login_cache *c)
{
    return c->head != NULL;
}

/* ----------------------------------------------------------------- the entries */

/* With its length in front, so that "ab"+"c" and "a"+"bc" are two things. */
static void hash_text(crypto_generichash_state *state, struct span text)
{
    unsigned char len[8];

    for (size_t i = 0; i < sizeof len; i++)
        len[i] = (unsigned char)((uint64_t)text.len >> (8 * i));
    crypto_generichash_update(state, len, sizeof len);
    crypto_generichash_update(state, (const unsigned char *)text.at, text.len);
}

static struct slots_name name_of(const struct login_cache *c, unsigned char kind, struct span one, struct span other)
{
    crypto_generichash_state state;
    unsigned char full[SLOTS_NAME + sizeof(uint64_t)];
    struct slots_name name;

    crypto_generichash_init(&state, c->head->keys.names, sizeof c->head->keys.names, sizeof full);
    crypto_generichash_update(&state, &kind, 1);
    if (kind == POLICIES)
        crypto_generichash_update(&state, c->depends.octets, sizeof c->depends.octets);
    hash_text(&state, one);
    hash_text(&state, other);
    crypto_generichash_final(&state, full, sizeof full);
    secret_wipe(&state, sizeof state);
    memcpy(name.octets, full, sizeof name.octets);
    memcpy(&name.where, full + sizeof name.octets, sizeof name.where);
    return name;
}

void login_cache_depend(struct login_cache *c, struct span on)
{
    if (c->head != NULL)
        c->depends = name_of(c, KINDS, on, SPAN_OF(""));
}

static void put(const struct login_cache *c, enum kind kind, const struct slots_name *name, uint32_t now_s,
                const uint64_t *words)
{
    if (slots_put(&c->tables[kind], name, now_s, words))
        metric_add(METRIC_AUTH_CACHE_REPLACED, 1);
}

static uint32_t seconds(void)
{
    return (uint32_t)(clock_ms() / 1000);
}

bool login_cache_has(const struct login_cache *c, struct span stored, struct span password)
{
    if (c->head == NULL)
        return false;
    const struct slots_name name = name_of(c, PASSWORDS, stored, password);
    return slots_get(&c->tables[PASSWORDS], &name, seconds(), NULL);
}

void login_cache_add(const struct login_cache *c, struct span stored, struct span password)
{
    if (c->head == NULL)
        return;
    const struct slots_name name = name_of(c, PASSWORDS, stored, password);
    put(c, PASSWORDS, &name, seconds(), NULL);
}

struct proof_text {
    char s[48];
};

static struct proof_text proof_text(const struct mailbox_ref *mailbox, int64_t proof)
{
    struct proof_text t;

    /* No scheme begins like this. */
    snprintf(t.s, sizeof t.s, "=%s=%lld", mailbox_text(mailbox).s, (long long)proof);
    return t;
}

bool login_cache_has_proof(const struct login_cache *c, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password)
{
    return login_cache_has(c, span_str(proof_text(mailbox, proof).s), password);
}

void login_cache_add_proof(const struct login_cache *c, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password)
{
    login_cache_add(c, span_str(proof_text(mailbox, proof).s), password);
}

bool login_cache_get_policy(const struct login_cache *c, struct span address, struct span network, uint32_t now_s,
                            uint64_t words_r[LOGIN_CACHE_POLICY_WORDS])
{
    if (c->head == NULL)
        return false;
    const struct slots_name name = name_of(c, POLICIES, address, network);
    return slots_get(&c->tables[POLICIES], &name, now_s, words_r);
}

void login_cache_put_policy(const struct login_cache *c, struct span address, struct span network, uint32_t now_s,
                            const uint64_t words[LOGIN_CACHE_POLICY_WORDS])
{
    if (c->head == NULL)
        return;
    const struct slots_name name = name_of(c, POLICIES, address, network);
    put(c, POLICIES, &name, now_s, words);
}

int64_t login_cache_version(const struct login_cache *c)
{
    return c->head != NULL ? atomic_load_explicit(&c->head->version, memory_order_relaxed) : 0;
}

void login_cache_set_version(const struct login_cache *c, int64_t version)
{
    if (c->head != NULL && login_cache_version(c) != version)
        atomic_store_explicit(&c->head->version, version, memory_order_relaxed);
}
