/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libvks: use the keys that the host's vault grants to this guest, without ever holding one.
 *
 * Devices. /dev/keystoreN in a virtual machine. On the host itself and in its containers "vhost-user:PATH", the socket
 * of a guest: the process is that guest then, and the only one for as long as it has the device open (-EBUSY for
 * others).
 *
 * Errors. A function that can fail returns 0, or a positive enum vks_status (the device answered, and that is its
 * answer), or a negative errno (no answer came). vks_error_text() and vks_error_hint() take any of them.
 *
 * Threads. A struct vks_device may be used by any number of threads at once, without a lock. Two exceptions: close it
 * when no other thread uses it, and let one thread at a time reap. After fork() parent and child share one queue of
 * asynchronous requests: open the device again in the child. Over a socket a child is answered -EBADF: what its parent
 * opened it can only close.
 *
 * Unplugging. What a device that goes away has not answered is answered with -ENODEV, and so is every request until
 * there is a device of that name again; from then on the same struct vks_device works with it. Asynchronous requests
 * have to be reaped first, and what watches vks_poll_fd() by epoll has to be told anew. A socket goes
 * away with its guest, and with a keystored that is stopped; that another keystored follows the first is not noticed.
 *
 * Sizes. All buffers are the caller's. Where a size is `size_t *`, it is the room on the way in and what was written,
 * or with VKS_STATUS_OUTPUT_SIZE needed, on the way out.
 */
#ifndef VKS_H
#define VKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm_keystore.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VKS_MUST_CHECK __attribute__((warn_unused_result))

#pragma GCC visibility push(default)

struct vks_device;

struct vks_bytes {
    const void *data;
    size_t size;
};

/* What the device says of itself; integers in host order. */
struct vks_device_info {
    uint16_t abi_version_min;
    uint16_t abi_version_max;
    uint32_t device_version; /* major << 16 | minor << 8 | patch */
    uint32_t input_bytes_max;
    uint32_t output_bytes_max;
    uint32_t aad_bytes_max;
    uint32_t parameter_bytes_max;
    uint32_t random_bytes_max;
    uint32_t descriptors_max;
    uint64_t op_mask;        /* bit numbers enum vks_op */
    uint64_t mechanism_mask; /* bit numbers enum vks_mechanism */
    uint32_t key_count;
    char guest_name[VKS_LABEL_BYTES]; /* NUL-terminated */
};

/* One version of a key that is granted to this guest. */
struct vks_key {
    uint8_t id[VKS_KEY_ID_BYTES];
    uint32_t version;
    uint32_t type;    /* enum vks_key_type */
    uint32_t state;   /* enum vks_key_state */
    bool is_current;  /* the version that version 0 means */
    uint64_t op_mask; /* granted */
    uint64_t mechanism_mask;
    char label[VKS_LABEL_BYTES]; /* NUL-terminated */
};

/* Which key, and how. */
struct vks_use {
    uint8_t key_id[VKS_KEY_ID_BYTES];
    uint32_t key_version; /* 0: the current one */
    uint32_t mechanism;   /* enum vks_mechanism; 0: the key type's default */
    bool is_digest;       /* sign, verify: the input is a digest */
};

/*
 * Opens @path, "/dev/keystoreN" or "vhost-user:PATH", or where it is NULL what $VKS_DEVICE names, or the /dev/keystoreN
 * of the lowest number.
 */
VKS_MUST_CHECK int vks_open(const char *path, struct vks_device **device);
void vks_close(struct vks_device *device);
const char *vks_path(const struct vks_device *device);

VKS_MUST_CHECK int vks_info(struct vks_device *device, struct vks_device_info *info);
/* Every version of every key; *keys is the caller's to free(). */
VKS_MUST_CHECK int vks_list(struct vks_device *device, struct vks_key **keys, size_t *count);
/* By label, or by id as 32 hex digits; version 0 is the current one. VKS_STATUS_NO_KEY if there is none. */
VKS_MUST_CHECK int vks_find_key(struct vks_device *device, const char *name, uint32_t version, struct vks_key *key);
/* SubjectPublicKeyInfo, DER. */
VKS_MUST_CHECK int vks_public(struct vks_device *device, const struct vks_use *use, void *der, size_t *der_size);

/* ECDSA signatures are raw, r || s; see vks_ecdsa_to_der(). */
VKS_MUST_CHECK int vks_sign(struct vks_device *device, const struct vks_use *use, struct vks_bytes input,
                            void *signature, size_t *signature_size);
