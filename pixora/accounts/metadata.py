"""Free JSON objects of a user: `metadata`, the user's own, and `app_metadata`, the administrators'.

A change is a JSON Merge Patch (RFC 7396). MongoDB merges it into the object stored at that moment, in the atomic
update that changes the rest of the profile, so parallel changes of different names are all kept at the first attempt.

MongoDB cannot compute how long an object is as JSON. Beside each object the document therefore has an upper bound of
its length (`metadata_size`): a merged object is never longer than both its parts together. Where the bound is over the
limit, `merging` does not match; then `merged` computes the object from what was read, with its exact length, and its
update matches if the profile is still the one that was read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pixora.accounts import updates
from pixora.database.client import Document
from pixora.errors import ValidationFailed
from pixora.web.metadata import LIMIT, NAMES, TOO_LARGE, merge, size, sized


def merging(fields: Mapping[str, Any], now: datetime) -> tuple[list[Document], Document]:
    """Return the stages of an update that sets fields and merges metadata, and the condition under which it may.

    Of `NAMES`, `fields` has the patches, or None to remove the object.

    Raises:
        ValidationFailed: a patch alone is too large.

    """
    plain = {name: value for name, value in fields.items() if name not in NAMES}
    stages, conditions = [], []
    for name, patch in fields.items():
        if name not in NAMES:
            continue
        if patch is None:
            plain |= {name: None, f"{name}_size": None}
            continue
        added = size(merge({}, patch))
        if added > LIMIT:  # so the merged object is, too
            raise ValidationFailed({name: [TOO_LARGE]})
        bound = {"$add": [{"$ifNull": [f"${name}_size", 0]}, added]}
        stages.append({"$set": {name: _merge_expression(f"${name}", patch), f"{name}_size": bound}})
        conditions.append({"$or": [{name: {"$exists": False}}, {f"{name}_size": {"$lte": LIMIT - added}}]})
    return [*stages, updates.set_fields(plain, now)], {"$and": conditions} if conditions else {}


def merged(user: Mapping[str, Any], fields: Mapping[str, Any], now: datetime) -> tuple[list[Document], Document]:
    """Return what `merging` does, computed from the profile that was read.

    Raises:
        ValidationFailed: A merged object is too large.

    """
    changed = dict(fields)
    for name in NAMES:
        if (patch := fields.get(name)) is not None:
            changed |= sized(name, merge(user.get(name), patch))
        elif name in fields:
            changed[f"{name}_size"] = None
    return [updates.set_fields(changed, now)], {"updated_at": user["updated_at"]}


def _merge_expression(target: str, patch: Mapping[str, Any]) -> Document:
    """Return MongoDB's expression to merge a patch, whose names have neither `$` nor a dot, into the field `target`."""
    kept: Document = {"$cond": [{"$eq": [{"$type": target}, "object"]}, target, {"$literal": {}}]}
    if removed := [name for name, value in patch.items() if value is None]:
        stays = {"$not": [{"$in": ["$$this.k", {"$literal": removed}]}]}
        kept = {"$arrayToObject": {"$filter": {"input": {"$objectToArray": kept}, "cond": stays}}}
    changed = {
        name: _merge_expression(f"{target}.{name}", value) if isinstance(value, dict) else {"$literal": value}
        for name, value in patch.items()
        if value is not None
    }
    return {"$mergeObjects": [kept, changed]}
