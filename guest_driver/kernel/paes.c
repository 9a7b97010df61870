// SPDX-License-Identifier: GPL-2.0-only
/*
 * xts(paes): AES-256-XTS whose key is a token (struct vks_paes_token). Setting the key has the
 * vault open the token; from then on the processor's own xts(aes) does the work, and the raw key is
 * in this kernel. So dm-crypt's volume keys are nowhere at rest, each opening of one is on record,
 * and a grant that is taken away is the end of it at the next boot: no more than that.
 *
 * A device may go at any time: nothing here refers to one once a key is set. Knows nothing of the
 * virtqueue.
 */
#define pr_fmt(text) KBUILD_MODNAME ": xts(paes): " text

#include <crypto/aes.h>
#include <crypto/algapi.h>
#include <crypto/internal/skcipher.h>
#include <crypto/skcipher.h>
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/string.h>

#include "device.h"

#define VKS_PAES_OPS (BIT_ULL(VKS_OP_DECRYPT) | BIT_ULL(VKS_OP_RELEASE))

struct vks_paes {
	struct crypto_skcipher *xts;
};

/* What list answers where there is room for one entry. */
struct vks_paes_listed {
	struct vks_list_head head;
	struct vks_key_entry entry;
};

static bool vks_paes_well_formed(const struct vks_paes_token *token)
{
	BUILD_BUG_ON(sizeof(*token) != VKS_PAES_TOKEN_BYTES);
	BUILD_BUG_ON(sizeof(token->sealed) != VKS_PAES_SEALED_BYTES);
	return memcmp(token->magic, VKS_PAES_MAGIC, sizeof(token->magic)) == 0 &&
	       le32_to_cpu(token->version) == VKS_PAES_VERSION && token->key_version &&
	       !token->reserved;
}

/* Whether the device's vault has the token's key for this guest, and its grant says release. */
static int vks_paes_ask(struct vks_device *device, const struct vks_paes_token *token)
{
	struct vks_request_head head = {
		.opcode = cpu_to_le32(VKS_OP_LIST),
		.input_bytes = cpu_to_le32(sizeof(struct vks_list_request)),
		.output_bytes = cpu_to_le32(sizeof(struct vks_paes_listed)),
	};
	struct vks_list_request after = {
		.after_version = cpu_to_le32(le32_to_cpu(token->key_version) - 1),
	};
	struct vks_paes_listed listed = {};
	struct vks_call *call;
	int error;

	memcpy(after.after_key_id, token->key_id, sizeof(after.after_key_id));
	call = vks_request_run(device, &head, NULL, &after);
	if (IS_ERR(call))
		return PTR_ERR(call);
	error = vks_call_errno(call);
	if (!error)
		memcpy(&listed, sg_virt(call->output.sg),
		       le32_to_cpu(call->user.result.output_bytes));
	vks_call_put(call);
	if (error)
		return error;
	if (!listed.head.entry_count || listed.entry.version != token->key_version ||
	    memcmp(listed.entry.key_id, token->key_id, sizeof(token->key_id)))
		return -ENOKEY;
	return (le64_to_cpu(listed.entry.op_mask) & VKS_PAES_OPS) == VKS_PAES_OPS ? 0 : -EACCES;
}

/* Has the device open the token, and gives what came out to @xts. */
static int vks_paes_open(struct vks_device *device, const struct vks_paes_token *token,
			 struct crypto_skcipher *xts)
{
	struct vks_request_head head = {
		.opcode = cpu_to_le32(VKS_OP_DECRYPT),
		.key_version = token->key_version,
		.aad_bytes = cpu_to_le32(strlen(VKS_PAES_AAD)),
		.input_bytes = cpu_to_le32(sizeof(token->sealed)),
		.output_bytes = cpu_to_le32(VKS_PAES_KEY_BYTES),
	};
	struct vks_call *call;
	int error;

	memcpy(head.key_id, token->key_id, sizeof(head.key_id));
	call = vks_request_run(device, &head, VKS_PAES_AAD, token->sealed);
	if (IS_ERR(call))
		return PTR_ERR(call);
	error = vks_call_errno(call);
	if (!error && le32_to_cpu(call->user.result.output_bytes) != VKS_PAES_KEY_BYTES)
		error = -EPROTO;
	if (!error)
		error = crypto_skcipher_setkey(xts, sg_virt(call->output.sg), VKS_PAES_KEY_BYTES);
	vks_call_put(call);
	return error;
}

/* The first vault that has the key decides; where none has it, a device that could not say comes
 * before those that said no. */
static int vks_paes_load(const struct vks_paes_token *token, struct crypto_skcipher *xts)
{
	struct vks_device *device;
	int error = -ENODEV;
	unsigned int n;

	for (n = 0; (device = vks_device_get(n)); n++) {
		int answer = vks_paes_ask(device, token);
		bool decided = !answer || answer == -EACCES || answer == -EINTR;

		if (!answer)
			answer = vks_paes_open(device, token, xts);
		vks_device_put(device);
		if (decided)
			return answer;
		if (error == -ENODEV || error == -ENOKEY)
			error = answer;
	}
	return error;
}

