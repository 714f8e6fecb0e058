/*
 * The table that helpers share: how many of its names are found again, and that
 * what is found is what was put there, whoever writes at the same time or is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/slots.h"
#include "tests/unit/chance.h"

enum { WORDS = 9, NOW = 1000 };
static const unsigned char key[SLOTS_KEY] = "0123456789abcde";

static struct slots made(size_t sets, size_t words, uint32_t idle_s)
{
    void *memory = mmap(NULL, slots_octets(sets, words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return (struct slots){ memory, sets, words, idle_s, key };
}

static void drop(struct slots *s)
{
    munmap(s->memory, slots_octets(s->sets, s->words));
}

static struct slots_name name(uint64_t n)
{
    unsigned char full[SLOTS_NAME + sizeof(uint64_t)];
    struct slots_name name;

    crypto_generichash(full, sizeof full, (const unsigned char *)&n, sizeof n, NULL, 0);
    memcpy(name.octets, full, SLOTS_NAME);
    memcpy(&name.where, full + SLOTS_NAME, sizeof name.where);
    return name;
}

/* Words of which each tells whose they are, and of which version. */
static void fill(uint64_t words[WORDS], uint64_t n, uint64_t version)
{
    for (uint64_t i = 0; i < WORDS; i++)
        words[i] = n << 48 | version << 8 | i;
}

static bool put(const struct slots *s, uint64_t n, uint64_t version)
{
    const struct slots_name of = name(n);
    uint64_t words[WORDS];

    fill(words, n, version);
    return slots_put(s, &of, NOW, words);
}

/* The version that is kept, -1: none; -2: what nobody has put there. */
static int64_t get(const struct slots *s, uint64_t n)
{
    const struct slots_name of = name(n);
    uint64_t words[WORDS], wanted[WORDS];

    if (!slots_get(s, &of, NOW, words))
        return -1;
    const uint64_t version = words[0] << 16 >> 24;
    fill(wanted, n, version);
    return memcmp(words, wanted, sizeof words) == 0 ? (int64_t)version : -2;
}

static void kept(void **state)
{
    struct slots s = made(16, WORDS, 0);

    (void)state;
    assert_int_equal(get(&s, 1), -1);
    assert_false(put(&s, 1, 7));
    assert_int_equal(get(&s, 1), 7);
    assert_int_equal(get(&s, 2), -1);
    assert_false(put(&s, 1, 8));
    assert_int_equal(get(&s, 1), 8);
    drop(&s);
}

/*
 * Rounds of polls, each in another order: in hundredths of a per cent, how many of the second and
 * later ones are answered.
 */
static unsigned hits(size_t sets, size_t names)
{
    enum { ROUNDS = 5 };
    struct slots s = made(sets, WORDS, 0);
    uint32_t *order = calloc(names, sizeof *order);
    size_t found = 0;

    for (size_t i = 0; i < names; i++)
        order[i] = (uint32_t)i;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (size_t i = names; i > 0; i--) {
            const uint32_t at = randombytes_uniform((uint32_t)i), who = order[at];
            order[at] = order[i - 1];
            order[i - 1] = who;
            const struct slots_name of = name(who);
            uint64_t words[WORDS] = { who };
            bool is_there = slots_get(&s, &of, NOW + round, words);
            assert_true(words[0] == who);
            found += is_there && round > 0;
            if (!is_there)
                slots_put(&s, &of, NOW + round, words);
        }
    free(order);
    drop(&s);
    return (unsigned)(found * 10000 / (names * (ROUNDS - 1)));
}

static void hit_rate(void **state)
{
    enum { SETS = 1000, PLACES = SETS * SLOTS_WAYS };

    (void)state;
    assert_in_range(hits(SETS, PLACES), 9700, 10000);
    assert_in_range(hits(SETS, PLACES * 9 / 10), 9990, 10000);
    assert_in_range(hits(SETS, PLACES / 2), 10000, 10000);
    /* A few too many do not drive each other out. */
    assert_in_range(hits(SETS, PLACES * 11 / 10), 7500, 10000);
}

/* Who was asked for lately stays rather than who was not; who has ended goes first, and that is not told. */
static void who_goes(void **state)
{
    enum { SETS = 100, PLACES = SETS * SLOTS_WAYS };
    struct slots s = made(SETS, WORDS, 50);
    size_t old = 0, recent = 0, told = 0;
    uint64_t words[WORDS] = { 0 };

    (void)state;
    for (uint64_t n = 0; n < PLACES; n++) {
        const struct slots_name of = name(n);
        slots_put(&s, &of, n % 2 == 0 ? 100 : 120, words);
    }
    for (uint64_t n = PLACES; n < PLACES * 5 / 4; n++) {
        const struct slots_name of = name(n);
        told += slots_put(&s, &of, 130, words);
    }
    for (uint64_t n = 0; n < PLACES; n++) {
        const struct slots_name of = name(n);
        *(n % 2 == 0 ? &old : &recent) += slots_get(&s, &of, 130, words);
    }
    assert_true(told > PLACES / 5 && recent > old + PLACES / 40);
    /* All have ended, and all have room. */
    for (uint64_t n = 2 * PLACES; n < 2 * PLACES + PLACES / 2; n++) {
        const struct slots_name of = name(n);
        assert_false(slots_put(&s, &of, 181, words));
    }
    drop(&s);
}

