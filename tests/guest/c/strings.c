/* String and memory functions at all alignments, sorting, searching, regular expressions, the heap. */
#include "check.h"
#include <ctype.h>
#include <fnmatch.h>
#include <glob.h>
#include <regex.h>
#include <search.h>
#include <strings.h>

static uint32_t seed = 12345;
static uint32_t rnd(void) { return seed = seed * 1664525 + 1013904223; }
static uint32_t hash(const void *p, size_t n) {
    const unsigned char *b = p;
    uint32_t h = 2166136261u;
    while (n--) h = (h ^ *b++) * 16777619;
    return h;
}
static int by_int(const void *a, const void *b) { return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b; }
static int by_string(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(void) {
    static char a[4096], b[4096], c[4096];
    uint32_t h = 0;
    for (int round = 0; round < 200; round++) {
        size_t from = rnd() % 70, to = rnd() % 70, n = rnd() % (round % 10 ? 200 : 3000);
        for (size_t i = round % 8; i < sizeof a; i += 8) a[i] = b[i] = (char)('a' + (rnd() >> 16) % 26);
        memcpy(b + to, a + from, n);
        h = h * 31 + hash(b, sizeof b);
        memmove(a + to, a + from, n);
        h = h * 31 + hash(a, sizeof a);
        memset(b + from, (int)n, n);
        h = h * 31 + hash(b, sizeof b);
        a[from + n] = 0;
        h = h * 31 + (uint32_t)strlen(a + from);
        char *p = memchr(a, 'q', sizeof a);
        h = h * 31 + (uint32_t)(p ? p - a : -1);
        p = memrchr(a, 'z', n);
        h = h * 31 + (uint32_t)(p ? p - a : -1);
        strcpy(c + to, a + from);
        h = h * 31 + (uint32_t)(strcmp(c + to, a + from) == 0);
        c[to + n / 2] ^= 1;
        h = h * 31 + (uint32_t)(memcmp(c + to, a + from, n) < 0) + (uint32_t)(strncmp(c + to, a + from, n) > 0) * 2;
        p = strchr(a + from, 'x');
        h = h * 31 + (uint32_t)(p ? p - a : -1);
        p = strrchr(a + from, 'x');
        h = h * 31 + (uint32_t)(p ? p - a : -1);
        char needle[4] = {a[from + n / 3], a[from + n / 3 + 1], 0, 0};
        p = strstr(a + from, needle);
        h = h * 31 + (uint32_t)(p ? p - a : -1);
        h = h * 31 + (uint32_t)strspn(a + from, "abcdefghijklm") + (uint32_t)strcspn(a + from, "z");
        h = h * 31 + (uint32_t)strnlen(a + from, n / 2);
        p = stpncpy(c, a + from, 50);
        h = h * 31 + (uint32_t)(p - c);
    }
    printf("string hash %08x\n", h);

    static int numbers[3000];
    for (int i = 0; i < 3000; i++) numbers[i] = (int)rnd();
    qsort(numbers, 3000, sizeof(int), by_int);
    int ordered = 1;
    for (int i = 1; i < 3000; i++) ordered &= numbers[i - 1] <= numbers[i];
    printf("sorted %d first %d last %d\n", ordered, numbers[0], numbers[2999]);
    int *found = bsearch(&numbers[777], numbers, 3000, sizeof(int), by_int);
    printf("found %d\n", found && *found == numbers[777]);
    char text[] = "the quick brown fox jumps over the lazy dog while counting to twelve";
    char *words[20];
    int n = 0;
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) words[n++] = w;
    qsort(words, n, sizeof *words, by_string);
    for (int i = 0; i < n; i++) printf("%s%c", words[i], i == n - 1 ? '\n' : ' ');

    regex_t re;
    regmatch_t m[3];
    CHECK(regcomp(&re, "([a-z]+)=([0-9]+)", REG_EXTENDED) == 0);
    const char *subject = "size: width=640 height=480";
    for (const char *s = subject; regexec(&re, s, 3, m, 0) == 0; s += m[0].rm_eo)
        printf("%.*s is %.*s\n", (int)(m[1].rm_eo - m[1].rm_so), s + m[1].rm_so, (int)(m[2].rm_eo - m[2].rm_so), s + m[2].rm_so);
    regfree(&re);
    printf("fnmatch %d %d\n", fnmatch("*.c", "file.c", 0), fnmatch("[a-c]?", "dx", 0) != 0);
    printf("strcasecmp %d, toupper %c, isdigit %d\n", strcasecmp("HeLLo", "hEllO"), toupper('q'), !!isdigit('7'));

    /* The heap: a random mix of sizes, contents verified. */
    static struct { unsigned char *p; size_t n; unsigned char tag; } blocks[500];
    int bad = 0;
    for (int i = 0; i < 4000; i++) {
        int k = (int)((rnd() >> 8) % 500);
        if (blocks[k].p) {
            for (size_t j = 0; j < blocks[k].n; j += 97) bad += blocks[k].p[j] != blocks[k].tag;
            if (rnd() & 0x10000) {
                size_t more = (rnd() >> 8) % 5000 + 1;
                blocks[k].p = realloc(blocks[k].p, more);
                for (size_t j = 0; j < more && j < blocks[k].n; j += 97) bad += blocks[k].p[j] != blocks[k].tag;
                blocks[k].n = more;
                memset(blocks[k].p, blocks[k].tag, more);
            } else {
                free(blocks[k].p);
                blocks[k].p = NULL;
            }
        } else {
            blocks[k].n = i % 100 == 0 ? 300000 : (rnd() >> 8) % 3000 + 1;
            blocks[k].p = i % 3 ? malloc(blocks[k].n) : calloc(1, blocks[k].n);
            blocks[k].tag = (unsigned char)rnd();
            memset(blocks[k].p, blocks[k].tag, blocks[k].n);
        }
    }
    printf("heap errors %d\n", bad);
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 4096, 10000) == 0);
    printf("aligned %d\n", (int)((uintptr_t)aligned % 4096));
    return 0;
}
