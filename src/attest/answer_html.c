/* SPDX-License-Identifier: Apache-2.0 */
/* An answer as one page that needs nothing else: no script, no font, no address outside. */
#include <stdio.h>
#include <stdlib.h>

#include "attest/answer.h"
#include "attest/clock.h"
#include "base/hex.h"
#include "base/buffer.h"
#include "base/cleanup.h"

static const char g_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Attestation</title>\n<style>\n"
    ":root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}\n"
    "@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#ff7b72;--warn:#d29922}}\n"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}\n"
    ".verdict{border-left:.4rem solid;padding:.2rem .8rem;margin:1rem 0}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{opacity:.7}\n"
    "ol,ul{padding:0;margin:0;list-style:none}li{padding:.45rem 0;border-top:1px solid "
    "var(--line)}\n"
    "dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.25rem 1rem;margin:0}\n"
    "dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}\n"
    "code,dd.hex{font:.87rem/1.45 ui-monospace,monospace;overflow-wrap:anywhere}\n"
    ".checks li{padding-left:6rem;overflow-wrap:anywhere}\n"
    ".mark{display:inline-block;width:6rem;margin-left:-6rem;font-weight:600}\n"
    ".more{margin-top:.1rem;font-size:.93rem}\n"
    "@media(max-width:36rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}\n"
    "</style>\n";

/* Text of any origin. */
static void append_escaped(struct buffer *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        switch (text[i]) {
        case '<':
            buffer_append_text(out, "&lt;");
            break;
        case '>':
            buffer_append_text(out, "&gt;");
            break;
        case '&':
            buffer_append_text(out, "&amp;");
            break;
        case '"':
            buffer_append_text(out, "&quot;");
            break;
        default:
            buffer_append_char(out, text[i]);
        }
    }
}

static void append_text(struct buffer *out, const char *text)
{
    append_escaped(out, text, strlen(text));
}

static void append_row(struct buffer *out, const char *name, const char *value, bool hex)
{
    buffer_append_text(out, "<dt>");
    append_text(out, name);
    buffer_append_text(out, hex ? "</dt><dd class=\"hex\">" : "</dt><dd>");
    append_text(out, value);
    buffer_append_text(out, "</dd>\n");
}

static const char *outcome_class(enum attest_outcome outcome)
{
    static const char *const classes[] = {
        [ATTEST_NOT_CHECKED] = "dim",
        [ATTEST_PASSED] = "good",
        [ATTEST_TOLERATED] = "warn",
        [ATTEST_FAILED] = "bad",
    };

    return classes[outcome];
}

static void append_checks(struct buffer *out, const struct attest_answer *a)
{
    struct attest_check check;

    buffer_append_text(out, "<h2>Checks</h2>\n<ul class=\"checks\">\n");
    for (size_t i = 0; attest_answer_check(a, i, &check); i++) {
        if (check.outcome == ATTEST_NOT_CHECKED)
            continue;
        buffer_append_format(out, "<li><span class=\"mark %s\">%s</span>",
                             outcome_class(check.outcome), attest_outcome_name(check.outcome));
        append_text(out, check.what);
        buffer_append_text(out, " <code class=\"dim\">");
        append_text(out, check.name);
        buffer_append_text(out, "</code>");
        if (check.detail) {
            buffer_append_text(out, "<div class=\"more\">");
            append_text(out, check.detail);
            buffer_append_text(out, "</div>");
        }
        if (check.remedy) {
            buffer_append_text(out, "<div class=\"more dim\">&rarr; ");
            append_text(out, check.remedy);
            buffer_append_text(out, "</div>");
        }
        buffer_append_text(out, "</li>\n");
    }
    buffer_append_text(out, "</ul>\n");
}

