/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enclave containers, as rune's commands see them: does a configuration ask for an enclave, and
 * what has container_create() to be given then. Bundle conversion is bundle/bundle.h, exec is
 * proxy.h, questions to a running enclave are agent.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "container/container.h"

enum enclave_mode {
    ENCLAVE_MODE_PRODUCTION, /* cannot be debugged, logs no application data */
    ENCLAVE_MODE_DEBUG, /* ATTRIBUTES.DEBUG: the host can read it; and it lets the host do more */
};

enum enclave_choice { ENCLAVE_AUTO, ENCLAVE_YES, ENCLAVE_NO };

/* What the operator may do to it, as it was written; NULL: not said (policy.h). */
struct enclave_policy_wish {
    char *exec, *signals, *loopback, *stdio;
    char *host_env, *host_name;
    char *ratls, *ratls_clients;
    bool pod; /* a container of Kubernetes, whose engine makes service variables */
};

/* How the enclave is to be built; 0 takes what fits the container and the machine. */
struct enclave_build {
    enum enclave_mode mode;
    uint64_t size;   /* of ELRANGE */
    uint64_t memory; /* bytes */
    uint32_t threads;
    enum enclave_choice kss;  /* CONFIGID names the deployment, or MRENCLAVE does */
    enum enclave_choice sgx2; /* memory and threads on demand, or all from the start */
    bool aexnotify;  /* the LibOS is told of each asynchronous exit; only where the processor can */
    char *mounts;    /* enclave.mounts as it was given (mounts.h); may be NULL */
    char *bound;     /* file with what deployments may say; may be NULL */
    char *signature; /* SIGSTRUCT in base64, made elsewhere; may be NULL */
    char *image;     /* sealed bundle, in place of the root filesystem; may be NULL */
};

/* What the user asked for: annotations first, then environment variables, then defaults. */
struct enclave_request {
    char *type;      /* "intelSgx", "simulatedSgx" or "auto" */
    char *runtime;   /* absolute path of the PAL library */
    char *args;      /* may be NULL */
    char *log_level; /* may be NULL */
    char *trace;     /* system calls whose trace is wanted; may be NULL */
    bool builtin;    /* the built-in LibOS: the bundle is converted */
    bool occlum;     /* Occlum's library: args is the directory of an instance (occlum.h) */
    struct enclave_build build;
    struct enclave_policy_wish policy;
};
#define cleanup_enclave_request __attribute__((cleanup(enclave_request_release)))

/*
 * Returns 1 with *out for an enclave container, 0 for an ordinary one, negative with err. `forced`
 * is the global flag
 * --enclave.
 */
int enclave_request_read(const struct oci_config *config, bool forced, struct enclave_request *out,
                         struct error *err);
void enclave_request_release(struct enclave_request *request);
/* True for NAME=value of the variables that are for rune and not for the application. */
bool enclave_variable(const char *entry);
/*
 * Would the built-in LibOS of a container with this configuration take the signal from its host?
 * The enclave decides; this is for an error in time. SIGKILL ends any container from outside.
 */
int enclave_takes_signal(const struct oci_config *config, int sig, struct error *err);
/* Take those variables out of the environment of a process. */
void enclave_strip_environment(struct oci_process *process);

/* The same for a further process of a container, whose HOME is that of its user in `rootfs`. */
void enclave_exec_environment(struct oci_config *config, const char *rootfs,
                              struct oci_process *process);

/*
 * Tell the enclave of a running container what its limits have become; the cgroup has them already.
 * resources: all of linux.resources, as it is now.
 */
int enclave_update(int state_dir, const struct oci_resources *resources, struct error *err);

#define ENCLAVE_LAUNCH_FDS 10

/* For container_create_options: init_program, init_preload, init_fds, init_fd_count, enclave,
 * state_dir_made. */
struct enclave_launch {
    char *init_program;
    char *init_preload; /* NULL: none */
    /* What it comes to on this machine: "intelSgx" or "simulatedSgx". */
    const char *type;
    struct container_fd fds[ENCLAVE_LAUNCH_FDS];
    size_t fd_count;
};
#define cleanup_enclave_launch __attribute__((cleanup(enclave_launch_release)))

/*
 * Make a bundle ready to be created as an enclave container: look for the hardware, convert the
 * root filesystem (the built-in LibOS only), write the deployment half of the manifest. *config is
 * replaced by the adapted configuration. Messages of `log_json` and the log level go on to
 * init-runelet.
 */
int enclave_launch_prepare(const struct enclave_request *request, const char *bundle, bool log_json,
                           struct oci_config **config, struct enclave_launch *out,
                           struct error *err);
/* container_create_options.state_dir_made, with the struct enclave_launch as its context. */
int enclave_launch_state_dir(void *launch, int dir, struct error *err);
void enclave_launch_release(struct enclave_launch *launch);
