/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmm_keystore device ABI: what a guest driver and the device exchange on a virtqueue, the ioctls of /dev/keystoreN,
 * and the key token of the driver's xts(paes).
 *
 * One header for the kernel module, the guest library, the device's data plane and, through cffi, the host's Python.
 * All integers little-endian, every structure without implicit padding. The rules that go with the layouts are the
 * numbered MUSTs of SPECIFICATION.md next to this file; this header knows nothing of vrings, policy or storage.
 *
 * A request is a virtio-crypto data request (virtio 1.2, 5.9.7.2) of a private service:
 *   device-readable: struct vks_request_head, then parameter, associated data, input, each as long as the head says
 *   device-writable: output area, struct vks_result, and the status as the very last byte
 */
#ifndef VMM_KEYSTORE_H
#define VMM_KEYSTORE_H

#ifdef __KERNEL__
#include <linux/ioctl.h>
#include <linux/types.h>
#else
#include <stdint.h>
#include <sys/ioctl.h>
#include <linux/types.h>
#endif

/* Version of this ABI, in every head; a device serves VKS_ABI_VERSION_MIN to VKS_ABI_VERSION. */
enum vks_abi {
    VKS_ABI_VERSION_MIN = 1,
    VKS_ABI_VERSION = 1,
    VKS_VIRTIO_ID = 20,     /* virtio-crypto: the one id every carrier accepts */
    VKS_SERVICE = 0x766b73, /* "vks", upper 24 bits of the opcode */
    VKS_HEAD_BYTES = 72,
    VKS_RESULT_BYTES = 24,
    VKS_KEY_ID_BYTES = 16,
    VKS_LABEL_BYTES = 64, /* NUL-padded UTF-8, at most 63 bytes of text */
};

#define VKS_OPCODE(op) (((__u32)VKS_SERVICE << 8) | (__u32)(op))

enum vks_limit {
    VKS_INPUT_BYTES_MAX = 1048576,  /* input of one request */
    VKS_OUTPUT_BYTES_MAX = 1052672, /* output area of one request: input plus nonce, tag and room for a page */
    VKS_AAD_BYTES_MAX = 65536,
    VKS_PARAMETER_BYTES_MAX = 8192, /* a signature of ML-DSA-87 has 4627 */
    VKS_RANDOM_BYTES_MAX = 65536,
    VKS_KEY_WRAP_BYTES_MAX = 4096, /* text under AES_KW and AES_KWP, which work it six times over */
    VKS_SECRET_BYTES_MAX = 1024,   /* one derived secret or data key; also salt and info of HKDF, each */
    VKS_DESCRIPTORS_MAX = 1024,    /* descriptors of one chain, indirect ones included */
    VKS_LIST_ENTRIES_MAX = 256,    /* entries of one answer to list */
};

enum vks_op {
    VKS_OP_INFO = 1,       /* input: struct vks_info_request; output: struct vks_info */
    VKS_OP_LIST = 2,       /* input: struct vks_list_request; output: struct vks_list_head, then entries */
    VKS_OP_PUBLIC = 3,     /* output: SubjectPublicKeyInfo, DER */
    VKS_OP_SIGN = 4,       /* input: message, or digest with VKS_REQUEST_F_DIGEST; output: signature */
    VKS_OP_VERIFY = 5,     /* parameter: signature; input: message or digest */
    VKS_OP_ENCRYPT = 6,    /* input: plaintext; output: nonce or IV (not OAEP, KW, XTS), ciphertext, tag (AEAD only) */
    VKS_OP_DECRYPT = 7,    /* input: what encrypt gave; output: plaintext */
    VKS_OP_MAC = 8,        /* input: message; output: tag */
    VKS_OP_MAC_VERIFY = 9, /* parameter: tag, full length; input: message */
    VKS_OP_RANDOM = 10,    /* output area filled with random bytes; key id and version zero */
    VKS_OP_DERIVE = 11,    /* parameter: peer's public key (ECDH); aad: salt; input: info (both HKDF); output: secret */
    VKS_OP_DATA_KEY = 12,  /* output: a new random secret, then what encrypt would give of it */
    VKS_OP_DECAPSULATE = 13, /* input: ciphertext of ML-KEM; output: shared secret */
    /* Of keys that the guest has for its own; carried out once, however often the request is run. */
    VKS_OP_GENERATE = 14, /* input: struct vks_generate_request; output: the key id, VKS_KEY_ID_BYTES */
    VKS_OP_ROTATE = 15,   /* a new version, which the result names, becomes the current one */
    VKS_OP_DESTROY = 16,  /* all versions */
    VKS_OP_COUNT = 17,
    /* Of a grant's mask alone, no operations. */
    VKS_OP_LOGIN = 61,   /* programs that know of logins shall want one before they use the key */
    VKS_OP_RELEASE = 62, /* beside those whose secrets reach the guest */
};

