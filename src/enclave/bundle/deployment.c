/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half of the manifest as a blob of records (abi/manifest.h). */
#include <string.h>

#include "enclave/bundle/internal.h"
#include "manifest.h"

struct writer {
    struct buffer *blob;
    uint32_t records;
};

static void pad(struct buffer *blob)
{
    static const char zeros[8];
    buffer_append(blob, zeros, (8 - blob->size % 8) % 8);
}

static size_t begin_record(struct writer *w, enum manifest_record_type type)
{
    struct manifest_record record = {.type = type};
    size_t at = w->blob->size;
    buffer_append(w->blob, &record, sizeof(record));
    w->records++;
    return at;
}

static void end_record(struct writer *w, size_t at)
{
    struct manifest_record record;
    memcpy(&record, w->blob->data + at, sizeof(record));
    record.size = (uint32_t)(w->blob->size - at - sizeof(record));
    memcpy(w->blob->data + at, &record, sizeof(record));
    pad(w->blob);
}

static void add(struct writer *w, enum manifest_record_type type, const void *data, size_t size)
{
    size_t at = begin_record(w, type);
    buffer_append(w->blob, data, size);
    end_record(w, at);
}

static void add_text(struct writer *w, enum manifest_record_type type, const char *text)
{
    if (text)
        add(w, type, text, strlen(text));
}

static void add_list(struct writer *w, enum manifest_record_type type, const char *const *list)
{
    for (; list && *list; list++)
        add_text(w, type, *list);
}

static void add_flag(struct writer *w, enum manifest_record_type type, bool on)
{
    uint32_t one = 1;
    if (on)
        add(w, type, &one, sizeof(one));
}

static void add_user(struct writer *w, const struct bundle_deployment *d)
{
    struct manifest_user user = {.uid = d->uid,
                                 .gid = d->gid,
                                 .umask = d->umask,
                                 .group_count = (uint32_t)d->group_count,
                                 .capabilities = d->capabilities,
                                 .bounding = d->bounding,
                                 .inheritable = d->inheritable,
                                 .ambient = d->ambient};
    size_t at = begin_record(w, MANIFEST_USER);
    buffer_append(w->blob, &user, sizeof(user));
    buffer_append(w->blob, d->groups, d->group_count * sizeof(*d->groups));
    end_record(w, at);
}

static void add_policy(struct writer *w, const struct bundle_policy *p)
{
    struct manifest_policy policy = {.exec = p->exec,
                                     .flags = p->flags,
                                     .signals = p->signals & ~MANIFEST_SIGNALS_NEVER,
                                     .log_level = p->log_level};
    add(w, MANIFEST_POLICY, &policy, sizeof(policy));
}

static void append_texts(struct buffer *blob, const struct bundle_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct manifest_text text = {.flags = texts[i].pattern ? MANIFEST_TEXT_PATTERN : 0,
                                     .size = (uint32_t)strlen(texts[i].text)};
        buffer_append(blob, &text, sizeof(text));
        buffer_append(blob, texts[i].text, text.size);
    }
}

static void add_command(struct writer *w, const struct bundle_command *c)
{
    struct manifest_command command = {.flags = c->terminal ? MANIFEST_COMMAND_TERMINAL : 0,
                                       .arg_count = (uint32_t)c->arg_count,
                                       .env_count = (uint32_t)c->env_count,
                                       .cwd_count = (uint32_t)c->cwd_count};
    size_t at = begin_record(w, MANIFEST_COMMAND);
    buffer_append(w->blob, &command, sizeof(command));
    append_texts(w->blob, c->args, c->arg_count);
    append_texts(w->blob, c->env, c->env_count);
    append_texts(w->blob, c->cwd, c->cwd_count);
    end_record(w, at);
}

static void add_host_variable(struct writer *w, const struct bundle_host_variable *v)
{
    struct manifest_host_variable variable = {.value = v->value};
    size_t at = begin_record(w, MANIFEST_HOST_VARIABLE);
    buffer_append(w->blob, &variable, sizeof(variable));
    buffer_append_text(w->blob, v->pattern);
    end_record(w, at);
}

