/*
 * driver.c - runs a fuzz target without libFuzzer: every file of the folders
 * and files that are named, then -runs=N mutations of them, chosen by -seed=N.
 *
 * It looks at no coverage: it is for `make check`, where the corpus that
 * libFuzzer has found is to be gone through on any machine that has a compiler.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 65536, WORD_MAX = 64 };

struct input {
    uint8_t *data;
    size_t len;
};

static struct input *inputs, *words;
static size_t input_count, word_count;
static uint64_t seed = 1;
static struct input current;
static const char *current_name;

/* What the sanitizers call before they end us. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void keep_current(void)
{
    FILE *out = fopen("crash-input", "wb");

    if (out != NULL) {
        fwrite(current.data, 1, current.len, out);
        fclose(out);
    }
    fprintf(stderr, "the input (from %s) is in the file crash-input\n", current_name);
}

static uint64_t number(uint64_t below)
{
    /* xorshift64* */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 2685821657736338717u % below;
}

static void add(struct input **list, size_t *count, const void *data, size_t len)
{
    *list = realloc(*list, (*count + 1) * sizeof **list);
    MUST(*list != NULL);
    (*list)[*count] = (struct input){ malloc(len + 1), len };
    MUST((*list)[*count].data != NULL);
    memcpy((*list)[*count].data, data, len);
    (*count)++;
}

static void read_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *in = fopen(path, "rb");

    MUST(in != NULL);
    add(&inputs, &input_count, data, fread(data, 1, sizeof data, in));
    fclose(in);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_path(const char *path)
{
    struct dirent **entries;
    struct stat st;
    char name[4096];
    int n;

    MUST(stat(path, &st) == 0);
    if (!S_ISDIR(st.st_mode)) {
        read_file(path);
        return;
    }
    n = scandir(path, &entries, NULL, by_name);
    MUST(n >= 0);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            read_file(name);
        free(entries[i]);
    }
    free(entries);
}

/* As libFuzzer writes them: "text", with \xNN. */
static void read_dictionary(const char *path)
{
    FILE *in = fopen(path, "r");
    char line[512];

    MUST(in != NULL);
    while (fgets(line, sizeof line, in) != NULL) {
        char word[WORD_MAX];
        size_t len = 0;
        const char *at = strchr(line, '"');

        if (line[0] == '#' || at == NULL)
            continue;
        for (at++; *at != '"' && *at != '\0' && len < sizeof word; at++) {
            unsigned hex;
            if (*at == '\\' && at[1] == 'x' && sscanf(at + 2, "%2x", &hex) == 1) {
                word[len++] = (char)hex;
                at += 3;
            } else {
                at += *at == '\\';
                word[len++] = *at;
            }
        }
        add(&words, &word_count, word, len);
    }
    fclose(in);
}

/* Room for `more` octets at `at`. */
static bool open_gap(struct input *in, size_t at, size_t more)
{
    if (in->len + more > INPUT_MAX)
        return false;
    memmove(in->data + at + more, in->data + at, in->len - at);
    in->len += more;
    return true;
}

static void mutate(struct input *in)
{
    size_t at = (size_t)number(in->len + 1), n;
    const struct input *other = &inputs[number(input_count)];

    switch (number(7)) {
    case 0:
        if (at < in->len)
            in->data[at] ^= (uint8_t)(1u << number(8));
        break;
    case 1:
        if (at < in->len)
            in->data[at] = (uint8_t)number(256);
        break;
    case 2:     /* take some away */
        n = (size_t)number(16) + 1;
        if (at + n <= in->len) {
            memmove(in->data + at, in->data + at + n, in->len - at - n);
            in->len -= n;
        }
        break;
    case 3:     /* one octet, some times */
        n = (size_t)number(number(8) == 0 ? 1024 : 8) + 1;
        if (open_gap(in, at, n))
            memset(in->data + at, (int)number(256), n);
        break;
    case 4:     /* a word */
        if (word_count > 0) {
            const struct input *word = &words[number(word_count)];
            if (open_gap(in, at, word->len))
                memcpy(in->data + at, word->data, word->len);
        }
        break;
    case 5:     /* a part of another input, or of this one */
        if (other->len > 0) {
            size_t from = (size_t)number(other->len);
            n = (size_t)number(other->len - from) + 1;
            if (open_gap(in, at, n))
                memcpy(in->data + at, other->data + from, n);
        }
        break;
    case 6:     /* the end is missing */
        in->len = at;
        break;
    }
}

static void run(const struct input *in, const char *name)
{
    uint8_t *copy = malloc(in->len > 0 ? in->len : 1);

    MUST(copy != NULL);
    memcpy(copy, in->data, in->len);
    current = *in;
    current_name = name;
    LLVMFuzzerTestOneInput(copy, in->len);
    free(copy);
}

int main(int argc, char **argv)
{
    static uint8_t room[INPUT_MAX];
    unsigned long long runs = 0;

    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(keep_current);
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtoull(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            seed = strtoull(argv[i] + 6, NULL, 10) | 1;
        else if (strncmp(argv[i], "-dict=", 6) == 0)
            read_dictionary(argv[i] + 6);
        else
            read_path(argv[i]);
    }
    for (size_t i = 0; i < input_count; i++)
        run(&inputs[i], "the corpus");
    if (input_count == 0)
        add(&inputs, &input_count, "", 0);
    for (unsigned long long i = 0; i < runs; i++) {
        const struct input *from = &inputs[number(input_count)];
        struct input in = { room, from->len };

        memcpy(room, from->data, from->len);
        for (uint64_t n = number(4) + 1; n > 0; n--)
            mutate(&in);
        run(&in, "a mutation");
    }
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    for (size_t i = 0; i < word_count; i++)
        free(words[i].data);
    free(inputs);
    free(words);
    return 0;
}