/* Bit numbers of the mechanism masks. Signatures are raw: r || s, each as long as the curve order, or RSA's integer. */
enum vks_mechanism {
    VKS_MECHANISM_DEFAULT = 0, /* the first mechanism the key type lists, see the specification */
    VKS_MECHANISM_ECDSA_SHA256 = 1,
    VKS_MECHANISM_ECDSA_SHA384 = 2,
    VKS_MECHANISM_ECDSA_SHA512 = 3,
    VKS_MECHANISM_ED25519 = 4,
    VKS_MECHANISM_RSA_PKCS1_SHA256 = 5,
    VKS_MECHANISM_RSA_PKCS1_SHA384 = 6,
    VKS_MECHANISM_RSA_PKCS1_SHA512 = 7,
    VKS_MECHANISM_RSA_PSS_SHA256 = 8, /* MGF1 with the same hash, salt as long as the digest */
    VKS_MECHANISM_RSA_PSS_SHA384 = 9,
    VKS_MECHANISM_RSA_PSS_SHA512 = 10,
    VKS_MECHANISM_RSA_OAEP_SHA1 = 11, /* MGF1 with the same hash; parameter: label, may be empty */
    VKS_MECHANISM_RSA_OAEP_SHA256 = 12,
    VKS_MECHANISM_RSA_OAEP_SHA384 = 13,
    VKS_MECHANISM_RSA_OAEP_SHA512 = 14,
    VKS_MECHANISM_AES_GCM = 15,           /* nonce 12 bytes, made by the device, in front; tag 16 bytes, behind */
    VKS_MECHANISM_AES_GCM_OWN_NONCE = 16, /* encrypt: parameter is the caller's 12-byte nonce; same output layout */
    VKS_MECHANISM_AES_CBC = 17,           /* no padding; IV 16 bytes, made by the device, in front */
    VKS_MECHANISM_AES_CTR = 18,           /* initial counter block 16 bytes, made by the device, in front */
    VKS_MECHANISM_HMAC_SHA256 = 19,
    VKS_MECHANISM_HMAC_SHA384 = 20,
    VKS_MECHANISM_HMAC_SHA512 = 21,
    VKS_MECHANISM_CHACHA20_POLY1305 = 22,           /* RFC 8439; nonce in front, tag behind as AES_GCM has them */
    VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE = 23, /* as AES_GCM_OWN_NONCE */
    VKS_MECHANISM_AES_CMAC = 24,                    /* SP 800-38B; tag 16 bytes */
    VKS_MECHANISM_AES_KW = 25,           /* RFC 3394; whole 8-byte units, at least two; output 8 bytes longer */
    VKS_MECHANISM_AES_KWP = 26,          /* RFC 5649; at least 1 byte, padded to 8-byte units; output 8 bytes longer */
    VKS_MECHANISM_AES_XTS = 27,          /* SP 800-38E; parameter: tweak 16 bytes; at least 16 bytes; output as long */
    VKS_MECHANISM_ECDH = 28,             /* the shared secret itself: SP 800-56A 5.7.1.2 (x-coordinate), RFC 7748 */
    VKS_MECHANISM_ECDH_HKDF_SHA256 = 29, /* RFC 5869, extract and expand, of the shared secret */
    VKS_MECHANISM_ECDH_HKDF_SHA384 = 30,
    VKS_MECHANISM_ECDH_HKDF_SHA512 = 31,
    VKS_MECHANISM_HKDF_SHA256 = 32, /* of an HMAC key */
    VKS_MECHANISM_HKDF_SHA384 = 33,
    VKS_MECHANISM_HKDF_SHA512 = 34,
    VKS_MECHANISM_ML_DSA = 35, /* FIPS 204, pure, with an empty context; of the parameter set that the key is of */
    VKS_MECHANISM_ML_KEM = 36, /* FIPS 203, of the key's parameter set */
    VKS_MECHANISM_COUNT = 37,
};