static uint32_t text_size(const char *text)
{
    return text ? (uint32_t)strlen(text) : 0;
}

static void add_mount(struct writer *w, const struct bundle_mount *m)
{
    struct manifest_mount mount = {.kind = m->kind,
                                   .flags = m->flags,
                                   .index = m->index,
                                   .mode = m->mode,
                                   .size = m->size,
                                   .target_size = text_size(m->target),
                                   .source_size = text_size(m->source),
                                   .options_size = text_size(m->options)};
    size_t at = begin_record(w, MANIFEST_MOUNT);
    buffer_append(w->blob, &mount, sizeof(mount));
    buffer_append(w->blob, m->target, mount.target_size);
    buffer_append(w->blob, m->source, mount.source_size);
    buffer_append(w->blob, m->options, mount.options_size);
    end_record(w, at);
}

int bundle_deployment_build(const struct bundle_deployment *d, struct buffer *blob,
                            uint8_t hash[BUNDLE_HASH_SIZE], struct error *err)
{
    struct writer w = {.blob = blob};
    struct manifest_deployment_header header = {.magic = MANIFEST_DEPLOYMENT_MAGIC,
                                                .version = MANIFEST_VERSION};
    if (!d->args || !d->args[0])
        return error_set(err, "process.args is empty; say what to run");
    if (d->group_count > 65536)
        return error_set(err, "process.user: %zu additional groups, at most 65536", d->group_count);

    buffer_clear(blob);
    buffer_append(blob, &header, sizeof(header));
    add_list(&w, MANIFEST_ARG, d->args);
    add_list(&w, MANIFEST_ENV, d->env);
    add_text(&w, MANIFEST_CWD, d->cwd);
    add_user(&w, d);
    add_policy(&w, &d->policy);
    for (size_t i = 0; i < d->command_count; i++)
        add_command(&w, &d->commands[i]);
    add_text(&w, MANIFEST_HOSTNAME, d->hostname);
    add_text(&w, MANIFEST_DOMAINNAME, d->domainname);
    for (size_t i = 0; i < d->mount_count; i++)
        add_mount(&w, &d->mounts[i]);
    for (size_t i = 0; i < d->rlimit_count; i++) {
        struct manifest_rlimit limit = {.resource = d->rlimits[i].resource,
                                        .soft = d->rlimits[i].soft,
                                        .hard = d->rlimits[i].hard};
        add(&w, MANIFEST_RLIMIT, &limit, sizeof(limit));
    }
    add_list(&w, MANIFEST_SYSCTL, d->sysctls);
    add_list(&w, MANIFEST_MASKED_PATH, d->masked_paths);
    add_list(&w, MANIFEST_READONLY_PATH, d->readonly_paths);
    add_flag(&w, MANIFEST_TERMINAL, d->terminal);
    add_flag(&w, MANIFEST_READONLY_ROOT, d->readonly_root);
    for (size_t i = 0; i < d->host_variable_count; i++)
        add_host_variable(&w, &d->host_variables[i]);
    add_flag(&w, MANIFEST_HOST_NAMES, d->host_names);
    add_text(&w, MANIFEST_RATLS, d->ratls);
    add_text(&w, MANIFEST_RATLS_CLIENTS, d->ratls_clients);

    if (blob->size > MANIFEST_DEPLOYMENT_MAX)
        return error_set(err, "arguments, environment and mounts take %zu bytes, at most %u",
                         blob->size, MANIFEST_DEPLOYMENT_MAX);
    header.record_count = w.records;
    header.size = blob->size;
    memcpy(blob->data, &header, sizeof(header));
    hash_of(blob->data, blob->size, hash);
    return 0;
}

void bundle_given_build(const char *const *variables, struct buffer *blob)
{
    struct writer w = {.blob = blob};
    struct manifest_deployment_header header = {.magic = MANIFEST_GIVEN_MAGIC,
                                                .version = MANIFEST_VERSION};
    buffer_clear(blob);
    buffer_append(blob, &header, sizeof(header));
    add_list(&w, MANIFEST_ENV, variables);
    header.record_count = w.records;
    header.size = blob->size;
    memcpy(blob->data, &header, sizeof(header));
}