VKS_MUST_CHECK int vks_verify(struct vks_device *device, const struct vks_use *use, struct vks_bytes input,
                              struct vks_bytes signature);
/* @parameter: the label of OAEP, the caller's own nonce, or the tweak of XTS; else empty. @aad: AES-GCM,
 * ChaCha20-Poly1305; else empty.
 */
VKS_MUST_CHECK int vks_encrypt(struct vks_device *device, const struct vks_use *use, struct vks_bytes parameter,
                               struct vks_bytes aad, struct vks_bytes plaintext, void *output, size_t *output_size);
VKS_MUST_CHECK int vks_decrypt(struct vks_device *device, const struct vks_use *use, struct vks_bytes parameter,
                               struct vks_bytes aad, struct vks_bytes ciphertext, void *output, size_t *output_size);
VKS_MUST_CHECK int vks_mac(struct vks_device *device, const struct vks_use *use, struct vks_bytes input, void *tag,
                           size_t *tag_size);
VKS_MUST_CHECK int vks_mac_verify(struct vks_device *device, const struct vks_use *use, struct vks_bytes input,
                                  struct vks_bytes tag);
VKS_MUST_CHECK int vks_random(struct vks_device *device, void *output, size_t size);

/*
 * Secrets that the host gives away: only where the grant has release beside derive, data-key or decapsulate, else
 * VKS_STATUS_DENIED. The library keeps no copy; wiping @secret and @output is the caller's.
 */

/*
 * HKDF, by @salt and @info of up to VKS_SECRET_BYTES_MAX bytes, of an HMAC key, then without @peer, or of what an
 * ec-p256, ec-p384 or x25519 key and @peer agree on: as many bytes as there is room, 1 to VKS_SECRET_BYTES_MAX, else
 * -EINVAL. VKS_MECHANISM_ECDH: what they agree on itself, 32 or 48 bytes, without @salt and @info. @peer: the
 * uncompressed point, 65 or 97 bytes, or the 32 of X25519; see vks_peer_from_der(). VKS_STATUS_AUTH_FAILED: it is no
 * public key of this curve.
 */
VKS_MUST_CHECK int vks_derive(struct vks_device *device, const struct vks_use *use, struct vks_bytes peer,
                              struct vks_bytes salt, struct vks_bytes info, void *secret, size_t *secret_size);

/* Sizes in bytes: of a data key's sealed form, which is nonce, ciphertext and tag; of the secret and that. */
#define VKS_SEALED_BYTES(secret_size)   ((secret_size) + 12 + 16)
#define VKS_DATA_KEY_BYTES(secret_size) ((secret_size) + VKS_SEALED_BYTES(secret_size))
/*
 * A new random secret of 1 to VKS_SECRET_BYTES_MAX bytes, else -EINVAL; behind it in @output its sealed form, which
 * vks_decrypt() with the same key version and @aad opens. AES and ChaCha20-Poly1305 keys. @output has
 * VKS_DATA_KEY_BYTES(@secret_size).
 */
VKS_MUST_CHECK int vks_data_key(struct vks_device *device, const struct vks_use *use, struct vks_bytes aad,
                                void *output, size_t secret_size);

#define VKS_SHARED_BYTES 32 /* of a secret that ML-KEM shares */
/*
 * The secret that whoever has the public key of an ML-KEM key made together with @ciphertext, which has 768, 1088 or
 * 1568 bytes by the key's type, else VKS_STATUS_INPUT_SIZE. One that was not made with this public key gives a secret
 * as well, which nobody else has: only what is done with it shows that.
 */
VKS_MUST_CHECK int vks_decapsulate(struct vks_device *device, const struct vks_use *use, struct vks_bytes ciphertext,
                                   uint8_t secret[VKS_SHARED_BYTES]);

/*
 * Keys of the guest's own, where the host's operator allows it some, else VKS_STATUS_DENIED; so are rotating and
 * destroying any other key. Where no answer came (a negative errno) the request may have been carried out or not:
 * vks_list() shows which before the caller tries again. They take longer than other operations.
 */