enum vks_key_type {
    VKS_KEY_TYPE_EC_P256 = 1,
    VKS_KEY_TYPE_EC_P384 = 2,
    VKS_KEY_TYPE_ED25519 = 3,
    VKS_KEY_TYPE_RSA_2048 = 4,
    VKS_KEY_TYPE_RSA_3072 = 5,
    VKS_KEY_TYPE_RSA_4096 = 6,
    VKS_KEY_TYPE_AES_128 = 7,
    VKS_KEY_TYPE_AES_256 = 8,
    VKS_KEY_TYPE_HMAC_SHA256 = 9,
    VKS_KEY_TYPE_HMAC_SHA384 = 10,
    VKS_KEY_TYPE_HMAC_SHA512 = 11,
    VKS_KEY_TYPE_CHACHA20_POLY1305 = 12,
    VKS_KEY_TYPE_AES_128_XTS = 13, /* two AES keys that differ */
    VKS_KEY_TYPE_AES_256_XTS = 14,
    VKS_KEY_TYPE_X25519 = 15,
    VKS_KEY_TYPE_ML_DSA_44 = 16, /* these and ML-KEM: only where the host's libcrypto has them */
    VKS_KEY_TYPE_ML_DSA_65 = 17,
    VKS_KEY_TYPE_ML_DSA_87 = 18,
    VKS_KEY_TYPE_ML_KEM_512 = 19,
    VKS_KEY_TYPE_ML_KEM_768 = 20,
    VKS_KEY_TYPE_ML_KEM_1024 = 21,
    VKS_KEY_TYPE_COUNT = 22,
};

/* NIST SP 800-57 part 1, 7: states of a key version. */
enum vks_key_state {
    VKS_KEY_STATE_PRE_ACTIVATION = 0,
    VKS_KEY_STATE_ACTIVE = 1,      /* protects and processes */
    VKS_KEY_STATE_SUSPENDED = 2,   /* nothing */
    VKS_KEY_STATE_DEACTIVATED = 3, /* processes (decrypt, verify) */
    VKS_KEY_STATE_COMPROMISED = 4, /* processes */
    VKS_KEY_STATE_DESTROYED = 5,   /* nothing; never shown to a guest */
    VKS_KEY_STATE_COUNT = 6,
};

