/* The configuration file: whatever stands in it ends in a list of problems or in a configuration that is within bounds. */
#include <sys/mman.h>

#include "daemon/base/option_value.h"
#include "daemon/config/config.c"
#include "daemon/config/config_check.c"
#include "daemon/config/config_file.c"
#include "daemon/config/protocols.c"

#include "tests/fuzz/fuzz.h"

/* libconfig 1.5 leaks a string that has no end; the file is not read often, nor written by strangers. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void count_problem(void *arg, const char *file, int line, const char *text)
{
    (void)file;
    MUST(text != NULL && line >= 0);
    ++*(int *)arg;
}

/* A default may be what nobody can set: "none". */
static bool is_default(const struct option *o, int64_t number, const char *text)
{
    struct option_value v;

    if (o->type == OPTION_TEXT)
        return strcmp(text, o->def) == 0;
    return option_value_parse(o->type, o->def, &v) && v.number == number;
}

static void check_bounds(const struct option_table *table, const void *settings)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->rows[i];
        const char *at = (const char *)settings + o->offset;
        const char *text = NULL;
        int64_t number;

        if (o->type == OPTION_BOOL)
            continue;
        if (o->words != NULL) {
            unsigned word, words = 0;

            memcpy(&word, at, sizeof word);
            while (o->words[words] != NULL)
                words++;
            MUST(o->type == OPTION_WORD ? word < words : word >> words == 0);
            continue;
        }
        if (o->type == OPTION_TEXT) {
            memcpy(&text, at, sizeof text);
            number = (int64_t)strlen(text);
        } else {
            memcpy(&number, at, sizeof number);
        }
        MUST((number >= o->min && number <= o->max) || is_default(o, number, text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int told = 0, problems, fd = memfd_create("conf", MFD_CLOEXEC);
    struct config *config;

    /* libconfig would read what file a line of it names. */
    if (fd < 0 || (size > 0 && memmem(data, size, "@include", 8) != NULL) || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    config = config_load(path, 0, count_problem, &told, &problems);
    MUST(config != NULL && told == problems);
    check_bounds(&daemon_options, &config->daemon);
    check_bounds(&storage_options, &config->storage);
    check_bounds(&auth_options, &config->auth);
    check_bounds(&pop3_options, &config->pop3);
    check_bounds(&lmtp_options, &config->lmtp);
    for (size_t i = 0; i < config->listeners.count; i++)
        check_bounds(&listener_options, config_listener(config, i));
    if (problems == 0)
        MUST(config->conninfo_mail != NULL && config->conninfo_auth != NULL && config->conninfo_lmtp != NULL);
    config_free(&config);
    close(fd);
    return 0;
}
