/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between our own processes: AF_UNIX SOCK_SEQPACKET, one message a packet, descriptors by SCM_RIGHTS.
 *
 * Every message is struct vks_ipc_head, the fixed structure of its type, then bytes where the structure announces some.
 * A reply repeats type and tag of its request with VKS_IPC_REPLY set and carries an error (0 or a negative errno).
 * The receiver checks the size against the type before it reads a field and closes descriptors nobody asked for;
 * a message that breaks this ends the connection. Tag 0 marks an event nobody asked for.
 */
#ifndef VKS_IPC_H
#define VKS_IPC_H

#include <stdint.h>

enum vks_ipc_limit {
    VKS_IPC_BYTES_MAX = 65536,
    VKS_IPC_FDS_MAX = 32,
    VKS_IPC_REGIONS_MAX = 32,
    VKS_IPC_REPLY = 0x8000,
    VKS_SPAWN_CPUS_MAX = 1024,
};

enum vks_ipc_type {
    /* keystored to worker; all answered */
    VKS_WORKER_MEM_TABLE = 0x101,  /* vks_worker_mem_table, one fd a region; replaces the table */
    VKS_WORKER_RING_START = 0x102, /* vks_worker_ring_start; fds: kick, then call, then err as flagged */
    VKS_WORKER_RING_STOP = 0x103,  /* vks_worker_ring; reply vks_worker_ring_stopped */
    VKS_WORKER_RING_CALL = 0x104,  /* vks_worker_ring, one fd or none; signalled once if it replaced one */
    VKS_WORKER_RING_KICK = 0x105,  /* vks_worker_ring, one fd */
    VKS_WORKER_RING_ERR = 0x106,   /* vks_worker_ring, one fd or none */
    VKS_WORKER_SNAPSHOT = 0x107, /* vks_worker_snapshot, the sealed memfd; reply: it is in force, lost keys are wiped */
    VKS_WORKER_DRAINED = 0x108,  /* empty: the audit ring has room again */
    VKS_WORKER_LEASED = 0x109,   /* empty: budgets in state memory have more */
    VKS_WORKER_TOKEN = 0x10a,    /* empty, the fd of a channel to vks-hsm, in the place of the last one */
    VKS_WORKER_ORDERED = 0x10b,  /* vks_worker_ordered of ipc_order.h: what an order came to; -ESRCH: none is away */
    VKS_WORKER_KEYS_FILLED = 0x10c, /* empty: what VKS_WORKER_KEYS_WANTED named has come, or does not come now */
    /* worker to keystored, tag 0 */
    VKS_WORKER_READY = 0x181,       /* vks_worker_ready, the first message */
    VKS_WORKER_RING_BROKEN = 0x182, /* vks_worker_ring_broken: this queue stopped, its err fd was signalled */
    VKS_WORKER_KEYS_LOADED = 0x183, /* vks_worker_keys_loaded: a load by the custodian is usable, or failed */
    VKS_WORKER_SET_ASIDE = 0x184,   /* vks_worker_set_aside: a request that workers died over was not run again */
    VKS_WORKER_BUDGET_LOW = 0x185,  /* empty: a budget in state memory is used up to its lease or soon will be */
    VKS_WORKER_ORDER = 0x186,       /* vks_worker_order of ipc_order.h; VKS_WORKER_ORDERED says what it came to */
    VKS_WORKER_KEYS_WANTED = 0x187, /* vks_worker_keys_wanted; VKS_WORKER_KEYS_FILLED says that it was looked after */

    /* custodian to worker on the key channel */
    VKS_KEYS = 0x201, /* vks_keys, the secret memory fd with struct vks_key_slot entries; not answered here */

