/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as JSON values. Documents are a tenant's own, and bounded all the same: aliases multiply. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/engine.h"

enum { DEPTH_MAX = 64, NODES_MAX = 200000, FILE_MAX = 4 << 20 };

struct reader {
    yaml_document_t *document;
    unsigned nodes;
    struct error *err;
};

static json_t *convert(struct reader *r, int index, unsigned depth);

static json_t *convert_scalar(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const yes[] = {"true", "True", "TRUE"};
    static const char *const no[] = {"false", "False", "FALSE"};
    const char *text = (const char *)node->data.scalar.value;
    char *end;

    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_stringn(text, node->data.scalar.length);
    for (size_t i = 0; i < array_count(nulls); i++)
        if (strcmp(text, nulls[i]) == 0)
            return json_null();
    for (size_t i = 0; i < array_count(yes); i++)
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0)
            return json_boolean(text[0] == 't' || text[0] == 'T');
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0 && strspn(text, "+-0123456789") == strlen(text) &&
        (text[0] != '0' || text[1] == '\0'))
        return json_integer(number);
    return json_stringn(text, node->data.scalar.length);
}

static json_t *convert_mapping(struct reader *r, const yaml_node_t *node, unsigned depth)
{
    cleanup_json json_t *object = json_object();
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;

    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            error_set(r->err, "line %zu: a key that is no text", key->start_mark.line + 1);
            return NULL;
        }
        const char *name = (const char *)key->data.scalar.value;
        json_t *value = convert(r, pair->value, depth + 1);
        if (!value)
            return NULL;
        if (strcmp(name, "<<") == 0 && json_is_object(value)) {
            json_object_update_missing(object, value);
            json_decref(value);
        } else if (json_object_set_new(object, name, value) < 0) {
            error_set(r->err, "line %zu: a key that is not UTF-8", key->start_mark.line + 1);
            return NULL;
        }
    }
    return json_incref(object);
}

static json_t *convert(struct reader *r, int index, unsigned depth)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, index);

    if (!node || depth > DEPTH_MAX || ++r->nodes > NODES_MAX) {
        error_set(r->err, "nested too deeply, or too large");
        return NULL;
    }
    if (node->type == YAML_SCALAR_NODE) {
        json_t *scalar = convert_scalar(node);
        if (!scalar)
            error_set(r->err, "line %zu: not UTF-8", node->start_mark.line + 1);
        return scalar;
    }
    if (node->type == YAML_MAPPING_NODE)
        return convert_mapping(r, node, depth);
    cleanup_json json_t *list = json_array();
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++) {
        json_t *value = convert(r, *item, depth + 1);
        if (!value)
            return NULL;
        json_array_append_new(list, value);
    }
    return json_incref(list);
}

/* Before a document is loaded: libyaml takes time by the square of the depth. */
static int check_depth(const struct buffer *text, struct error *err)
{
    yaml_parser_t parser;
    unsigned depth = 0;
    int ret = yaml_parser_initialize(&parser) ? 0 : error_set(err, "no memory");

    if (ret < 0)
        return ret;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->data, text->size);
    for (yaml_event_type_t type = YAML_NO_EVENT; ret == 0 && type != YAML_STREAM_END_EVENT;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) /* read_documents() says what is wrong */
            break;
        type = event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
            depth++;
        if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth > DEPTH_MAX)
            ret = error_set(err, "line %zu: nested too deeply", event.start_mark.line + 1);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return ret;
}

static int read_documents(yaml_parser_t *parser, json_t *out, struct error *err)
{
    struct reader reader = {.err = err};
    for (;;) {
        yaml_document_t document;
        if (!yaml_parser_load(parser, &document))
            return error_set(err, "line %zu: %s", parser->problem_mark.line + 1,
                             parser->problem ? parser->problem : "not YAML");
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        reader.document = &document;
        json_t *value = root ? convert(&reader, 1, 0) : NULL;
        yaml_document_delete(&document);
        if (!root)
            return 0;
        if (!value)
            return -1;
        if (json_is_null(value))
            json_decref(value);
        else
            json_array_append_new(out, value);
    }
}

json_t *engine_yaml(const char *path, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_json json_t *out = json_array();
    yaml_parser_t parser;

    if (read_file_at(AT_FDCWD, path, &text, FILE_MAX, err) < 0)
        return NULL;
    int ret = check_depth(&text, err);
    if (ret == 0 && !yaml_parser_initialize(&parser))
        ret = error_set(err, "no memory");
    else if (ret == 0) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
        ret = read_documents(&parser, out, err);
        yaml_parser_delete(&parser);
    }
    if (ret < 0) {
        error_wrap(err, "%s", path);
        return NULL;
    }
    return json_incref(out);
}
