/* CRC-32 (ISO 3309) by table over 4 KiB per round. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    static uint32_t table[256];
    static uint8_t data[4096];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(random32() >> 24);
    uint32_t crc = ~0u;
    while (n--)
        for (size_t i = 0; i < sizeof data; i++) crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}