    /* keystored to custodian; all answered */
    VKS_CUSTODIAN_STATUS = 0x301, /* empty; reply vks_custodian_status */
    VKS_CUSTODIAN_ROOT_OPEN =
        0x302, /* vks_custodian_root, wrapped secret; fds: KEK file, read-write when create is 1, then the secret's */
    VKS_CUSTODIAN_GENERATE =
        0x303, /* vks_custodian_generate; reply vks_custodian_key, sealed, public; -ENOTSUP: not by this libcrypto */
    VKS_CUSTODIAN_OFFER = 0x304,   /* empty; reply vks_custodian_offer */
    VKS_CUSTODIAN_IMPORT = 0x305,  /* vks_custodian_import, wrapped bytes; reply vks_custodian_key, sealed, public */
    VKS_CUSTODIAN_CHANNEL = 0x306, /* vks_custodian_channel, the key channel's fd */
    VKS_CUSTODIAN_CHANNEL_CLOSE = 0x307, /* vks_custodian_channel */
    VKS_CUSTODIAN_LOAD =
        0x308, /* vks_custodian_load, count times: vks_custodian_load_entry, sealed bytes padded to 8 */
    VKS_CUSTODIAN_AUDIT_KEY = 0x309,  /* empty: make the audit key; reply vks_custodian_audit_key, sealed */
    VKS_CUSTODIAN_AUDIT_SIGN = 0x30a, /* vks_custodian_audit_sign, sealed, text; reply vks_custodian_audit_signature */
    VKS_CUSTODIAN_ROOT_CHANGE =
        0x30b, /* vks_custodian_root_change, wrapped secret, blob; fds: an empty file, read-write, then the secret's */
    VKS_CUSTODIAN_RESEAL =
        0x30c, /* vks_custodian_reseal, count times: vks_custodian_load_entry, sealed bytes padded to 8; reply alike */
    VKS_CUSTODIAN_ROOT_SWITCH = 0x30d, /* empty: seal under the KEK of the last change from now on */
    VKS_CUSTODIAN_CERTIFY = 0x30e,     /* vks_custodian_certify, sealed, fields; reply vks_custodian_certified, DER */
    VKS_CUSTODIAN_RSA_OFFER = 0x30f,   /* empty; reply vks_custodian_rsa_offer, public key */
    VKS_CUSTODIAN_IMPORT_RSA = 0x310,  /* vks_custodian_import_rsa, wrapped bytes; reply as to VKS_CUSTODIAN_IMPORT */
    VKS_CUSTODIAN_ROOT_EXPORT = 0x311, /* vks_custodian_offer of vks-recovery; reply vks_custodian_export */
    VKS_CUSTODIAN_ENROLL = 0x312,      /* vks_custodian_enroll, public key; reply as to VKS_CUSTODIAN_GENERATE */

    /* keystored to zygote; answered */
    VKS_ZYGOTE_SPAWN = 0x401, /* vks_zygote_spawn; fds: control, key channel, state memory, where there are places the
                                 board; reply vks_zygote_spawned, pidfd */

    /* keystored to holder; all answered */
    VKS_HOLDER_KEEP = 0x501, /* vks_holder_name, the fd: keep it until VKS_HOLDER_DROP; -EEXIST, -ENOSPC */
    VKS_HOLDER_DROP = 0x502, /* vks_holder_name; -ENOENT */
    VKS_HOLDER_LIST = 0x503, /* vks_holder_index; reply vks_holder_name, the fd; -ENOENT behind the last one */
    VKS_HOLDER_END = 0x504,  /* empty: close everything and end */

    /* keystored to vks-hsm, structures of ipc_hsm.h; all answered */
    VKS_HSM_OPEN = 0x601,     /* vks_hsm_open, path of the module; fd: the file with the PIN; reply vks_hsm_opened */
    VKS_HSM_CHANNEL = 0x602,  /* vks_hsm_channel, the fd of a worker's channel */
    VKS_HSM_CLOSE = 0x603,    /* vks_hsm_channel */
    VKS_HSM_ALLOW = 0x604,    /* vks_hsm_allow, count times vks_hsm_key: what the channel may use from here on */
    VKS_HSM_GENERATE = 0x605, /* vks_hsm_generate; reply vks_hsm_public, the public key */
    VKS_HSM_FIND = 0x606,     /* vks_hsm_find; reply as to VKS_HSM_GENERATE */
    /* worker to vks-hsm on such a channel; answered in any order */
    VKS_HSM_RUN = 0x681, /* vks_hsm_run, label, input; reply vks_hsm_result, output */

