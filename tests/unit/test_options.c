/* The configuration file: values, bounds, and every problem with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/base/options.h"

#define ROWS(OPTION) \
    OPTION(flag, BOOL, "true", 0, 1, "A flag.") \
    OPTION(number, INT, "7", 0, 100, "A number.") \
    OPTION(large, SIZE, "64M", 0, INT64_C(17179869184), "A size. It has two sentences, of which the second is long enough to be wrapped.") \
    OPTION(pop3_idle, DURATION, "10m", 1000, 86400000, "A duration.") \
    OPTION(quoted, TEXT, "a\"b\\c", 1, 20, ".A text.") \
    OPTION(who, WORD(who, [WHO_NEVER] = "never", [WHO_LOCAL] = "local", [WHO_ALWAYS] = "always"), "local", 0, 0, "Who.") \
    OPTION(tls, WORD(tls, [TLS_UNSET] = "", [TLS_NONE] = "none"), "", 0, 0, "A word that may be empty.") \
    OPTION(ways, WORDS(way_names), "PLAIN", 0, 0, "A list.")

enum who { WHO_NEVER, WHO_LOCAL, WHO_ALWAYS };
enum tls { TLS_UNSET, TLS_NONE };
static const char *const way_names[] = { "APOP", "PLAIN", "LOGIN", NULL };

struct settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
    ROWS(OPTION)
#undef OPTION
};

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) { #field, OPTION_T_##type, def, min, max, text, offsetof(struct settings, field) },
    ROWS(OPTION)
#undef OPTION
};
static const struct option_table table = { rows, sizeof rows / sizeof rows[0], sizeof(struct settings) };

struct door {
    char *address;
    int64_t port;
};

static const struct option door_rows[] = {
    { "address", OPTION_T_TEXT, "", 1, 100, "Where.", offsetof(struct door, address) },
    { "port", OPTION_T_INT, "110", 1, 65535, "Port.", offsetof(struct door, port) },
};
static const struct option_table door_table = { door_rows, 2, sizeof(struct door) };

static struct settings s;
static struct option_list list;
static struct buf told = BUF_EMPTY;
static char path[] = "/tmp/test-options-XXXXXX";

static void collect(void *arg, const char *file, int line, const char *text)
{
    assert_ptr_equal(arg, &told);
    assert_string_equal(file, path);
    buf_addf(&told, "%d: %s\n", line, text);
}

static int load(struct span text, bool allow_unknown)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(text.at, 1, text.len, f);
    fclose(f);
    options_free(&table, &s);
    options_free_list(&list);
    list = (struct option_list){ .name = "listeners", .table = &door_table };
    const struct option_target target = { &table, &s };
    buf_clear(&told);
    buf_add(&told, "", 0);
    buf_reserve(&told, 1)[0] = '\0';
    return options_load(path, &target, 1, &list, allow_unknown, collect, &told);
}

#define FINE(text) do { int n_ = load(SPAN_OF(text), false); assert_string_equal(told.data, ""); assert_int_equal(n_, 0); } while (0)
#define TOLD(text, n, expected) do { int n_ = load(SPAN_OF(text), false); assert_string_equal(told.data, expected); assert_int_equal(n_, n); } while (0)

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    s = (struct settings){ 0 };
    list = (struct option_list){ .name = "listeners", .table = &door_table };
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    options_free(&table, &s);
    options_free_list(&list);
    buf_free(&told);
    return unlink(path);
}

static void defaults(void **state)
{
    (void)state;
    FINE("");
    assert_true(s.flag);
    assert_int_equal(s.number, 7);
    assert_int_equal(s.large, 64 << 20);
    assert_int_equal(s.pop3_idle, 600000);
    assert_string_equal(s.quoted, "a\"b\\c");
    assert_int_equal(s.who, WHO_LOCAL);
    assert_int_equal(s.tls, TLS_UNSET);
    assert_int_equal(s.ways, 2);
    assert_int_equal(list.count, 0);

    options_free(&table, &s);
    const struct option_target target = { &table, &s };
    assert_int_equal(options_load(NULL, &target, 1, NULL, false, collect, &told), 0);
    assert_int_equal(s.number, 7);
}

static void values(void **state)
{
    (void)state;
    FINE("flag = false;\nnumber = 0x10; # a comment\nlarge = \"1G\";\npop3_idle = \"250s\";\nquoted = \"x\"");
    assert_false(s.flag);
    assert_int_equal(s.number, 16);
    assert_int_equal(s.large, 1 << 30);
    assert_int_equal(s.pop3_idle, 250000);
    assert_string_equal(s.quoted, "x");
}

static void units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } durations[] = {
        { "\"1000ms\"", 1000 }, { "\"10s\"", 10000 }, { "\"5m\"", 300000 }, { "\"2h\"", 7200000 }, { "\"1d\"", 86400000 },
        { "30", 30000 }, { "\"30\"", 30000 }, { "30L", 30000 },
    }, sizes[] = {
        { "0", 0 }, { "4096", 4096 }, { "\"4096\"", 4096 }, { "\"64k\"", 65536 }, { "\"64K\"", 65536 }, { "\"19M\"", 19922944 },
        { "\"16G\"", INT64_C(17179869184) },
        /* More than 32 bits: libconfig 1.5 by itself makes 705032704 of it. */
        { "5000000000", INT64_C(5000000000) }, { "5000000000L", INT64_C(5000000000) }, { "0x1FFFFFFFF", INT64_C(8589934591) },
    };
    char text[64];
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        int n = snprintf(text, sizeof text, "pop3_idle = %s;", durations[i].text);
        assert_int_equal(load((struct span){ text, (size_t)n }, false), 0);
        assert_int_equal(s.pop3_idle, durations[i].value);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int n = snprintf(text, sizeof text, "large = %s", sizes[i].text);
        assert_int_equal(load((struct span){ text, (size_t)n }, false), 0);
        assert_int_equal(s.large, sizes[i].value);
    }
}

