/* A binary search tree: 1024 inserts, then look-ups and a walk, per round. */
#include "kernel.h"

struct node {
    struct node *left, *right;
    uint32_t key, value;
};
static struct node pool[1024];
static unsigned used;

static NOINLINE struct node *insert(struct node *t, uint32_t key) {
    if (!t) {
        t = &pool[used++];
        t->left = t->right = 0;
        t->key = key;
        t->value = 0;
    } else if (key < t->key) {
        t->left = insert(t->left, key);
    } else if (key > t->key) {
        t->right = insert(t->right, key);
    }
    t->value++;
    return t;
}

static NOINLINE uint64_t walk(const struct node *t, uint32_t depth) {
    return t ? walk(t->left, depth + 1) * 3 + walk(t->right, depth + 1) + t->value + depth : 1;
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--) {
        struct node *root = 0;
        used = 0;
        for (int i = 0; i < 1024; i++) root = insert(root, random32() >> 16);
        for (int i = 0; i < 1024; i++) {
            uint32_t key = random32() >> 16;
            const struct node *t = root;
            while (t && t->key != key) t = key < t->key ? t->left : t->right;
            sum += t ? t->value : 1;
        }
        sum += walk(root, 0);
    }
    return sum;
}
