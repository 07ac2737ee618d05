/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/doctor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/node.h"

/* In the order in which they are to be mended. */
static const struct check {
    const char *name;
    void (*run)(const struct node *node, struct finding *out);
} g_checks[] = {
    {"installation", check_installation},
    {"processor", check_processor},
    {"features", check_features},
    {"enclave memory", check_epc},
    {"kernel", check_kernel},
    {"devices", check_devices},
    {"software SGX", check_software_sgx},
    {"cgroups", check_cgroups},
    {"packer", check_packer},
    {"signing key", check_key},
    {"image cache", check_cache},
    {"engines", check_engines},
    {"defences", check_defences},
    {"provisioning", check_provisioning},
    {"aesmd", check_aesmd},
    {"pccs", check_pccs},
};
enum { CHECKS = array_count(g_checks), FILE_MAX = 1 << 20 };

static const char *const g_words[] = {[DOCTOR_OK] = "ok",
                                      [DOCTOR_SKIPPED] = "skipped",
                                      [DOCTOR_WARNING] = "warning",
                                      [DOCTOR_FAULT] = "fault"};

void find(struct finding *out, enum severity severity, char *text, char *remedy)
{
    /* Some of it is what a service said. */
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    *out = (struct finding){severity, text, remedy};
}

char *node_file(const struct node *node, const char *path)
{
    return xasprintf("%s%s", node->root, path);
}

bool node_read(const struct node *node, const char *path, struct buffer *out)
{
    cleanup_free char *full = node_file(node, path);
    /* Whoever opens a FIFO waits for a writer otherwise. */
    cleanup_close int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           read_all(fd, out, FILE_MAX) == 0;
}

/*
 * RUNE_DOCTOR_CPU takes CPUID's place in tests: words like "GenuineIntel sgx sgx1 sgx2 flc kss
 * epc=96 device vdso".
 */
static void pretend(struct sgx_info *s, const char *words)
{
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {{"sgx", &s->cpu}, {"sgx1", &s->sgx1},     {"sgx2", &s->sgx2}, {"flc", &s->flc},
                 {"kss", &s->kss}, {"device", &s->device}, {"vdso", &s->vdso}};
    cleanup_free char *copy = xstrdup(words);
    char *next = copy;

    memset(s, 0, sizeof(*s));
    for (char *word = strsep(&next, " "); word; word = strsep(&next, " ")) {
        unsigned long long mib;
        for (size_t i = 0; i < array_count(flags); i++)
            if (strcmp(word, flags[i].word) == 0)
                *flags[i].flag = true;
        if (sscanf(word, "epc=%llu", &mib) == 1) {
            s->section_count = 1;
            s->sections[0].size = mib << 20;
        } else if (word[0] >= 'A' && word[0] <= 'Z') {
            snprintf(s->vendor, sizeof(s->vendor), "%s", word);
        }
    }
}

static void look(struct node *node, const char *root)
{
    const char *words = secure_getenv("RUNE_DOCTOR_CPU");

    *node = (struct node){.root = root};
    if (words)
        pretend(&node->sgx, words);
    else
        sgx_info_get(&node->sgx);
    node->hardware = node->sgx.cpu && node->sgx.sgx1 && node->sgx.flc;
    node->emulator = node_allows_emulator(NULL) == 0;
}

/* What can be done here, whatever is wrong. */
static const char *what_works(const struct node *node, const struct finding *findings)
{
    bool packed = true;

    for (size_t i = 0; i < CHECKS; i++)
        if (findings[i].severity == DOCTOR_FAULT && g_checks[i].run != check_processor)
            packed = false;
    if (node->hardware)
        return packed ? "ordinary and enclave containers" : "ordinary containers";
    return packed && node->emulator
               ? "ordinary containers; enclave containers in the software SGX, for development"
               : "ordinary containers; conversion, signing and verification (rune-image, "
                 "sgx-tools)";
}

/*
 * On a machine without SGX whose owner allows the software SGX the processor is no fault: that is
 * what the machine is for.
 */
static void forgive(const struct node *node, struct finding *findings)
{
    for (size_t i = 0; i < CHECKS; i++)
        if (g_checks[i].run == check_processor && node->emulator && !node->hardware &&
            findings[i].severity == DOCTOR_FAULT)
            findings[i].severity = DOCTOR_WARNING;
}

static size_t first_worst(const struct finding *findings)
{
    size_t worst = 0;

    for (size_t i = 1; i < CHECKS; i++)
        if (findings[i].severity > findings[worst].severity)
            worst = i;
    return worst;
}

static void print_json(const struct finding *findings, size_t worst, const char *works)
{
    cleanup_json json_t *out = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < CHECKS; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "check", g_checks[i].name,
                                              "severity", g_words[findings[i].severity], "text",
                                              findings[i].text, "remedy", findings[i].remedy));
    json_object_set_new(out, "severity", json_string(g_words[findings[worst].severity]));
    json_object_set_new(out, "works", json_string(works));
    if (findings[worst].severity >= DOCTOR_WARNING)
        json_object_set_new(out, "first", json_string(g_checks[worst].name));
    json_object_set_new(out, "checks", list);
    cleanup_free char *text = json_text(out, JSON_INDENT(2));
    puts(text);
}

static void print_lines(const struct finding *findings, size_t worst, const char *works)
{
    if (findings[worst].severity < DOCTOR_WARNING)
        puts("Nothing is wrong.");
    else
        printf("%s: %s.\nTo do: %s.\n", g_checks[worst].name, findings[worst].text,
               findings[worst].remedy);
    printf("What works: %s.\n\n", works);
    for (size_t i = 0; i < CHECKS; i++) {
        const struct finding *f = &findings[i];
        printf("%-8s %-15s %s\n", g_words[f->severity], g_checks[i].name, f->text);
        if (f->remedy && f->severity >= DOCTOR_WARNING)
            printf("%-8s %-15s to do: %s\n", "", "", f->remedy);
    }
}

/* rune-doctor ROOT [json] */
int main(int argc, char **argv)
{
    struct finding findings[CHECKS];
    struct node node;

    if (argc < 2 || argc > 3)
        error_fatal_set("this program is started by rune doctor, not by hand");
    look(&node, argv[1]);
    for (size_t i = 0; i < CHECKS; i++)
        g_checks[i].run(&node, &findings[i]);
    forgive(&node, findings);
    size_t worst = first_worst(findings);
    (argc == 3 ? print_json : print_lines)(findings, worst, what_works(&node, findings));
    /* 0, 2 with a warning, 3 with a fault; 1 is a failure of the program itself */
    int status = findings[worst].severity >= DOCTOR_WARNING ? (int)findings[worst].severity : 0;
    for (size_t i = 0; i < CHECKS; i++) {
        free(findings[i].text);
        free(findings[i].remedy);
    }
    return fflush(stdout) == 0 ? status : 1;
}
