// Preloaded into the server under test: says on standard error that OpenSSL cleans up at the end of the process.

#include <openssl/crypto.h>
#include <stdio.h>

static void say(void) { fputs("OpenSSL cleans up\n", stderr); }

__attribute__((constructor)) static void listen_for_it(void) { OPENSSL_atexit(say); }