static void every_problem(void **state)
{
    (void)state;
    TOLD("flag = 1;\n"
         "number = \"7\";\n"
         "large = \"64q\";\n"
         "pop3_idle = \"500ms\";\n"
         "quoted = \"\";\n"
         "\n"
         "colour = \"red\";\n", 6,
         "1: flag must be true or false\n"
         "2: number must be a number\n"
         "3: large must be a size: octets, or a string such as \"64k\", \"19M\", \"1G\"\n"
         "4: pop3_idle must be from 1s to 1d and is 500ms\n"
         "5: quoted must be 1 to 20 octets long and is 0\n"
         "7: unknown option colour\n");
    assert_true(s.flag);                    /* the default where the value is wrong */
    assert_int_equal(s.pop3_idle, 600000);
    assert_string_equal(s.quoted, "a\"b\\c");
}

static void bounds(void **state)
{
    (void)state;
    TOLD("number = 101;", 1, "1: number must be from 0 to 100 and is 101\n");
    TOLD("number = -1;", 1, "1: number must be from 0 to 100 and is -1\n");
    TOLD("number = 1.5;", 1, "1: number must be a number\n");
    TOLD("number = 4294967297;", 1, "1: number must be from 0 to 100 and is 4294967297\n");
    TOLD("large = \"17G\";", 1, "1: large must be from 0 to 16G and is 17G\n");
    TOLD("large = \"99999999999999G\";", 1, "1: large must be from 0 to 16G and is 9223372036854775807\n");
    TOLD("pop3_idle = 9223372036854775807;", 1, "1: pop3_idle must be from 1s to 1d and is 9223372036854775807ms\n");
    TOLD("pop3_idle = \"5 m\";", 1,
         "1: pop3_idle must be a duration: seconds, or a string such as \"250ms\", \"10s\", \"5m\", \"2h\", \"1d\"\n");
    TOLD("quoted = \"123456789012345678901\";", 1, "1: quoted must be 1 to 20 octets long and is 21\n");
    TOLD("quoted = 5;", 1, "1: quoted must be a string in double quotes\n");
}