/* The last device-writable byte. 0 to 7 are virtio-crypto's own; ours start at 0x80. */
enum vks_status {
    VKS_STATUS_OK = 0,
    VKS_STATUS_FOREIGN_NOTSUPP = 3, /* what a virtio-crypto device that is none of ours answers */
    VKS_STATUS_MALFORMED = 0x80,    /* lengths, reserved fields or descriptors break the specification */
    VKS_STATUS_VERSION = 0x81,      /* ABI version not served; the result's abi_version says which is */
    VKS_STATUS_UNSUPPORTED = 0x82,  /* operation or mechanism unknown, or not for this key type */
    VKS_STATUS_NO_KEY = 0x83,       /* no such key, or not granted to this guest: the same answer */
    VKS_STATUS_DENIED = 0x84,       /* the grant does not allow this operation, mechanism, size, uid or time */
    VKS_STATUS_KEY_STATE = 0x85,    /* this version's state does not allow it */
    VKS_STATUS_LIMIT = 0x86,        /* a budget or a mechanism's bound is used up */
    VKS_STATUS_AUTH_FAILED = 0x87,  /* signature, tag or padding did not verify, or the peer's key is no public key */
    VKS_STATUS_INPUT_SIZE = 0x88,   /* input, parameter or associated data of a size the mechanism does not take */
    VKS_STATUS_OUTPUT_SIZE = 0x89,  /* output area too small; the result's output_bytes says what is needed */
    VKS_STATUS_INTERNAL = 0x8a,     /* the device failed; nothing the guest did */
    VKS_STATUS_UNAVAILABLE =
        0x8b, /* the key, a token that has it, or what makes keys cannot be had now; may be tried again */
    VKS_STATUS_EXISTS = 0x8c, /* the guest has a key with this label */
    VKS_STATUS_END = 0x8d,
};

enum vks_request_flag {
    VKS_REQUEST_F_DIGEST = 0x1, /* sign, verify: input is the digest of the mechanism's hash */
    VKS_REQUEST_F_UID = 0x2,    /* uid is the opener's, stamped by the guest's kernel */
    VKS_REQUEST_FLAGS_MASK = 0x3,
};

/* Head of every request. Offsets 0-23 are struct virtio_crypto_op_header. */
struct vks_request_head {
    __le32 opcode;          /* VKS_OPCODE(op) */
    __le32 mechanism;       /* enum vks_mechanism; 0 where the operation has none */
    __le64 cookie;          /* the driver's own, not looked at */
    __le32 flags;           /* VKS_REQUEST_F_* */
    __le32 uid;             /* with VKS_REQUEST_F_UID; else 0 */
    __u8 key_id[16];        /* zero for info, list, random */
    __le32 key_version;     /* 0: the current one */
    __le32 parameter_bytes; /* signature, tag, label, nonce, tweak or peer's public key; follows the head */
    __le32 aad_bytes;       /* follows the parameter */
    __le32 input_bytes;     /* follows the associated data */
    __le32 output_bytes;    /* size of the output area */
    __le16 abi_version;     /* VKS_ABI_VERSION */
    __le16 reserved0;       /* 0 */
    __le64 reserved1;       /* 0 */
};

/* Between output area and status. Bytes of the output area behind output_bytes are zero. */
struct vks_result {
    __le32 output_bytes; /* written; with VKS_STATUS_OUTPUT_SIZE needed */
    __le32 key_version;  /* the version that was used; 0 if none */
    __le64 sequence;     /* the request's number in the audit log */
    __le16 abi_version;  /* the newest the device serves */
    __le16 reserved0;    /* 0 */
    __le32 reserved1;    /* 0 */
};

/* Input of info, the first request of a driver. */
struct vks_info_request {
    __le16 abi_version_min;
    __le16 abi_version_max;
    __le32 driver_version;  /* major << 16 | minor << 8 | patch */
    __le64 driver_features; /* virtio feature bits really negotiated; the carrier may not tell the device */
};

struct vks_info {
    __le16 abi_version_min;
    __le16 abi_version_max;
    __le32 device_version;
    __le32 input_bytes_max;
    __le32 output_bytes_max;
    __le32 aad_bytes_max;
    __le32 parameter_bytes_max;
    __le32 random_bytes_max;
    __le32 descriptors_max;
    __le64 op_mask;        /* bit numbers enum vks_op */
    __le64 mechanism_mask; /* bit numbers enum vks_mechanism */
    __le32 key_count;      /* keys granted to this guest */
    __le32 reserved;
    __u8 guest_name[64]; /* NUL-padded */
};

