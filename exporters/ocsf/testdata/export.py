#!/usr/bin/env python3
"""Makes schema-1.8.0.json: the parts of the published OCSF schema that the exporter's tests check against.

    git clone https://github.com/ocsf/ocsf-schema && git -C ocsf-schema checkout 3dcb905d   # release 1.8.0
    python3 export.py ocsf-schema > schema-1.8.0.json

For each class and object: its attributes with type, array, requirement, profile, sibling and enum, and the object's constraints.
"""
import json, os, sys

root = sys.argv[1]
CLASSES = {"api_activity": "application", "application_lifecycle": "application", "application_error": "application",
           "entity_management": "iam", "detection_finding": "findings"}
OBJECTS = """actor analytic ai_model api application attack evidences fingerprint finding_info http_response idp managed_entity
message_context metadata mitigation network_endpoint organization policy process product related_event remediation request resource_details response
service session span sub_technique tactic technique trace user file observable authorization group""".split()


def load(path):
    with open(os.path.join(root, path)) as f:
        return json.load(f)


dictionary = load("dictionary.json")["attributes"]
categories = load("categories.json")["attributes"]
events, objects = {}, {}
for folder, into in (("events", events), ("objects", objects)):
    for base, _, names in os.walk(os.path.join(root, folder)):
        for n in names:
            if n.endswith(".json"):
                d = load(os.path.relpath(os.path.join(base, n), root))
                into[d["name"]] = d


def attributes(d, kinds):
    out = attributes(kinds[d["extends"]], kinds) if d.get("extends") else {}
    own = dict(d.get("attributes", {}))
    for inc in [own.pop("$include", [])]:
        for path in inc if isinstance(inc, list) else [inc]:
            p = load(path)
            for k, v in p["attributes"].items():
                merge(out, k, dict(v, profile=p["name"]))
    for k, v in own.items():
        merge(out, k, v)
    return out


def merge(out, k, v):
    old = out.get(k, {})
    enum = dict(old.get("enum", {}), **v.get("enum", {}))
    out[k] = dict(old, **v)
    if enum:
        out[k]["enum"] = enum


def compact(attrs):
    out = {}
    for k, v in sorted(attrs.items()):
        d = dictionary.get(k, {})
        a = {"type": v.get("type") or d.get("type")}
        if d.get("object_type") or a["type"] == "object_t":
            a["type"] = d.get("object_type") or v.get("object_type")
        elif a["type"] and a["type"] not in BASIC and a["type"] in objects:
            pass
        if d.get("is_array"):
            a["array"] = True
        if v.get("requirement") == "required":
            a["required"] = True
        if v.get("profile"):
            a["profile"] = v["profile"]
        enum = dict(d.get("enum", {}), **v.get("enum", {}))
        if enum:
            a["enum"] = {i: e["caption"] for i, e in enum.items()}
        if d.get("sibling"):
            a["sibling"] = d["sibling"]
        out[k] = a
    return out


BASIC = load("dictionary.json")["types"]["attributes"]
result = {"source": "https://github.com/ocsf/ocsf-schema commit 3dcb905d26523ce4d5d0ba3c28c8507e2c859407, Apache-2.0", "version": load("version.json")["version"],
          "types": {k: {x: v[x] for x in ("type", "regex", "range", "max_len") if x in v} for k, v in BASIC.items()}, "classes": {}, "objects": {}}
for name, category in CLASSES.items():
    d = events[name]
    cat = categories[category]
    result["classes"][name] = {"class_uid": cat["uid"] * 1000 + d["uid"], "category_uid": cat["uid"], "caption": d["caption"], "category": cat["caption"],
                               "constraints": d.get("constraints", {}), "attributes": compact(attributes(d, events))}
for name in OBJECTS:
    d = objects[name]
    result["objects"][name] = {"constraints": d.get("constraints", {}), "attributes": compact(attributes(d, objects))}
json.dump(result, sys.stdout, indent=None, separators=(",", ":"), sort_keys=True)
print()
