/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm_error.h"

static const struct {
    enum vks_hsm_exit code;
    const char *text;
} errors[VKS_HSM_ERROR_COUNT] = {
    [VKS_HSM_OURS] = {VKS_HSM_EXIT_OURS, "cannot go on"},
    [VKS_HSM_BLOB] = {VKS_HSM_EXIT_REFUSED, "what the kek file has for a token is not what was written there"},
    [VKS_HSM_MODULE_RELATIVE] = {VKS_HSM_EXIT_ABSENT, "the pkcs#11 module is not named by an absolute path"},
    [VKS_HSM_MODULE_MISSING] = {VKS_HSM_EXIT_ABSENT, "there is no pkcs#11 module at this path\n"
                                                     "hint: serve --hsm-module PATH says where it is"},
    [VKS_HSM_MODULE_WRITABLE] = {VKS_HSM_EXIT_ABSENT,
                                 "somebody else than root could change the pkcs#11 module\n"
                                 "hint: it and every folder above it must be root's, and writable by nobody else"},
    [VKS_HSM_MODULE_LOAD] = {VKS_HSM_EXIT_ABSENT,
                             "the pkcs#11 module cannot be loaded\n"
                             "hint: it must be a library for this machine, with all it depends on"},
    [VKS_HSM_MODULE_OTHER] = {VKS_HSM_EXIT_ABSENT, "this is no pkcs#11 module\n"
                                                   "hint: serve --hsm-module takes the library that the vendor names"},
    [VKS_HSM_MODULE_START] =
        {VKS_HSM_EXIT_ABSENT,
         "the pkcs#11 module does not start\n"
         "hint: its configuration must be there and readable by keystored's user; serve --hsm-env"},
    [VKS_HSM_MODULE_NONSENSE] = {VKS_HSM_EXIT_REFUSED, "the pkcs#11 module gave an answer that makes no sense\n"
                                                       "hint: it is broken, or not made for what is plugged in"},
    [VKS_HSM_TOKEN_NONE] = {VKS_HSM_EXIT_ABSENT, "there is no such token\n"
                                                 "hint: it must be initialised; serve --hsm-token LABEL names it"},
    [VKS_HSM_TOKEN_SEVERAL] = {VKS_HSM_EXIT_ABSENT, "several tokens could be meant\n"
                                                    "hint: serve --hsm-token LABEL says which, by a label of its own"},
    [VKS_HSM_TOKEN_ABSENT] = {VKS_HSM_EXIT_ABSENT, "the token that the kek is sealed to is not there\n"
                                                   "hint: no other token opens it; its serial number is"},
    [VKS_HSM_TOKEN_LOST] = {VKS_HSM_EXIT_ABSENT, "the token is gone\n"
                                                 "hint: its keys can be used again as soon as it is back"},
    [VKS_HSM_PIN_FILE] = {VKS_HSM_EXIT_OURS, "cannot read the pin's file"},
    [VKS_HSM_PIN_BYTES] = {VKS_HSM_EXIT_REFUSED,
                           "what is in the pin's file cannot be this token's pin: it has another length\n"
                           "hint: the token was not asked; the first line of the file is the pin"},
    [VKS_HSM_PIN_UNSET] = {VKS_HSM_EXIT_REFUSED, "the token has no user pin yet\n"
                                                 "hint: initialise it, with the vendor's tool"},
    [VKS_HSM_PIN_KEYPAD] = {VKS_HSM_EXIT_REFUSED,
                            "the token takes its pin from a keypad only, and nobody is there to type it"},
    [VKS_HSM_PIN_FINAL_TRY] = {VKS_HSM_EXIT_REFUSED,
                               "one more wrong pin locks the token, so it was not asked\n"
                               "hint: log in once with the right pin, by the vendor's tool, then start this again"},
    [VKS_HSM_PIN_LOCKED] = {VKS_HSM_EXIT_REFUSED,
                            "the token's user pin is locked\n"
                            "hint: its security officer can set a new one; the keys are still there"},
    [VKS_HSM_PIN_EXPIRED] = {VKS_HSM_EXIT_REFUSED, "the token's user pin has expired\n"
                                                   "hint: set a new one, with the vendor's tool"},
    [VKS_HSM_PIN_REFUSED] =
        {VKS_HSM_EXIT_PIN, "this is not the token's pin\n"
                           "hint: put the right one into its file; this one is not tried again, each wrong try counts"},
    [VKS_HSM_KEY_GONE] = {VKS_HSM_EXIT_REFUSED,
                          "the token has lost the key that opens the kek\n"
                          "hint: without it take a backup whose kek something else opens, or recovery shares"},
    [VKS_HSM_KEY_SEVERAL] = {VKS_HSM_EXIT_REFUSED, "the token has several keys of one id\n"
                                                   "hint: one of them opens the kek; give the others another id"},
    [VKS_HSM_KEY_WEAK] = {VKS_HSM_EXIT_REFUSED,
                          "the token's key \"vmm-keystore root\" is not fit to open a kek\n"
                          "hint: it must stay in the token (sensitive, not extractable), be private, have 32 bytes or "
                          "more and sign; give another key that has this label another one"},
    [VKS_HSM_KEY_ID] = {VKS_HSM_EXIT_REFUSED, "the token's key \"vmm-keystore root\" has no id of 16 bytes\n"
                                              "hint: give it one, or another label"},
    [VKS_HSM_KEY_UNSTEADY] = {VKS_HSM_EXIT_REFUSED, "the token computes two macs of the same bytes\n"
                                                    "hint: it is broken, or the module is; nothing was sealed to it"},
    [VKS_HSM_KEY_TYPE] = {VKS_HSM_EXIT_REFUSED,
                          "the token has no such keys\n"
                          "hint: of a token's keys ec-p256, ec-p384, rsa-2048, rsa-3072 and rsa-4096 are of use here"},
    [VKS_HSM_PAIR_GONE] = {VKS_HSM_EXIT_REFUSED, "the token has no such key pair\n"
                                                 "hint: the vendor's tool shows labels and ids of those it has"},
    [VKS_HSM_PAIR_SEVERAL] = {VKS_HSM_EXIT_REFUSED, "the token has several such key pairs\n"
                                                    "hint: a key is told by an id that no other one has"},
    [VKS_HSM_PAIR_ID] = {VKS_HSM_EXIT_REFUSED, "the token's key has no id, or one of more than 32 bytes\n"
                                               "hint: give it one (CKA_ID), with the vendor's tool"},
    [VKS_HSM_PAIR_LEAVES] = {VKS_HSM_EXIT_REFUSED,
                             "the token's key could leave it, or neither signs nor decrypts\n"
                             "hint: it must be sensitive, not extractable, and for one of the two; make another one"},
    [VKS_HSM_PAIR_ASKS] = {VKS_HSM_EXIT_REFUSED,
                           "the token takes its pin anew for each use of this key\n"
                           "hint: guests cannot type it; make a key without CKA_ALWAYS_AUTHENTICATE"},
    [VKS_HSM_PAIR_PUBLIC] = {VKS_HSM_EXIT_REFUSED, "the token does not give the public half of the key\n"
                                                   "hint: it must be there as an object of the same id"},
    [VKS_HSM_UNSOUND] = {VKS_HSM_EXIT_REFUSED, "what was to be decrypted was not encrypted for this key"},
    [VKS_HSM_REFUSED] = {VKS_HSM_EXIT_REFUSED, "the token refused"},
};

const char *vks_hsm_error_text(enum vks_hsm_error error)
{
    return errors[error].text;
}

enum vks_hsm_exit vks_hsm_error_exit(enum vks_hsm_error error)
{
    return errors[error].code;
}