/*
 * A writer that was killed has written some of its words, and two that write at once leave some of
 * each: of all such mixtures none is believed, and the next one who writes mends it.
 */
static void torn(void **state)
{
    struct slots s = made(1, WORDS, 0);
    const size_t count = slots_octets(1, WORDS) / sizeof(uint64_t);
    uint64_t *now = (void *)s.memory, *before = calloc(count, sizeof *now), *after = calloc(count, sizeof *now);
    size_t differ[64], n;

    (void)state;
    /* In place of an older entry of its own, and of another's. */
    for (uint64_t other = 1; other <= 2; other++) {
        for (uint64_t i = 1; i <= SLOTS_WAYS; i++)
            put(&s, i == 1 ? 1 : 100 + i, 7);
        memcpy(before, now, count * sizeof *now);
        if (other == 1)
            put(&s, 1, 8);
        for (uint64_t tries = 0; other == 2 && get(&s, 1) == 7; tries++) {
            memcpy(now, before, count * sizeof *now);
            put(&s, 2, 8);          /* until it is the first one that makes room */
        }
        memcpy(after, now, count * sizeof *now);
        n = 0;
        for (size_t i = 0; i < count; i++)
            if (before[i] != after[i])
                differ[n++] = i;
        assert_in_range(n, WORDS + 2, WORDS + 4);
        for (size_t mix = 1; mix < ((size_t)1 << n) - 1; mix++) {
            memcpy(now, before, count * sizeof *now);
            for (size_t i = 0; i < n; i++)
                if (mix >> i & 1)
                    now[differ[i]] = after[differ[i]];
            for (uint64_t who = 1; who <= 2; who++) {
                int64_t version = get(&s, who);
                /* With nothing but its tag missing or wrong an entry is whole. */
                assert_true(version == -1 || (version == (who == 1 && other == 2 ? 7 : 8)) || (who == 1 && version == 7));
                if (other == 1)
                    assert_int_equal(version, -1);
            }
        }
        put(&s, 1, 9);
        assert_int_equal(get(&s, 1), 9);
        memset(now, 0, count * sizeof *now);
    }
    free(before);
    free(after);
    drop(&s);
}

/* An entry that is there twice, since who moved it was killed, does not come back in place of a newer one. */
static void twice(void **state)
{
    struct slots s = made(1, WORDS, 0);
    uint32_t *tags = (void *)s.memory;
    unsigned char *entries = s.memory + 2 * sizeof(uint32_t) * SLOTS_WAYS;
    const size_t each = slots_entry_octets(WORDS) - 2 * sizeof(uint32_t);

    (void)state;
    put(&s, 1, 7);
    tags[5] = tags[0];
    memcpy(entries + 5 * each, entries, each);
    assert_int_equal(get(&s, 1), 7);
    put(&s, 1, 8);
    assert_int_equal(get(&s, 1), 8);
    drop(&s);
}

/* ------------------------------------------------------------ several processes */

/* Of which each has some of its own names, and all have some in common. */
enum { WRITERS = 4, NAMES = 40 };

static void write_and_read(const struct slots *s, unsigned long rounds)
{
    for (unsigned long i = 0; i < rounds; i++) {
        const uint64_t n = 1 + randombytes_uniform(NAMES);
        if (i % 2 == 0)
            put(s, n, randombytes_uniform(1 << 20));
        else if (get(s, n) == -2)
            _exit(1);
    }
    _exit(0);
}

static pid_t forked(const struct slots *s, unsigned long rounds)
{
    pid_t pid = fork();

    if (pid == 0) {
        chance_seed((uint64_t)getpid());
        write_and_read(s, rounds);
    }
    assert_true(pid > 0);
    return pid;
}

static void together(void **state)
{
    struct slots s = made(3, WORDS, 0);
    pid_t writers[WRITERS];
    int status;

    (void)state;
    for (size_t i = 0; i < WRITERS; i++)
        writers[i] = forked(&s, 20000);
    /* Others write for as long as they are let. */
    for (int i = 0; i < 20; i++) {
        pid_t killed = forked(&s, ULONG_MAX);
        nanosleep(&(struct timespec){ 0, (long)randombytes_uniform(3000000) }, NULL);
        kill(killed, SIGKILL);
        assert_int_equal(waitpid(killed, &status, 0), killed);
        assert_true(WIFSIGNALED(status));
        for (uint64_t n = 1; n <= NAMES; n++)
            assert_true(get(&s, n) != -2);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    /* They have left nothing behind that is in the way. */
    for (uint64_t n = 1; n <= NAMES; n++) {
        put(&s, n, n);
        assert_int_equal(get(&s, n), n);
    }
    drop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept), cmocka_unit_test(hit_rate), cmocka_unit_test(who_goes), cmocka_unit_test(torn),
        cmocka_unit_test(twice), cmocka_unit_test(together),
    };

    if (!chance_begin(1))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