static void words(void **state)
{
    (void)state;
    FINE("who = \"always\"; tls = \"none\"; ways = \"login, PLAIN\";");
    assert_int_equal(s.who, WHO_ALWAYS);
    assert_int_equal(s.tls, TLS_NONE);
    assert_int_equal(s.ways, 6);
    FINE("who = \"never\"; tls = \"\"; ways = \"\";");
    assert_int_equal(s.who, WHO_NEVER);
    assert_int_equal(s.tls, TLS_UNSET);
    assert_int_equal(s.ways, 0);
    TOLD("who = \"maybe\";", 1, "1: who must be \"never\", \"local\" or \"always\" and is \"maybe\"\n");
    assert_int_equal(s.who, WHO_LOCAL);     /* the default */
    TOLD("who = \"Never\";", 1, "1: who must be \"never\", \"local\" or \"always\" and is \"Never\"\n");
    TOLD("who = \"\";", 1, "1: who must be \"never\", \"local\" or \"always\" and is \"\"\n");
    TOLD("who = true;", 1, "1: who must be \"never\", \"local\" or \"always\"\n");
    TOLD("tls = \"yes\";", 1, "1: tls must be \"none\" or empty and is \"yes\"\n");
    TOLD("ways = \"PLAIN GSSAPI\";", 1, "1: ways: \"GSSAPI\" is not one of APOP, PLAIN, LOGIN\n");
    TOLD("ways = \"PLAIN, LOGIN plain\";", 1, "1: ways: \"plain\" is there twice\n");
    assert_int_equal(s.ways, 2);
    TOLD("ways = 1;", 1, "1: ways must be a list of these in double quotes: APOP, PLAIN, LOGIN\n");
    assert_ptr_equal(options_row(&table, "ways")->words, way_names);
    assert_null(options_row(&table, "way"));
}

static void unknown_names(void **state)
{
    (void)state;
    TOLD("pop3_idel = 5;", 1, "1: unknown option pop3_idel, did you mean pop3_idle?\n");
    TOLD("Number = 5;", 1, "1: unknown option Number, did you mean number?\n");
    TOLD("listener = ();", 1, "1: unknown option listener, did you mean listeners?\n");
    TOLD("ab = 5;", 1, "1: unknown option ab\n");
    TOLD("pop3: { number = 5; };", 1, "1: unknown option pop3\n");
    assert_int_equal(load(SPAN_OF("colour = 5; number = 8; listeners = ( { colour = 5; } );"), true), 0);
    assert_int_equal(s.number, 8);
}

static void syntax(void **state)
{
    (void)state;
    TOLD("number = 5;\nlarge = 64k;\nflag = true;", 1, "2: syntax error\n");
    TOLD("number = 5;\nnumber = 6;", 1, "2: duplicate setting name\n");
    TOLD("number = 5;\nquoted = \"x", 1, "3: syntax error\n");   /* the end of the file, where the quotes are missed */
    TOLD("number = 5;\n\0number = 6;", 1, "2: contains a NUL octet\n");
    /* libconfig would end the process at this one. */
    TOLD("\n@include \"/\"\n", 1, "2: @include is not supported\n");
    FINE("number = 5; // no line end");
    FINE("# no line end either");
    FINE("# @include \"/\"\n/* 5000000000\n */ // @\nquoted = \"@ # 5000000000\";");
    assert_string_equal(s.quoted, "@ # 5000000000");
    TOLD("/* never closed\nnumber = 5;", 0, "");    /* as libconfig has it: a comment to the end */
}

static void files(void **state)
{
    (void)state;
    const struct option_target target = { &table, &s };
    char good[sizeof path];
    memcpy(good, path, sizeof path);
    options_free(&table, &s);
    buf_clear(&told);
    strcpy(path, "/nonexistent/x");
    assert_int_equal(options_load(path, &target, 1, NULL, false, collect, &told), 1);
    assert_string_equal(told.data, "0: could not open: No such file or directory\n");
    options_free(&table, &s);
    buf_clear(&told);
    strcpy(path, "/tmp");
    assert_int_equal(options_load(path, &target, 1, NULL, false, collect, &told), 1);
    assert_string_equal(told.data, "0: is a directory\n");
    memcpy(path, good, sizeof path);
    assert_int_equal(s.number, 7);
}

