/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side of a signing service. HTTPS needs two dozen shared libraries, which a start that
 * finds its enclave should not load: so it is a program of its own, enclave-sign (src/signing),
 * that takes the request on its standard input. On its standard output comes the SIGSTRUCT, or with
 * exit status 1 the line that says what is wrong.
 */
#include "enclave/bundle/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/hex.h"
#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/bundle/signing.h"

enum { ANSWER_MAX = 8192 };

void service_identity(const struct bundle_service *service, uint8_t identity[BUNDLE_HASH_SIZE])
{
    static const char tag[] = "rune signing service";
    const char *signer = service->signer ? service->signer : "";
    struct hash *h = hash_new();
    hash_add(h, tag, sizeof(tag));
    hash_add(h, service->url, strlen(service->url) + 1);
    hash_add(h, signer, strlen(signer) + 1);
    hash_end(h, identity);
    hash_free(h);
}

struct call {
    const struct bundle_service *service;
    const char *program;
    int in, out;
};

static int run_program(void *ctx, struct error *err)
{
    const struct call *call = ctx;
    const struct bundle_service *s = call->service;
    const char *argv[14] = {"enclave-sign", "--url", s->url};
    const struct {
        const char *option, *value;
    } options[] = {{"--certificate", s->certificate},
                   {"--key", s->key},
                   {"--ca", s->ca},
                   {"--timeout", s->timeout}};
    size_t n = 3;
    for (size_t i = 0; i < array_count(options); i++) {
        if (!options[i].value)
            continue;
        argv[n++] = options[i].option;
        argv[n++] = options[i].value;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(call->in, STDIN_FILENO) < 0 || dup2(call->out, STDOUT_FILENO) < 0)
        return error_errno(err, errno, "start %s", call->program);
    execv(call->program, (char **)argv);
    return error_errno(err, errno, "start %s", call->program);
}

static int memory_file(const char *name, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "make a file in memory") : fd;
}

/* What the program wrote; an error when it says so. */
static int call_program(const struct bundle_service *service, const struct buffer *text,
                        struct buffer *answer, struct error *err)
{
    cleanup_free char *program = find_program("enclave-sign");
    cleanup_close int in = memory_file("request", err), out = memory_file("answer", err);
    if (in < 0 || out < 0)
        return -1;
    int ret = write_all(in, text->data, text->size);
    if (ret < 0 || lseek(in, 0, SEEK_SET) < 0)
        return error_errno(err, ret < 0 ? -ret : errno, "write the request");
    struct call call = {.service = service, .program = program, .in = in, .out = out};
    pid_t pid = child_start(run_program, &call, err);
    if (pid < 0)
        return -1;
    int status = child_wait(pid);
    if (lseek(out, 0, SEEK_SET) < 0 || read_all(out, answer, ANSWER_MAX) < 0)
        return error_set(err, "what %s says cannot be read", program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return answer->size ? error_set(err, "%s", buffer_text(answer))
                        : error_set(err, "%s ended without an answer", program);
}

/* ---- what came back ---- */

static bool is_expected_signer(const struct sgx_sigstruct *s, const char *signer)
{
    uint8_t mrsigner[BUNDLE_HASH_SIZE];
    char text[2 * BUNDLE_HASH_SIZE + 1];
    sgx_sigstruct_mrsigner(s, mrsigner);
    return !signer || strcasecmp(hex_format(text, mrsigner, sizeof(mrsigner)), signer) == 0;
}

/* Product, version and date are the service's; all else is as it was asked. */
static bool is_asked(const struct sgx_sigstruct *s, const struct sgx_sigstruct *asked)
{
    return memcmp(&s->attributes, &asked->attributes, sizeof(s->attributes)) == 0 &&
           memcmp(&s->attribute_mask, &asked->attribute_mask, sizeof(s->attribute_mask)) == 0 &&
           s->miscselect == asked->miscselect && s->misc_mask == asked->misc_mask;
}

static int check_answer(const struct bundle_service *service, const struct sgx_sigstruct *s,
                        const struct sgx_sigstruct *asked, struct error *err)
{
    if (sgx_sigstruct_check(s, err) < 0)
        return error_wrap(err, "what the signing service %s sent", service->url);
    if (memcmp(s->mrenclave, asked->mrenclave, sizeof(s->mrenclave)) != 0)
        return error_set(err, "the signing service %s signed another enclave than it was asked",
                         service->url);
    if (!is_asked(s, asked))
        return error_set(err,
                         "the signing service %s signed other attributes than it was asked, as of "
                         "debugging",
                         service->url);
    if (!is_expected_signer(s, service->signer))
        return error_set(err,
                         "the signing service %s signed with another key than MRSIGNER %s "
                         "(signing.signer of config.toml)",
                         service->url, service->signer);
    return 0;
}

static int check_service(const struct bundle_service *s, struct error *err)
{
    uint8_t signer[BUNDLE_HASH_SIZE];
    if (strncasecmp(s->url, "https://", 8) != 0)
        return error_set(err, "signing service %s: give a URL that begins with https://", s->url);
    if (s->signer && !hex_parse(s->signer, strlen(s->signer), signer, sizeof(signer)))
        return error_set(err, "the signer %s is not an MRSIGNER: 64 hexadecimal digits", s->signer);
    return 0;
}

int service_sign(const struct bundle_service *service, int dir, struct signing_request *request,
                 struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT, answer = BUFFER_INIT;
    struct sgx_sigstruct asked, s;
    if (check_service(service, err) < 0 || signing_read(dir, SIGNING_UNSIGNED, &asked, err) < 0)
        return -1;
    memcpy(request->mrenclave, asked.mrenclave, sizeof(request->mrenclave));
    signing_request_write(request, &text);
    if (call_program(service, &text, &answer, err) < 0)
        return -1;
    if (answer.size != sizeof(s))
        return error_set(err, "the signing service %s sent %zu bytes; a SIGSTRUCT has %zu",
                         service->url, answer.size, sizeof(s));
    memcpy(&s, answer.data, sizeof(s));
    if (check_answer(service, &s, &asked, err) < 0)
        return -1;
    return replace_file_at(dir, SIGNING_SIGNED, &s, sizeof(s), 0600, true, err);
}
