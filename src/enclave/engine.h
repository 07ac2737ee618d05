/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config.json that an engine will make of what a user writes: a command line, a compose file, a
 * pod's YAML. For predictions (predict.h); what engines choose anew for each container is left out
 * or has a value that stands for any.
 *
 * Whatever the form, it becomes a wish, a JSON object of these members, all but image optional:
 *   name, image      texts; `image` as it is written
 *   entrypoint, args lists of texts, in place of the image's
 *   env              list of NAME=value, behind the image's
 *   user, cwd, umask texts, as `docker run -u` and `-w` take them
 *   hostname, domainname             texts
 *   ipc, network     texts, whose name space: "host"
 *   tty, readonly, noNewPrivileges   booleans
 *   unmasked         boolean: no path of /proc and /sys is masked or read-only
 *   readonlyTmpfs    boolean: Podman's tmpfs of a read-only root, there by default
 *   mounts           list of {target, source, readonly, file, volume} or {target, readonly,
 *                    tmpfs: "options", size, mode}; `volume` for those that the engine makes
 *   capAdd, capDrop, groups          lists of texts
 *   sysctls          object; ulimits: object of "soft:hard"; annotations: object of texts
 *   shmSize          text
 */
#pragma once

#include "base/error.h"
#include "base/json.h"

enum engine { ENGINE_DOCKER, ENGINE_PODMAN, ENGINE_CTR, ENGINE_CRI };

/* By its name (docker, podman, ctr, cri); negative with err. */
int engine_of(const char *name, enum engine *out, struct error *err);

/*
 * image: an image's configuration in the form of OCI or of `docker inspect`, or NULL for none.
 * rootfs: its unpacked files, for /etc/passwd and /etc/group. A new reference, NULL with err.
 */
json_t *engine_config(enum engine engine, const json_t *wish, const json_t *image,
                      const char *rootfs, struct error *err);

/* An image's unpacked files, behind the descriptor, become what the engine's containers have. */
int engine_root(enum engine engine, int root, struct error *err);

/* `docker run ...`, `podman run ...`, `ctr run ...`, from the program's name on. */
json_t *engine_line(int argc, char **argv, enum engine *engine, struct error *err);

/*
 * Wishes of a file: a list. *engine is Docker for compose, CRI for Kubernetes' kinds. directory:
 * what paths of a compose file are relative to. variables: NAME=value that the node gives
 * (secrets), in place of what the file refers to.
 */
json_t *engine_file(const json_t *documents, const char *directory, const char *const *variables,
                    enum engine *engine, struct error *err);

/* All documents of a YAML file, as a list; JSON is YAML. */
json_t *engine_yaml(const char *path, struct error *err);

/* Words of a shell's line without expansions; NULL with err. */
json_t *engine_words(const char *text, struct error *err);