static void groups(void **state)
{
    (void)state;
    FINE("listeners = ( { address = \"*\"; },\n { address = \"::1\"; port = 1110; } );");
    assert_int_equal(list.count, 2);
    const struct door *doors = list.items;
    assert_string_equal(doors[0].address, "*");
    assert_int_equal(doors[0].port, 110);
    assert_string_equal(doors[1].address, "::1");
    assert_int_equal(doors[1].port, 1110);
    assert_int_equal(list.lines[0], 1);
    assert_int_equal(list.lines[1], 2);

    TOLD("listeners = (\n { address = 5; },\n { prot = 1; port = 70000; },\n 5 );", 4,
         "2: address must be a string in double quotes\n"
         "3: unknown option prot, did you mean port?\n"
         "3: port must be from 1 to 65535 and is 70000\n"
         "4: listeners must hold groups only, as { address = ...; }\n");
    assert_int_equal(list.count, 3);        /* filled all the same */
    assert_string_equal(((const struct door *)list.items)[2].address, "");
    TOLD("listeners = { address = \"*\"; };", 1, "1: listeners must be a list of groups, as ( { address = ...; } )\n");
    FINE("listeners = ();");
    assert_int_equal(list.count, 0);
}

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

static void print_sample(FILE *out) { options_sample(out, &table, false); }
static void print_in_list(FILE *out) { options_sample(out, &door_table, true); }
static void print_manual(FILE *out) { options_manual(out, &table); }

static void sample(void **state)
{
    (void)state;
    char *text = printed(print_sample);
    assert_string_equal(text,
        "# A flag.\n# True or false.\n#flag = true;\n\n"
        "# A number.\n# Number, 0 to 100.\n#number = 7;\n\n"
        "# A size. It has two sentences, of which the second is long enough to be\n# wrapped.\n"
        "# Size, 0 to 16G.\n#large = \"64M\";\n\n"
        "# A duration.\n# Duration, 1s to 1d.\n#pop3_idle = \"10m\";\n\n"
        "# .A text.\n# Text, 1 to 20 octets.\n#quoted = \"a\\\"b\\\\c\";\n\n"
        "# Who.\n# One of \"never\", \"local\" or \"always\".\n#who = \"local\";\n\n"
        "# A word that may be empty.\n# One of \"none\" or empty.\n#tls = \"\";\n\n"
        "# A list.\n# Any of APOP, PLAIN, LOGIN; separated by commas or spaces.\n#ways = \"PLAIN\";\n");
    /* What it shows as defaults is read as just that. */
    struct buf active = BUF_EMPTY;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        buf_addf(&active, "%s\n", strncmp(line, "# ", 2) == 0 ? "" : line + 1);
    assert_int_equal(load(buf_span(&active), false), 0);
    assert_string_equal(told.data, "");
    assert_int_equal(s.large, 64 << 20);
    assert_string_equal(s.quoted, "a\"b\\c");
    buf_free(&active);
    free(text);

    text = printed(print_in_list);
    assert_string_equal(text,
        "    # Where.\n    # Text, 1 to 100 octets.\n    #address = \"\";\n\n"
        "    # Port.\n    # Number, 1 to 65535.\n    #port = 110;\n");
    free(text);
}

static void manual(void **state)
{
    (void)state;
    char *text = printed(print_manual);
    assert_non_null(strstr(text,
        ".It Ic large\nA size.\nIt has two sentences, of which the second is long enough to be wrapped.\n"
        "Size, 0 to 16G.\nThe default is\n.Ql 64M .\n"));
    assert_non_null(strstr(text, ".It Ic quoted\n\\&.A text.\n"));
    assert_non_null(strstr(text, ".Ql a\\(dqb\\ec .\n"));
    assert_non_null(strstr(text, ".It Ic who\nWho.\nOne of \"never\", \"local\" or \"always\".\nThe default is\n.Ql local .\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(units),
        cmocka_unit_test(every_problem),
        cmocka_unit_test(bounds),
        cmocka_unit_test(words),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(syntax),
        cmocka_unit_test(files),
        cmocka_unit_test(groups),
        cmocka_unit_test(sample),
        cmocka_unit_test(manual),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
