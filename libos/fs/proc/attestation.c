/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/attestation: the pseudo-files that programs for Gramine know. What a process writes to
 * user_report_data and target_info is its own. Sealing keys are bound to the deployment (CONFIGID)
 * as well: another command line over the same image would read them out.
 */
#include "pseudo.h"
#include "boundary.h"
#include "deployment.h"
#include "manifest.h"
#include "measured.h"
#include "procfs.h"
#include "sgx.h"
#include "sgx_emulated.h"

#define QUOTE_MAX    8192u
#define KEY_SIZE     16u
#define CPU_SVN_SIZE 16u
#define KEY_MAX      32u
#define SEAL_ATTRIBUTES \
    0xff0000000000000bull /* what must not change: INIT, DEBUG, MODE64BIT and the reserved */
#define SEAL_MISC 0xf0000000u

/* ---- what each process has set ---- */

/*
 * Of a process (pid), or what processes of a session and user wrote last (pid 0), for those that
 * wrote nothing themselves: a shell's children. Nobody else puts data between a program's write and
 * its report.
 */
struct user_state {
    struct user_state *next;
    i32 pid, sid;
    u32 uid;
    u64 start;
    u8 report_data[64];
    u8 target_info[SGX_TARGETINFO_SIZE];
};

static struct mutex g_lock;
static struct user_state *g_states;

static i32 session_of(const struct process *p)
{
    return p->session ? p->session->sid : 0;
}

static int is_in_session(struct process *p, void *sid)
{
    return session_of(p) == *(i32 *)sid;
}

static bool is_alive(struct user_state *s)
{
    struct process *p;
    bool alive;

    if (s->pid == 0)
        return process_for_each(is_in_session, &s->sid) != 0;
    p = process_find(s->pid);
    alive = p && p->start_time == s->start;
    if (p)
        process_put(p);
    return alive;
}

/* Those of processes and sessions that are gone go; g_lock held, as below. */
static void drop_dead(void)
{
    struct user_state **p = &g_states, *s;

    while (*p) {
        s = *p;
        if (is_alive(s)) {
            p = &s->next;
        } else {
            *p = s->next;
            kfree(s);
        }
    }
}

/* The current process's own, or that of its session and user. */
static struct user_state *find_state(bool own)
{
    const struct process *me = current_process();

    for (struct user_state *s = g_states; s; s = s->next) {
        if (own ? s->pid == me->pid && s->start == me->start_time
                : s->pid == 0 && s->sid == session_of(me) && s->uid == me->cred.euid)
            return s;
    }
    return NULL;
}

static struct user_state *make_state(bool own, const struct user_state *from)
{
    const struct process *me = current_process();
    struct user_state *s = find_state(own);

    if (s)
        return s;
    s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    if (from) {
        memcpy(s->report_data, from->report_data, sizeof(s->report_data));
        memcpy(s->target_info, from->target_info, sizeof(s->target_info));
    }
    s->pid = own ? me->pid : 0;
    s->start = own ? me->start_time : 0;
    s->sid = session_of(me);
    s->uid = me->cred.euid;
    s->next = g_states;
    g_states = s;
    return s;
}

static void get_state(u8 report_data[64], u8 target_info[SGX_TARGETINFO_SIZE])
{
    static const struct user_state nothing;
    const struct user_state *s;

    mutex_lock(&g_lock);
    s = find_state(true);
    if (!s)
        s = find_state(false);
    if (!s)
        s = &nothing;
    if (report_data)
        memcpy(report_data, s->report_data, 64);
    if (target_info)
        memcpy(target_info, s->target_info, SGX_TARGETINFO_SIZE);
    mutex_unlock(&g_lock);
}

/* What is for reports that the host asks for, no program may have. */
static bool is_host_data(const char *buf, size_t n)
{
    static const char tag[] = BOUNDARY_HOST_REPORT;

    return n >= sizeof(tag) - 1 && memcmp(buf, tag, sizeof(tag) - 1) == 0;
}