static void append_chain(struct buffer *out, const struct chain *chain)
{
    struct clock_text from, until;

    buffer_append_text(out, "<h2>Certificates, from the root</h2>\n<ol>\n");
    for (size_t i = chain->count; i > 0; i--) {
        const struct cert *cert = &chain->certs[i - 1];
        buffer_append_text(out, "<li>");
        append_escaped(out, (const char *)cert->common_name.data, cert->common_name.size);
        buffer_append_format(out, "<div class=\"dim\">%.10s to %.10s</div></li>\n",
                             clock_format(&from, cert->not_before),
                             clock_format(&until, cert->not_after));
    }
    buffer_append_text(out, "</ol>\n");
}

static void append_tcb(struct buffer *out, const struct attest_answer *a)
{
    struct attest_short item;
    char fmspc[13], text[64];
    struct clock_text when;

    buffer_append_text(out, "<h2>Platform</h2>\n<dl>\n");
    append_row(out, "FMSPC", hex_format(fmspc, a->pck.fmspc, 6), true);
    append_row(out, "TCB status", attest_tcb_status_name(attest_answer_tcb(a)), false);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)a->tcb.evaluation_number);
    append_row(out, "TCB evaluation", text, false);
    snprintf(text, sizeof(text), "%.10s", clock_format(&when, a->tcb.date));
    append_row(out, "TCB date", text, false);
    for (size_t i = 0; attest_answer_short(a, i, &item); i++) {
        buffer_append_text(out, "<dt>");
        append_text(out, item.part);
        buffer_append_format(out, "</dt><dd class=\"bad\">has %u, needs %u", item.has, item.needs);
        if (*item.from) {
            buffer_append_text(out, " <span class=\"dim\">(");
            append_text(out, item.from);
            buffer_append_text(out, ")</span>");
        }
        buffer_append_text(out, "</dd>\n");
    }
    buffer_append_text(out, "</dl>\n");
}

static void append_fields(struct buffer *out, const struct attest_answer *a)
{
    char text[2 * FIELD_SIZE_MAX + 1];
    bool any = false;

    for (size_t i = 0; i < g_field_count; i++) {
        const struct field *field = &g_fields[i];
        if (field->tee != a->tee || !attest_answer_field(a, field->name, NULL))
            continue;
        if (!any)
            buffer_append_text(out, "<h2>Measured identity</h2>\n<dl>\n");
        any = true;
        if (field->kind == FIELD_NUMBER)
            snprintf(text, sizeof(text), "%llu", (unsigned long long)field_number(field, a->body));
        else
            hex_format(text, a->body + field->offset, field->size);
        append_row(out, field->name, text, true);
    }
    if (any)
        buffer_append_text(out, "</dl>\n");
}

char *attest_answer_html(const struct attest_answer *a)
{
    cleanup_free char *summary = attest_answer_summary(a);
    bool accepted = a->verdict == ATTEST_ACCEPTED;
    struct buffer out = BUFFER_INIT;
    struct clock_text when;

    buffer_append_text(&out, g_head);
    buffer_append_format(&out, "<h1>%s %s</h1>\n<p class=\"dim\">version %u, judged as of %s</p>\n",
                         attest_tee_name(a->tee), a->tee == ATTEST_TEE_SNP ? "report" : "quote",
                         a->version, clock_format(&when, a->time));
    const char *class = a->simulated ? "warn" : "good";
    buffer_append_format(&out, "<p class=\"verdict %s\">", accepted ? class : "bad");
    append_text(&out, summary);
    buffer_append_text(&out, "</p>\n");
    if (accepted && !a->policy->rule_count)
        buffer_append_text(&out,
                           "<p class=\"warn\">The policy names no measurement, so this may be "
                           "anybody's program.</p>\n");
    append_checks(&out, a);
    if (a->checks[CHECK_TCB_LEVEL].outcome != ATTEST_NOT_CHECKED && a->tee != ATTEST_TEE_SNP)
        append_tcb(&out, a);
    append_fields(&out, a);
    if (a->chain)
        append_chain(&out, &a->chain->chain);
    buffer_append_text(&out, "</html>\n");
    return buffer_take(&out);
}
