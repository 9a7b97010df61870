/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives xts(paes) a key, by AF_ALG, and prints what comes of it: "error N", or 512 zero bytes encrypted with a tweak of
 * zero, as hex. Where dm-crypt only fails, this says why; and it needs no disk.
 */
#include <errno.h>
#include <linux/if_alg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_ALG
#define SOL_ALG 279
#endif

enum { TOKEN_BYTES_MAX = 256, SECTOR_BYTES = 512, TWEAK_BYTES = 16 };

static int refused(const char *what)
{
    printf("%s %d\n", what, errno);
    return 0;
}

static ssize_t encrypt(int operation, uint8_t sector[SECTOR_BYTES])
{
    char control[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(struct af_alg_iv) + TWEAK_BYTES)] = {0};
    struct iovec part = {.iov_base = sector, .iov_len = SECTOR_BYTES};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *field = CMSG_FIRSTHDR(&message);
    struct af_alg_iv tweak = {.ivlen = TWEAK_BYTES};

    field->cmsg_level = SOL_ALG;
    field->cmsg_type = ALG_SET_OP;
    field->cmsg_len = CMSG_LEN(sizeof(uint32_t));
    memcpy(CMSG_DATA(field), &(uint32_t){ALG_OP_ENCRYPT}, sizeof(uint32_t));
    field = CMSG_NXTHDR(&message, field);
    field->cmsg_level = SOL_ALG;
    field->cmsg_type = ALG_SET_IV;
    field->cmsg_len = CMSG_LEN(sizeof(tweak) + TWEAK_BYTES);
    memcpy(CMSG_DATA(field), &tweak, sizeof(tweak));
    if (sendmsg(operation, &message, 0) != SECTOR_BYTES)
        return -1;
    return read(operation, sector, SECTOR_BYTES);
}

int main(void)
{
    struct sockaddr_alg name = {.salg_family = AF_ALG, .salg_type = "skcipher", .salg_name = "xts(paes)"};
    uint8_t token[TOKEN_BYTES_MAX], sector[SECTOR_BYTES] = {0};
    ssize_t size = read(STDIN_FILENO, token, sizeof(token));
    int cipher = socket(AF_ALG, SOCK_SEQPACKET, 0);
    int operation;

    if (size < 0 || cipher < 0 || bind(cipher, (struct sockaddr *)&name, sizeof(name)))
        return refused("no cipher");
    if (setsockopt(cipher, SOL_ALG, ALG_SET_KEY, token, (socklen_t)size))
        return refused("error");
    operation = accept(cipher, NULL, NULL);
    if (operation < 0 || encrypt(operation, sector) != SECTOR_BYTES)
        return refused("no encryption");
    for (int i = 0; i < SECTOR_BYTES; i++)
        printf("%02x", sector[i]);
    puts("");
    return 0;
}