    /* a program that systemd started to whoever connected, tag 0, the first message */
    VKS_PROGRAM_STARTED = 0x701, /* vks_program_started, its pidfd */

    /* keystored to vks-handler, once; answered when the program has ended */
    VKS_HANDLER_RUN = 0x801, /* vks_handler_run, program, id, kind, line; reply vks_handler_ended, what it said */
};

/* Of a sealed blob, a load and a slot: the material is a SubjectPublicKeyInfo, the private key lies in a token. */
enum vks_type_flag {
    VKS_TYPE_F_TOKEN = 0x40000000,
};

struct vks_custodian_enroll {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type; /* without VKS_TYPE_F_TOKEN, under which it is sealed */
    uint32_t public_bytes;
    uint32_t reserved;
};

/* How well secrets are kept from everybody else on the host; the best one that works is used and said. */
enum vks_secret_memory {
    VKS_SECRET_MEMORY_MEMFD = 1, /* memfd_secret(2): not readable by root through the kernel */
    VKS_SECRET_MEMORY_MLOCK = 2, /* mlock + MADV_DONTDUMP */
};

/* How a process keeps from seeing files and the network; the best one that works is used and said. */
enum vks_sandbox_view {
    VKS_SANDBOX_VIEW_OPEN = 0, /* neither of the two: only the system-call filter stands before them */
    VKS_SANDBOX_VIEW_LANDLOCK = 1,
    VKS_SANDBOX_VIEW_NAMESPACES = 2, /* an empty root, no network device */
};

enum vks_sandbox_flag {
    VKS_SANDBOX_F_OWN_USER = 0x1, /* a user that no other process has */
    VKS_SANDBOX_F_SYSCALL_FILTER = 0x2,
};

struct vks_sandbox_report {
    uint32_t uid;
    uint32_t view;         /* enum vks_sandbox_view */
    uint32_t landlock_abi; /* 0 unless that is the view */
    uint32_t flags;        /* enum vks_sandbox_flag */
};

struct vks_ipc_head {
    uint32_t type;
    uint32_t size_bytes; /* of the whole message, this head included */
    uint64_t tag;
    int32_t error; /* replies: 0 or a negative errno */
    uint32_t reserved;
};

struct vks_ipc_region {
    uint64_t gpa;
    uint64_t uva;
    uint64_t size_bytes;
    uint64_t mmap_offset;
};

struct vks_worker_mem_table {
    uint32_t region_count;
    uint32_t reserved;
    struct vks_ipc_region regions[32];
};

enum vks_ring_flag {
    VKS_RING_F_CALL = 0x1,
    VKS_RING_F_ERR = 0x2,
};

struct vks_worker_ring_start {
    uint32_t queue;
    uint32_t size;     /* entries, a power of two */
    uint32_t base;     /* next available index */
    uint32_t flags;    /* enum vks_ring_flag: which fds follow the kick fd */
    uint64_t features; /* as the front-end acknowledged them */
    uint64_t start_id; /* of this start by the front-end; repeated to a successor, which goes on by state memory then */
    uint64_t desc_uva;
    uint64_t avail_uva;
    uint64_t used_uva;
};

struct vks_worker_ring {
    uint32_t queue;
    uint32_t reserved;
};

struct vks_worker_ring_stopped {
    uint32_t queue;
    uint32_t base;
};

struct vks_worker_snapshot {
    uint64_t generation;
    uint64_t size_bytes;
};

struct vks_worker_ready {
    uint32_t secret_memory;     /* enum vks_secret_memory */
    uint32_t libcrypto_version; /* OPENSSL_VERSION_NUMBER >> 4 form of OpenSSL_version_num() */
    struct vks_sandbox_report sandbox;
    uint32_t accelerated; /* functions that an engine serves: bits of enum vks_engine_function */
};

