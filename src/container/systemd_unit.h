/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What of a configuration becomes properties of a systemd unit. Shared by cgroup_systemd.c and its
 * parts. */
#include "container/systemd_bus.h"
#include "oci/config.h"

/*
 * The resources by systemd's names. The files that the cgroup driver writes as well say the same
 * more exactly; systemd has to know them, or it takes them back when it next touches the unit.
 */
int systemd_resources_v1(struct systemd_bus *bus, struct systemd_call *call,
                         const struct oci_resources *r, struct error *err);
int systemd_resources_v2(struct systemd_bus *bus, struct systemd_call *call,
                         const struct oci_resources *r, struct error *err);
/* DevicePolicy and DeviceAllow; nothing when there are no rules. */
void systemd_devices(struct systemd_call *call, const struct oci_resources *r);
/* The annotations org.systemd.property.NAME, their values in GVariant's text form. */
int systemd_annotations(struct systemd_call *call, const struct oci_config *config,
                        struct error *err);

/* --- parts that stand alone --- */
/* "0-2,7" as a bit mask, lowest first; *mask is malloc'd. */
int systemd_cpu_mask(const char *list, unsigned char **mask, size_t *size, struct error *err);
/* Time per second of CPU time for a quota, rounded up to systemd's whole percents. */
uint64_t systemd_cpu_quota(int64_t quota, uint64_t period);
/* "a-b.slice" -> "/a.slice/a-b.slice", "-.slice" -> ""; malloc'd, NULL with err. */
char *systemd_expand_slice(const char *slice, struct error *err);