static ssize_t set_state(const char *buf, size_t n, bool report_data)
{
    struct user_state *states[2];
    size_t size = report_data ? 64 : SGX_TARGETINFO_SIZE;

    mutex_lock(&g_lock);
    drop_dead();
    states[0] = make_state(false, NULL);
    states[1] = states[0] ? make_state(true, states[0]) : NULL;
    for (int i = 0; states[1] && i < 2; i++) {
        u8 *to = report_data ? states[i]->report_data : states[i]->target_info;

        memset(to, 0, size);
        memcpy(to, buf, MIN(n, size));
    }
    mutex_unlock(&g_lock);
    return states[1] ? (ssize_t)n : -ENOMEM;
}

/* ---- files ---- */

static bool has_quotes(void)
{
    u8 target[SGX_TARGETINFO_SIZE];

    return host_get_target_info(target) >= 0;
}

/* Gramine's words, and one for what no verifier should take for either. */
static int show_type(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%s",
                sgx_cpusvn_is_emulated(g_self.cpu_svn) ? "emulated"
                : has_quotes()                         ? "dcap"
                                                       : "none");
    return 0;
}

static int show_report_data(struct pseudo_inode *p, struct text *t)
{
    u8 data[64];

    get_state(data, NULL);
    text_add(t, data, sizeof(data));
    return 0;
}

static ssize_t store_report_data(struct pseudo_inode *p, const char *buf, size_t n)
{
    return is_host_data(buf, n) ? -EINVAL : set_state(buf, n, true);
}

static int show_target_info(struct pseudo_inode *p, struct text *t)
{
    u8 target[SGX_TARGETINFO_SIZE];

    get_state(NULL, target);
    text_add(t, target, sizeof(target));
    return 0;
}

static ssize_t store_target_info(struct pseudo_inode *p, const char *buf, size_t n)
{
    return set_state(buf, n, false);
}

/* TARGETINFO of this enclave (SDM 3D, 38.16). */
static int show_my_target_info(struct pseudo_inode *p, struct text *t)
{
    struct sgx_targetinfo target = {
        .attributes = g_self.attributes,
        .cet_attributes = g_self.cet_attributes,
        .config_svn = g_self.config_svn,
        .miscselect = g_self.miscselect,
    };

    memcpy(target.mrenclave, g_self.mrenclave, sizeof(target.mrenclave));
    memcpy(target.config_id, g_self.config_id, sizeof(target.config_id));
    text_add(t, &target, sizeof(target));
    return 0;
}

static int show_report(struct pseudo_inode *p, struct text *t)
{
    u8 data[64], target[SGX_TARGETINFO_SIZE], report[SGX_REPORT_SIZE];

    get_state(data, target);
    if (sgx_report(target, data, report) != 0)
        return -EINVAL;
    text_add(t, report, sizeof(report));
    return 0;
}

static int show_quote(struct pseudo_inode *p, struct text *t)
{
    u8 data[64], target[SGX_TARGETINFO_SIZE], report[SGX_REPORT_SIZE], *quote;
    ssize_t n;
    int r = host_get_target_info(target);

    if (r < 0)
        return r;
    get_state(data, NULL);
    if (sgx_report(target, data, report) != 0)
        return -EIO;
    quote = kmalloc(QUOTE_MAX);
    if (!quote)
        return -ENOMEM;
    n = host_get_quote(report, quote, QUOTE_MAX);
    if (n > 0)
        text_add(t, quote, (size_t)n);
    kfree(quote);
    return n < 0 ? (int)n : 0;
}

/* ---- what the host gave (docs/design/identity.md) ---- */

/* The texts are UTF-8 without control characters (entry/given.c), or paths of the deployment. */
static void add_json(struct text *t, const char *s, size_t n)
{
    text_printf(t, "\"");
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            text_printf(t, "\\%c", s[i]);
        else if ((u8)s[i] < 0x20)
            text_printf(t, "\\u%04x", (u8)s[i]);
        else
            text_add(t, &s[i], 1);
    }
    text_printf(t, "\"");
}