/* List is paged: entries come in the order of their key ids, then versions; start behind (after_key_id, after_version).
 */
struct vks_list_request {
    __u8 after_key_id[16]; /* zero, with after_version 0: from the start */
    __le32 after_version;
    __le32 reserved;
};

struct vks_list_head {
    __le32 entry_count;
    __le32 more; /* 1: entries remain behind the last */
};

struct vks_key_entry {
    __u8 key_id[16];
    __le32 version;
    __le32 type;           /* enum vks_key_type */
    __le32 state;          /* enum vks_key_state */
    __le32 is_current;     /* 1: the version that key_version 0 means */
    __le64 op_mask;        /* granted operations, bit numbers enum vks_op */
    __le64 mechanism_mask; /* granted mechanisms that fit the type, bit numbers enum vks_mechanism */
    __u8 label[64];        /* NUL-padded UTF-8 */
};

/* Input of generate. */
struct vks_generate_request {
    __le32 type;     /* enum vks_key_type */
    __le32 reserved; /* 0 */
    __u8 label[64];  /* NUL-padded: a letter or digit, then letters, digits, '.', '_' and '-' */
};

/*
 * /dev/keystoreN. One request and its buffers; the driver fills opcode's service, uid, VKS_REQUEST_F_UID and cookie of
 * the head itself, result and status after the device answered. The ioctl fails (errno) only where no answer came.
 */
struct vks_ioc_request {
    struct vks_request_head head; /* lengths are those of the buffers below */
    __u64 parameter_ptr;
    __u64 aad_ptr;
    __u64 input_ptr;
    __u64 output_ptr;
    struct vks_result result;
    __u64 user_data; /* asynchronous requests: given back unchanged */
    __u32 status;    /* enum vks_status */
    __s32 error;     /* batch and reap: 0, or the negative errno of this request */
};

struct vks_ioc_batch {
    __u64 requests_ptr; /* array of struct vks_ioc_request */
    __u32 count;
    __u32 done; /* out: how many of them carry an answer */
};

#define VKS_IOC_SUBMIT       _IOWR('K', 0x01, struct vks_ioc_request) /* one, waits for the answer */
#define VKS_IOC_SUBMIT_BATCH _IOWR('K', 0x02, struct vks_ioc_batch)   /* many at once, waits for all answers */
#define VKS_IOC_ENQUEUE      _IOW('K', 0x03, struct vks_ioc_request)  /* does not wait; poll, then reap */
#define VKS_IOC_REAP         _IOWR('K', 0x04, struct vks_ioc_batch)   /* takes finished requests, does not wait */

/*
 * What the driver's xts(paes) takes for a key: the sealed form of a random key of AES-256-XTS and what opens it, a data
 * key made with VKS_PAES_AAD as its associated data. Not secret by itself. See the specification, section 14.
 */
#define VKS_PAES_MAGIC "vks-paes"
#define VKS_PAES_AAD   "vmm_keystore xts(paes)"

enum vks_paes_limit {
    VKS_PAES_VERSION = 1,
    VKS_PAES_KEY_BYTES = 64,
    VKS_PAES_SEALED_BYTES = 92, /* nonce, ciphertext, tag */
    VKS_PAES_TOKEN_BYTES = 128,
};

struct vks_paes_token {
    __u8 magic[8];      /* VKS_PAES_MAGIC, without its NUL */
    __le32 version;     /* VKS_PAES_VERSION */
    __le32 key_version; /* never 0: a rotation must not change what opens the token */
    __u8 key_id[16];
    __u8 sealed[92];
    __le32 reserved; /* 0 */
};

enum vks_ioc_limit {
    VKS_IOC_BATCH_MAX = 256,
    VKS_IOC_PENDING_MAX = 256, /* asynchronous requests of one open file */
};

#endif
