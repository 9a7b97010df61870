/* SPDX-License-Identifier: Apache-2.0 */
/* What vks-import may do: read the files it was told to, talk to the terminal, write the result. No network, no exec.
 */
#ifndef VKS_IMPORT_CONFINEMENT_H
#define VKS_IMPORT_CONFINEMENT_H

/* Before anything is read. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_import_confine(void);

#endif