static void add_json_name(struct text *t, const char *member, const char *name, bool given)
{
    text_printf(t, "\"%s\": ", member);
    if (given)
        add_json(t, name, strlen(name));
    else
        text_printf(t, "null");
}

static int show_host_values(struct pseudo_inode *p, struct text *t)
{
    const struct deployment *d = &g_deployment;
    const char *separator = "";

    text_printf(t, "{");
    add_json_name(t, "hostname", d->hostname, d->hostname_given);
    text_printf(t, ", ");
    add_json_name(t, "domainname", d->domainname, d->domainname_given);
    text_printf(t, ", \"env\": {");
    for (u32 i = 0; i < d->given_count; i++) {
        size_t name = (size_t)(strchr(d->given[i], '=') - d->given[i]);

        text_printf(t, i > 0 ? ", " : "");
        add_json(t, d->given[i], name);
        text_printf(t, ": ");
        add_json(t, d->given[i] + name + 1, strlen(d->given[i] + name + 1));
    }
    text_printf(t, "}, \"mounts\": [");
    for (u32 i = 0; i < d->mount_count; i++) {
        if (d->mounts[i].kind != MANIFEST_MOUNT_PASSTHROUGH)
            continue;
        text_printf(t, "%s", separator);
        add_json(t, d->mounts[i].target, strlen(d->mounts[i].target));
        separator = ", ";
    }
    text_printf(t, "]}\n");
    return 0;
}

/* ---- keys ---- */

/* Whoever has the signing key signs an enclave that reads such a key out. By default that is the
 * operator, whose machine made it; and without CONFIGID in the key, who starts another command. */
static int may_have_signer_key(void)
{
    if ((g_manifest->flags & MANIFEST_SIGNED_ELSEWHERE) == 0) {
        log_error("_sgx_mrsigner is refused: the enclave's signing key is on this machine, so its "
                  "operator could derive the key; sign elsewhere (RUNE_SIGNING=client) or use "
                  "_sgx_mrenclave");
        return -EACCES;
    }
    if ((g_self.attributes.flags & SGX_ATTR_KSS) == 0) {
        log_error("_sgx_mrsigner is refused: without KSS the key would be that of every deployment "
                  "of the signer; use _sgx_mrenclave");
        return -EACCES;
    }
    return 0;
}

/* A sealing key: of this enclave now, or as an earlier version of it or of the processor had it. */
struct seal {
    u16 policy, isv_svn;
    u8 cpu_svn[CPU_SVN_SIZE];
};

static struct seal seal_now(u16 policy)
{
    struct seal s = {.policy = policy, .isv_svn = g_self.isv_svn};

    memcpy(s.cpu_svn, g_self.cpu_svn, sizeof(s.cpu_svn));
    return s;
}

static int show_key(struct text *t, const struct seal *seal)
{
    bool kss = (g_self.attributes.flags & SGX_ATTR_KSS) != 0;
    struct sgx_keyrequest q = {
        .key_name = SGX_KEY_SEAL,
        .key_policy = (u16)(seal->policy | (kss ? SGX_POLICY_CONFIGID : 0)),
        .isv_svn = seal->isv_svn,
        .config_svn = g_self.config_svn,
        .attribute_mask.flags = SEAL_ATTRIBUTES | (kss ? SGX_ATTR_KSS : 0),
        .misc_mask = SEAL_MISC,
    };
    u8 key[KEY_SIZE];
    int r = seal->policy == SGX_POLICY_MRSIGNER ? may_have_signer_key() : 0;

    if (r < 0)
        return r;
    memcpy(q.cpu_svn, seal->cpu_svn, sizeof(q.cpu_svn));
    r = sgx_get_key(&q, key);
    if (r != 0)
        return r == -EACCES ? r : -EIO;
    text_add(t, key, sizeof(key));
    memzero_explicit(key, sizeof(key));
    return 0;
}

static int show_enclave_key(struct pseudo_inode *p, struct text *t)
{
    const struct seal seal = seal_now(SGX_POLICY_MRENCLAVE);

    return show_key(t, &seal);
}

