/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that uses libcrypto, from its first instruction to its first key.
 *
 *   custodian, import:  vks_crypto_start, then vks_secret_call for all work
 *   zygote:             vks_crypto_start_public, vks_crypto_warm_up; forked worker: vks_crypto_after_fork, then as
 * above
 *
 * libcrypto's configuration file is never read.
 */
#ifndef VKS_CRYPTO_PROCESS_H
#define VKS_CRYPTO_PROCESS_H

#include <stdint.h>

/* First of all in main: arena installed and switched to secret memory, algorithms fetched. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_crypto_start(void);
/* First of all in a zygote's main: arena installed, still public. */
__attribute__((warn_unused_result)) int vks_crypto_start_public(void);
/*
 * One life with dummy keys of every type and every operation, so that tables, fetched algorithms and code pages are
 * there before the fork. Randomness is a dummy until vks_crypto_after_fork: no DRBG exists that two children could
 * share.
 */
__attribute__((warn_unused_result)) int vks_crypto_warm_up(void);
/*
 * In the child: secret memory, with room for *further_stacks* beside two; real randomness. Until it returned 0 no
 * secret may be touched.
 */
__attribute__((warn_unused_result)) int vks_crypto_after_fork(uint32_t further_stacks);

#endif