struct vks_worker_ring_broken {
    uint32_t queue;
    int32_t error; /* negative errno */
};

struct vks_worker_set_aside {
    uint32_t queue;
    uint32_t op;     /* enum vks_op, 0 where the request was not looked at */
    uint32_t deaths; /* workers that died while they executed it */
    uint32_t reserved;
    uint64_t request_sequence;
    uint8_t key_id[16];
};

struct vks_worker_keys_loaded {
    uint64_t load_id;
    int32_t error; /* 0 or a negative errno; then none of this load is usable, or, of a fill, not all */
    uint32_t key_count;
};

/* Granted keys that requests wait for, and that are not in the worker. One list is away at a time. */
enum vks_keys_wanted_limit {
    VKS_KEYS_WANTED_MAX = 64,
};

struct vks_key_version {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t reserved;
};

struct vks_worker_keys_wanted {
    uint32_t count;
    uint32_t reserved;
    struct vks_key_version key[VKS_KEYS_WANTED_MAX];
};

enum vks_load_flag {
    /*
     * For the snapshot in force: a key that this does not name is dropped, and one that cannot be loaded keeps no
     * other away. Without it all of a load is taken, for the next snapshot, or nothing.
     */
    VKS_LOAD_F_FILL = 0x1,
};

struct vks_keys {
    uint64_t load_id;
    uint64_t size_bytes; /* of the secret memory */
    uint32_t key_count;
    uint32_t secret_memory; /* enum vks_secret_memory of the fd */
    uint32_t flags;         /* enum vks_load_flag */
    uint32_t reserved;
};

/* In the secret memory, 8-byte aligned, material_bytes follow padded to 8. The worker wipes the page after the load. */
struct vks_key_slot {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
    uint32_t nonce_lease;    /* first 32 bits of every nonce and CTR block that the device makes of this load */
    uint32_t material_bytes; /* seed (ML-DSA, ML-KEM), PKCS#8 PrivateKeyInfo in DER (other key pairs) or raw bytes */
};

/* Types beside those of the device ABI, so that what is one of these is never taken for a guest's key. */
enum vks_own_type {
    VKS_TYPE_AUDIT_KEY = 0x61756469,   /* "audi": sealed */
    VKS_TYPE_ROOT_SECRET = 0x726f6f74, /* "root": wrapped to an offer */
    VKS_TYPE_KEK = 0x6b656b21,         /* "kek!": wrapped to an offer of vks-recovery */
};

enum vks_root_kind {
    VKS_ROOT_FILE = 1,       /* the KEK itself stands in the file */
    VKS_ROOT_PASSPHRASE = 2, /* sealed under Argon2id of a passphrase */
    VKS_ROOT_CREDENTIAL = 3, /* sealed under random bytes that are kept elsewhere */
    VKS_ROOT_TPM = 4,        /* sealed under random bytes that a TPM gives back for the blob in the file */
    VKS_ROOT_HSM = 5,        /* sealed under a MAC that a PKCS#11 token computes of the blob in the file */
};

enum vks_root_blob_bytes {
    VKS_ROOT_HSM_BLOB_BYTES = 65, /* its only size; cext/hsm/hsm_blob.h says what is in it */
};

struct vks_custodian_status {
    uint32_t secret_memory; /* enum vks_secret_memory */
    uint32_t root_open;     /* 1 when a KEK is loaded */
    uint32_t root_kind;     /* enum vks_root_kind, of the file that was opened or tried last; 0: none yet */
    uint32_t reserved;
    uint8_t kek_id[8];  /* what the KEK is told by; zeros while none is loaded */
    uint64_t key_types; /* that this libcrypto has, bit numbers enum vks_key_type */
    char libcrypto[16]; /* its version as it says, padded with zeros */
    struct vks_sandbox_report sandbox;
};