static int show_signer_key(struct pseudo_inode *p, struct text *t)
{
    const struct seal seal = seal_now(SGX_POLICY_MRSIGNER);

    return show_key(t, &seal);
}

/* ---- earlier ones: _sgx_mrenclave.CPUSVN, _sgx_mrsigner[.SVN][.CPUSVN] ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As cpu_svn tells it, to the end of the name. */
static bool parse_cpu_svn(const char *text, size_t len, u8 out[CPU_SVN_SIZE])
{
    int bad = len == 2 * (size_t)CPU_SVN_SIZE ? 0 : -1;

    for (size_t i = 0; bad >= 0 && i < CPU_SVN_SIZE; i++) {
        const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        bad = high | low;
        out[i] = (u8)(high << 4 | low);
    }
    return bad >= 0;
}

/* Only up to this enclave's own version: EGETKEY gives nobody the key of a later one. */
static bool parse_isv_svn(const char *text, size_t len, u16 *out)
{
    const int svn = proc_parse_number(text, len);

    if (svn < 0 || svn > g_self.isv_svn)
        return false;
    *out = (u16)svn;
    return true;
}

static bool parse_seal(const char *name, size_t len, struct seal *out)
{
    static const char enclave[] = "_sgx_mrenclave.", signer[] = "_sgx_mrsigner.";
    const bool by_signer = strncmp(name, signer, sizeof(signer) - 1) == 0;
    const size_t prefix = by_signer ? sizeof(signer) - 1 : sizeof(enclave) - 1;
    const char *rest = name + prefix, *end = name + len;

    if (len <= prefix || (!by_signer && strncmp(name, enclave, prefix) != 0))
        return false;
    *out = seal_now(by_signer ? SGX_POLICY_MRSIGNER : SGX_POLICY_MRENCLAVE);
    if (parse_cpu_svn(rest, (size_t)(end - rest), out->cpu_svn))
        return true;
    if (!by_signer)
        return false;
    const char *dot = memchr(rest, '.', (size_t)(end - rest));
    return parse_isv_svn(rest, (size_t)((dot ? dot : end) - rest), &out->isv_svn) &&
           (!dot || parse_cpu_svn(dot + 1, (size_t)(end - dot - 1), out->cpu_svn));
}

static int show_earlier_key(struct pseudo_inode *p, struct text *t)
{
    struct seal seal;

    return parse_seal(p->name, strlen(p->name), &seal) ? show_key(t, &seal) : -EIO;
}

static const struct pseudo_entry g_earlier_key = {
    .name = "earlier", .mode = S_IFREG | 0400, .show = show_earlier_key};

/* Of a name, set or not: what a listing says and what stat() says is the same. */
static u64 key_ino(const struct pseudo_inode *dir, const char *name)
{
    u64 h = 0;

    while (*name)
        h = (h ^ (u8)*name++) * 0x100000001b3ull;
    return dir->i.ino + (1ull << 32) + (h >> 33);
}

static int key_inode(struct pseudo_inode *dir, const struct pseudo_entry *entry, const char *name,
                     size_t len, struct inode **out)
{
    char *copy = kstrndup(name, len);

    *out = copy ? pseudo_inode_new(dir->i.super, entry, dir) : NULL;
    if (!*out) {
        kfree(copy);
        return -ENOMEM;
    }
    pseudo_of(*out)->name = copy;
    (*out)->ino = key_ino(dir, copy);
    return 0;
}

/*
 * Keys that programs, or provisioning on their behalf, have set: shared by the whole container. A
 * name takes its place when its key is set, not when somebody asks for it.
 */
static struct named_key {
    char name[64];
    bool set;
    u8 value[KEY_SIZE];
} g_keys[KEY_MAX] = {{.name = "default"}};

/* With g_lock. "": the first that is free. KEY_MAX: none. */
static u32 key_find(const char *name)
{
    u32 k = 0;

    while (k < KEY_MAX && strcmp(g_keys[k].name, name) != 0)
        k++;
    return k;
}