static const char *vks_paes_reason(int error)
{
	switch (error) {
	case -ENODEV:
		return "there is no vault device";
	case -ENOKEY:
		return "no vault grants this guest the key";
	case -EACCES:
		return "the grant does not allow it; it takes decrypt and release";
	case -EKEYREVOKED:
		return "the key version is out of use";
	case -EKEYREJECTED:
		return "the token is damaged, or was not made for this key";
	case -EAGAIN:
		return "the vault cannot use the key now";
	default:
		return "the vault could not be asked";
	}
}

/* The raw key that was there, if any: what cannot be opened anew must not go on either. */
static int vks_paes_forget(struct crypto_skcipher *xts)
{
	u8 noise[VKS_PAES_KEY_BYTES];
	int error;

	get_random_bytes(noise, sizeof(noise));
	error = crypto_skcipher_setkey(xts, noise, sizeof(noise));
	memzero_explicit(noise, sizeof(noise));
	return error;
}

/*
 * Process context: waits for the vault. For dm-crypt only those with CAP_SYS_ADMIN come here; by
 * AF_ALG anybody could, and would have the vault's answer without the device node's permission.
 */
static int vks_paes_setkey(struct crypto_skcipher *tfm, const u8 *key, unsigned int bytes)
{
	const struct vks_paes *paes = crypto_skcipher_ctx(tfm);
	struct vks_paes_token token;
	int error;

	crypto_skcipher_clear_flags(paes->xts, CRYPTO_TFM_REQ_MASK);
	crypto_skcipher_set_flags(paes->xts, crypto_skcipher_get_flags(tfm) & CRYPTO_TFM_REQ_MASK);
	error = vks_paes_forget(paes->xts);
	if (error)
		return error;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (bytes != sizeof(token))
		return -EINVAL;
	memcpy(&token, key, sizeof(token));
	if (!vks_paes_well_formed(&token)) {
		pr_warn_ratelimited("not a token; 'vks paes' makes one\n");
		return -EINVAL;
	}
	error = vks_paes_load(&token, paes->xts);
	if (error)
		pr_warn_ratelimited("key %16phN version %u: %s (%d)\n", token.key_id,
				    le32_to_cpu(token.key_version), vks_paes_reason(error), error);
	return error;
}

/* The child takes the same data and answers whoever asked: its request is a copy of ours. */
static struct skcipher_request *vks_paes_request(struct skcipher_request *request)
{
	const struct vks_paes *paes = crypto_skcipher_ctx(crypto_skcipher_reqtfm(request));
	struct skcipher_request *inner = skcipher_request_ctx(request);

	*inner = *request;
	skcipher_request_set_tfm(inner, paes->xts);
	return inner;
}

static int vks_paes_encrypt(struct skcipher_request *request)
{
	return crypto_skcipher_encrypt(vks_paes_request(request));
}

static int vks_paes_decrypt(struct skcipher_request *request)
{
	return crypto_skcipher_decrypt(vks_paes_request(request));
}

static int vks_paes_init(struct crypto_skcipher *tfm)
{
	struct vks_paes *paes = crypto_skcipher_ctx(tfm);

	/* dm-crypt must not be made to wait for memory that it shall free: see
	 * CRYPTO_ALG_ALLOCATES_MEMORY. */
	paes->xts = crypto_alloc_skcipher("xts(aes)", 0, CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(paes->xts))
		return PTR_ERR(paes->xts);
	crypto_skcipher_set_reqsize(tfm, sizeof(struct skcipher_request) +
						 crypto_skcipher_reqsize(paes->xts));
	return 0;
}

static void vks_paes_exit(struct crypto_skcipher *tfm)
{
	const struct vks_paes *paes = crypto_skcipher_ctx(tfm);

	crypto_free_skcipher(paes->xts); /* wipes its key */
}

static struct skcipher_alg vks_paes_alg = {
	.base.cra_name = "xts(paes)",
	.base.cra_driver_name = "xts-paes-vmm-keystore",
	.base.cra_priority = 300,
	.base.cra_flags = CRYPTO_ALG_ASYNC, /* where the child is */
	.base.cra_blocksize = AES_BLOCK_SIZE,
	.base.cra_alignmask = AES_BLOCK_SIZE - 1, /* of some children; else they copy each tweak */
	.base.cra_ctxsize = sizeof(struct vks_paes),
	.base.cra_module = THIS_MODULE,
	.init = vks_paes_init,
	.exit = vks_paes_exit,
	.min_keysize = VKS_PAES_TOKEN_BYTES,
	.max_keysize = VKS_PAES_TOKEN_BYTES,
	.ivsize = AES_BLOCK_SIZE,
	.setkey = vks_paes_setkey,
	.encrypt = vks_paes_encrypt,
	.decrypt = vks_paes_decrypt,
};

int vks_paes_register(void)
{
	return crypto_register_skcipher(&vks_paes_alg);
}

void vks_paes_unregister(void)
{
	crypto_unregister_skcipher(&vks_paes_alg);
}

MODULE_ALIAS_CRYPTO("xts(paes)");
MODULE_SOFTDEP("pre: xts");