/* What a root of trust other than a file is opened with: the second fd, or wrapped to an offer as an import is. */
enum vks_root_secret {
    VKS_ROOT_SECRET_NONE = 0,
    VKS_ROOT_SECRET_FD = 1,
    VKS_ROOT_SECRET_WRAPPED = 2,
};

struct vks_custodian_secret {
    uint32_t source; /* enum vks_root_secret */
    uint32_t wrapped_bytes;
    uint8_t offer_id[16];
};

struct vks_custodian_root {
    uint32_t create; /* 1: the file is empty, make a KEK and write it durably before the answer */
    uint32_t reserved;
    struct vks_custodian_secret secret;
};

struct vks_custodian_root_change {
    uint32_t kind;       /* enum vks_root_kind of the new file, which gets a new KEK */
    uint32_t blob_bytes; /* of what stands in the file for whoever gives the secret, behind the wrapped secret */
    struct vks_custodian_secret secret;
};

struct vks_custodian_reseal {
    uint32_t count;
    uint32_t entries_bytes; /* all that follows */
};

struct vks_custodian_generate {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
};

struct vks_custodian_offer {
    uint8_t offer_id[16];
    uint8_t public_key[32]; /* X25519, one-time; the last few offers are kept, one import each */
};

enum vks_export_limit {
    VKS_EXPORT_WRAPPED_BYTES = 85, /* VKS_IMPORT_WRAPPED_OVERHEAD and VKS_KEK_BYTES */
};

struct vks_custodian_export {
    uint8_t kek_id[8];
    uint8_t wrapped[VKS_EXPORT_WRAPPED_BYTES]; /* of type VKS_TYPE_KEK */
};

struct vks_custodian_import {
    uint8_t offer_id[16];
    uint8_t key_id[16];
    uint32_t version;
    uint32_t wrapped_bytes;
};

struct vks_custodian_rsa_offer {
    uint8_t offer_id[16];
    uint32_t public_bytes; /* SubjectPublicKeyInfo DER of a one-time RSA key */
    uint32_t reserved;
};

/* Of RSA-OAEP and its MGF1; the label is empty. */
enum vks_import_oaep {
    VKS_IMPORT_OAEP_SHA1 = 1,
    VKS_IMPORT_OAEP_SHA256 = 2,
};

struct vks_custodian_import_rsa {
    uint8_t offer_id[16];
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type; /* of the key that comes: PKCS#8 or raw bytes, as for every import */
    uint32_t hash; /* enum vks_import_oaep */
    uint32_t wrapped_bytes;
};

struct vks_custodian_key {
    uint32_t type;
    uint32_t sealed_bytes;
    uint32_t public_bytes; /* SubjectPublicKeyInfo DER; 0 for symmetric keys */
    uint32_t reserved;
};

struct vks_custodian_channel {
    uint64_t channel_id;
};

struct vks_custodian_load {
    uint64_t channel_id;
    uint64_t load_id;
    uint32_t count;
    uint32_t flags; /* enum vks_load_flag, for the worker */
};

struct vks_custodian_load_entry {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
    uint32_t nonce_lease;
    uint32_t sealed_bytes;
};

struct vks_custodian_audit_key {
    uint8_t public_key[32]; /* Ed25519 */
    uint32_t sealed_bytes;
    uint32_t reserved;
};

struct vks_custodian_audit_sign {
    uint32_t sealed_bytes;
    uint32_t text_bytes; /* of a checkpoint: nothing else is signed */
};

struct vks_custodian_audit_signature {
    uint8_t signature[64];
};

/* What the custodian makes of a key pair and names, signed with that key: nothing else is built or signed. */
enum vks_certify_kind {
    VKS_CERTIFY_REQUEST = 1,     /* PKCS#10 (RFC 2986) */
    VKS_CERTIFY_SELF_SIGNED = 2, /* X.509 version 3 (RFC 5280), its issuer is its subject */
};