static int show_named_key(struct pseudo_inode *p, struct text *t)
{
    mutex_lock(&g_lock);
    const u32 k = key_find(p->name);
    if (k < KEY_MAX && g_keys[k].set)
        text_add(t, g_keys[k].value, KEY_SIZE);
    mutex_unlock(&g_lock);
    return 0;
}

static ssize_t store_named_key(struct pseudo_inode *p, const char *buf, size_t n)
{
    if (n != KEY_SIZE)
        return -EACCES;
    mutex_lock(&g_lock);
    u32 k = key_find(p->name);
    if (k == KEY_MAX)
        k = key_find("");
    if (k < KEY_MAX) {
        strlcpy(g_keys[k].name, p->name, sizeof(g_keys[k].name));
        memcpy(g_keys[k].value, buf, KEY_SIZE);
        g_keys[k].set = true;
    }
    mutex_unlock(&g_lock);
    return k < KEY_MAX ? (ssize_t)n : -ENOSPC;
}

static const struct pseudo_entry g_named_key = {
    .name = "key", .mode = S_IFREG | 0600, .show = show_named_key, .store = store_named_key};

static int key_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    char wanted[sizeof(g_keys[0].name)];
    bool there = fs_uid() == 0 || fs_capable(CAP_DAC_OVERRIDE); /* any name may be set */
    struct seal seal;

    if (name[0] == '_')
        return parse_seal(name, len, &seal) ? key_inode(dir, &g_earlier_key, name, len, out)
                                            : -ENOENT;
    if (len == 0 || len >= sizeof(wanted))
        return -ENOENT;
    memcpy(wanted, name, len);
    wanted[len] = '\0';
    mutex_lock(&g_lock);
    there |= key_find(wanted) < KEY_MAX;
    mutex_unlock(&g_lock);
    return there ? key_inode(dir, &g_named_key, name, len, out) : -ENOENT;
}

/* False: nothing to list there. */
static bool key_name(u64 k, char name[sizeof(g_keys[0].name)])
{
    mutex_lock(&g_lock);
    memcpy(name, g_keys[k].name, sizeof(g_keys[k].name));
    const bool listed = name[0] && (k == 0 || g_keys[k].set);
    mutex_unlock(&g_lock);
    return listed;
}

static int key_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    char name[sizeof(g_keys[0].name)];

    for (u64 k = pos; k < KEY_MAX; k++) {
        if (key_name(k, name) && !fn(ctx, name, strlen(name), key_ino(dir, name), DT_REG, k + 1))
            return 1;
    }
    return 0;
}

static const struct pseudo_entry g_key_entries[] = {
    {.name = "_sgx_mrenclave", .mode = S_IFREG | 0400, .show = show_enclave_key},
    {.name = "_sgx_mrsigner", .mode = S_IFREG | 0400, .show = show_signer_key},
    {0},
};

static int show_cpu_svn(struct pseudo_inode *p, struct text *t)
{
    for (u32 i = 0; i < CPU_SVN_SIZE; i++)
        text_printf(t, "%02x", g_self.cpu_svn[i]);
    text_printf(t, "\n");
    return 0;
}

static const struct pseudo_entry g_entries[] = {
    PSEUDO_SHOW("attestation_type", show_type),
    PSEUDO_SHOW("cpu_svn", show_cpu_svn),
    PSEUDO_SHOW("host_values", show_host_values),
    {.name = "keys",
     .mode = S_IFDIR | 0555,
     .children = g_key_entries,
     .lookup = key_lookup,
     .iterate = key_iterate},
    PSEUDO_SHOW("my_target_info", show_my_target_info),
    PSEUDO_SHOW("quote", show_quote),
    PSEUDO_SHOW("report", show_report),
    {.name = "target_info",
     .mode = S_IFREG | 0666,
     .show = show_target_info,
     .store = store_target_info},
    {.name = "user_report_data",
     .mode = S_IFREG | 0666,
     .show = show_report_data,
     .store = store_report_data},
    {0},
};
static const struct pseudo_entry g_root = PSEUDO_DIR("/", g_entries);

struct super *attestation_create(void)
{
    return pseudo_super("attestation", 0x61747374, &g_root);
}