/* As vks_list() gave it. */
VKS_MUST_CHECK bool vks_key_is_own(const struct vks_key *key);
/* A letter or digit, then letters, digits, '.', '_' and '-', at most VKS_LABEL_BYTES - 1 of them together. */
VKS_MUST_CHECK bool vks_label_is_valid(const char *label);
/*
 * A new active key, ready for use. -EINVAL: no such @label may be. VKS_STATUS_INPUT_SIZE: it is too long, together with
 * the guest's name; _EXISTS: the guest has a key of that label; _LIMIT: it has as many own keys as it may have;
 * _UNSUPPORTED: guests make no keys of this @type; _UNAVAILABLE: the host cannot make keys now.
 */
VKS_MUST_CHECK int vks_generate(struct vks_device *device, uint32_t type, const char *label,
                                uint8_t key_id[VKS_KEY_ID_BYTES]);
/* A new @version, which becomes the current one; the one before only processes. VKS_STATUS_LIMIT: it has too many. */
VKS_MUST_CHECK int vks_rotate(struct vks_device *device, const uint8_t key_id[VKS_KEY_ID_BYTES], uint32_t *version);
/* All versions, for ever: what they encrypted is lost. The label is free again. */
VKS_MUST_CHECK int vks_destroy(struct vks_device *device, const uint8_t key_id[VKS_KEY_ID_BYTES]);

/* Any request, for those who want many at once or do not want to wait. */
struct vks_request {
    uint32_t op; /* enum vks_op */
    struct vks_use use;
    struct vks_bytes parameter;
    struct vks_bytes aad;
    struct vks_bytes input;
    void *output;
    size_t output_size;
    void *user_data; /* the caller's own */
    /* The answer. */
    int error;             /* 0, enum vks_status or a negative errno */
    size_t output_written; /* with VKS_STATUS_OUTPUT_SIZE: needed */
    uint32_t key_version;  /* that was used */
    uint64_t sequence;     /* the request's number in the host's audit log */
};

/* Fills the answer and returns its error. */
VKS_MUST_CHECK int vks_submit(struct vks_device *device, struct vks_request *request);
/* At most VKS_IOC_BATCH_MAX. 0: each request has its own error; else none was sent. */
VKS_MUST_CHECK int vks_submit_batch(struct vks_device *device, struct vks_request *requests, size_t count);
/*
 * Sends and does not wait; -EAGAIN when too many are outstanding. Input buffers may be reused at once; the request
 * itself and its output buffer belong to the device until vks_reap() gives the request back.
 */
VKS_MUST_CHECK int vks_enqueue(struct vks_device *device, struct vks_request *request);
/* Does not wait: *count is the room on the way in, the number of finished requests on the way out. */
VKS_MUST_CHECK int vks_reap(struct vks_device *device, struct vks_request **finished, size_t *count);
/*
 * Readable when there is something to reap; of /dev/keystoreN also writable when vks_enqueue() takes another. Of a
 * socket never: room comes with reaping. There it may be readable over nothing, which vks_reap() then says.
 */
int vks_poll_fd(const struct vks_device *device);

/* Bytes of DER that an ECDSA signature of @raw_size can take. */
#define VKS_ECDSA_DER_BYTES_MAX(raw_size) ((raw_size) + 2 * 3 + 3)
/* Coordinates of up to 66 bytes (P-521). -EINVAL: not such a signature; -ENOSPC: *der_size is too small. */
VKS_MUST_CHECK int vks_ecdsa_to_der(struct vks_bytes raw, void *der, size_t *der_size);
/* Strict DER, nothing behind it, both numbers within @raw_size / 2 bytes; else -EINVAL. */
VKS_MUST_CHECK int vks_ecdsa_from_der(struct vks_bytes der, void *raw, size_t raw_size);

/*
 * SubjectPublicKeyInfo as vks_public() and openssl write it: @type is VKS_KEY_TYPE_EC_P256, EC_P384 or X25519, @peer
 * what vks_derive() takes, inside @der. -EINVAL: anything else, other curves and compressed points among it. That the
 * point is on its curve is for the device to say.
 */
VKS_MUST_CHECK int vks_peer_from_der(struct vks_bytes der, uint32_t *type, struct vks_bytes *peer);

/* Names as the host's CLI spells them. NULL, or 0 from a name, where there is none. */
const char *vks_mechanism_name(uint32_t mechanism);
uint32_t vks_mechanism_from_name(const char *name);
const char *vks_op_name(uint32_t op);
const char *vks_key_type_name(uint32_t type);
uint32_t vks_key_type_from_name(const char *name);
const char *vks_key_state_name(uint32_t state);
const char *vks_error_text(int error);
const char *vks_error_hint(int error); /* what to do about it; NULL where nothing helps */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