enum vks_certify_limit {
    VKS_CERTIFY_FIELDS_BYTES_MAX = 32768,
    VKS_CERTIFY_ATTRIBUTES_MAX = 32,
    VKS_CERTIFY_ALTERNATIVES_MAX = 100,
};

enum vks_certify_field {
    /* attributes of the subject, UTF-8, in the order in which they are encoded */
    VKS_CERTIFY_COMMON_NAME = 1,
    VKS_CERTIFY_COUNTRY = 2,
    VKS_CERTIFY_STATE = 3,
    VKS_CERTIFY_LOCALITY = 4,
    VKS_CERTIFY_STREET = 5,
    VKS_CERTIFY_ORGANIZATION = 6,
    VKS_CERTIFY_UNIT = 7,
    VKS_CERTIFY_SERIAL_NUMBER = 8,
    VKS_CERTIFY_DOMAIN_COMPONENT = 9,
    VKS_CERTIFY_USER_ID = 10,
    /* alternative names, ASCII but for the address */
    VKS_CERTIFY_DNS = 0x101,
    VKS_CERTIFY_IP = 0x102, /* 4 or 16 bytes */
    VKS_CERTIFY_EMAIL = 0x103,
    VKS_CERTIFY_URI = 0x104,
};

struct vks_custodian_certify {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
    uint32_t kind;       /* enum vks_certify_kind */
    uint32_t is_ca;      /* 0 or 1; 0 for a request */
    char not_before[16]; /* YYYYMMDDHHMMSSZ and a zero; all zeros for a request */
    char not_after[16];
    uint32_t sealed_bytes;
    uint32_t fields_bytes; /* of vks_custodian_certify_field and their values, each padded to 8 */
};

struct vks_custodian_certify_field {
    uint32_t type; /* enum vks_certify_field */
    uint32_t value_bytes;
};

struct vks_custodian_certified {
    uint32_t der_bytes;
    uint32_t reserved;
};

enum vks_zygote_spawn_flag {
    VKS_SPAWN_F_ACCELERATORS = 1 << 0, /* it may use every engine that the zygote has */
    VKS_SPAWN_F_NONCE_POOL = 1 << 1,   /* it may make nonces in advance */
};

struct vks_zygote_spawn {
    uint64_t worker_id;   /* keystored's name for it, in messages of the zygote */
    uint32_t flags;       /* enum vks_zygote_spawn_flag */
    uint32_t poll_places; /* of the board that may be taken; 0: no board, and no bound but its own */
    uint32_t rings;       /* how many it may have, from 1 */
    uint32_t reserved;
    uint64_t cpus[VKS_SPAWN_CPUS_MAX / 64]; /* where it may run, a bit each; none set: wherever the zygote may */
};

struct vks_zygote_spawned {
    uint64_t worker_id;
    int32_t pid;
    uint32_t reserved;
};

struct vks_program_started {
    int32_t pid;
    uint32_t reserved;
};

struct vks_holder_name {
    char name[128]; /* of a descriptor, padded with zeros; compared whole and never read otherwise */
};

struct vks_holder_index {
    uint32_t index; /* from 0; stable as long as nothing is kept or dropped */
    uint32_t reserved;
};

enum vks_handler_limit {
    VKS_HANDLER_PATH_BYTES_MAX = 4095,
    VKS_HANDLER_WORD_BYTES_MAX = 63,
    VKS_HANDLER_SAID_BYTES_MAX = 4096,
};

/* An operator's program and the event it is given; no byte of these is a zero. */
struct vks_handler_run {
    uint32_t program_bytes; /* absolute path */
    uint32_t id_bytes;      /* of the event; like its kind: letters, digits and hyphens */
    uint32_t kind_bytes;
    uint32_t line_bytes; /* the event as JSON, with the newline that ends it */
};

struct vks_handler_ended {
    int32_t status;      /* exit status; negative: the signal that killed it */
    uint32_t said_bytes; /* the beginning of its standard output and error */
};

#endif
