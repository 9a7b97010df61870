/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash chain of the audit log, as text: one line a record, each naming the SHA-256 of the line before it.
 *
 *   {"seq":N, the line's own members ,"prev":"64 hex digits"}
 *
 * A line's hash covers everything but its newline. Knows no record, no file and no secret.
 */
#ifndef VKS_AUDIT_CHAIN_H
#define VKS_AUDIT_CHAIN_H

#include <stdint.h>

enum vks_audit_chain_limit {
    VKS_AUDIT_HASH_BYTES = 32,
    VKS_AUDIT_LINK_TEXT_BYTES = 128, /* more than number and hash add to a line */
};

/* Why a line does not follow from the one before it. */
enum vks_audit_chain_problem {
    VKS_AUDIT_CHAIN_OK = 0,
    VKS_AUDIT_CHAIN_NOT_A_LINE = 1,
    VKS_AUDIT_CHAIN_WRONG_NUMBER = 2,
    VKS_AUDIT_CHAIN_WRONG_HASH = 3,
};

/* Where the chain stands: number and hash of its last line; all zero before the first. */
struct vks_audit_link {
    uint64_t seq;
    uint8_t hash[32];
};

/*
 * Make lines of *bodies*: JSON objects with at least one member, each with a newline behind it and none inside.
 * *lines* takes body_bytes + VKS_AUDIT_LINK_TEXT_BYTES for each. Bytes written, *link* moved on; -EINVAL: a body is no
 * object, -EMSGSIZE: no room, -EIO: libcrypto failed; then *link* is as it was.
 */
int64_t vks_audit_chain_add(struct vks_audit_link *link, const uint8_t *bodies, uint64_t body_bytes, uint8_t *lines,
                            uint64_t lines_bytes_max);
/*
 * Follow the chain over whole lines, up to number *seq_max*, moving *link* on. Bytes that follow from it: all of them,
 * or up to the line that *problem* is about, or to line *seq_max*; -EIO: libcrypto failed.
 */
int64_t vks_audit_chain_check(struct vks_audit_link *link, const uint8_t *lines, uint64_t line_bytes, uint64_t seq_max,
                              uint32_t *problem);

#endif
