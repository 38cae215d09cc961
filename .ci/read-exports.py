"""Reads what duban exported with pm4py, and compares what both count. Used by .ci/pm4py."""

import argparse
import json
import sys

import pandas
import pm4py


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def same(what, ours, theirs):
    print(f"{what}: duban {ours}, pm4py {theirs}")
    if ours != theirs:
        sys.exit(f"{what} differ")


def check_xes(base, streams):
    """Cases, events, and a process: what is directly followed by what begins and ends as often as there are cases."""
    written = read(f"{base}.xes.json")
    log = pm4py.read_xes(f"{base}.xes", return_legacy_log_object=False)
    same("XES cases", written["cases"], log["case:concept:name"].nunique())
    same("XES events", written["events"], len(log))
    follows, starts, ends = pm4py.discover_dfg(log)
    same("XES cases that begin and end", (written["cases"],) * 2, (sum(starts.values()), sum(ends.values())))
    same("XES steps from one event to the next", written["events"] - written["cases"], sum(follows.values()))
    conformance = read(f"{base}.conformance.json")
    if not conformance["ok"]:
        sys.exit("the table of deviations does not add up")
    foreign = [row["histories"] for row in conformance["patterns"] if row["origin"].startswith("imported/")]
    others = conformance["histories"] - sum(foreign)
    same("histories in the table of deviations", sum(foreign) if streams == "imported" else others, written["cases"])
    return log


def check_ocel(base):
    """Events, objects, and that no event or object is about something that is not there."""
    written = read(f"{base}.ocel.json")
    ocel = pm4py.read_ocel2_json(f"{base}.ocel")
    same("OCEL events", written["events"], len(ocel.events))
    same("OCEL objects", written["objects"], len(ocel.objects))
    objects = set(ocel.objects["ocel:oid"])
    for related in (set(ocel.relations["ocel:oid"]), set(ocel.o2o["ocel:oid"]), set(ocel.o2o["ocel:oid_2"])):
        same("OCEL objects that relations name and nobody declares", 0, len(related - objects))
    same("OCEL events that are about nothing", 0, len(set(ocel.events["ocel:eid"]) - set(ocel.relations["ocel:eid"])))
    print("OCEL objects by type:", ocel.objects["ocel:type"].value_counts().to_dict())


def check_source(log, path):
    """Every row of the source is an event of its case: the same activity by the same person at the same moment, as often."""
    columns = ["case", "activity", "resource", "at"]
    rows = pandas.read_csv(path, dtype=str, keep_default_na=False)
    rows = rows[["case:concept:name", "concept:name", "org:resource", "time:timestamp"]].set_axis(columns, axis=1)
    events = log[["case:case", "concept:name", "org:resource", "time:timestamp"]].set_axis(columns, axis=1)
    both = []
    for table in (rows, events):
        table["at"] = pandas.to_datetime(table["at"], utc=True).map(lambda at: at.isoformat())
        both.append(sorted(map(tuple, table.astype(str).to_numpy())))
    same("rows of the source that are events", len(both[0]), len(both[1]))
    if both[0] != both[1]:
        sys.exit("an event is not what its row says")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("base")
    arguments.add_argument("streams", choices=["ours", "imported"])
    arguments.add_argument("--csv")
    arguments.add_argument("--imports", nargs=2)
    asked = arguments.parse_args()
    log = check_xes(asked.base, asked.streams)
    check_ocel(asked.base)
    if asked.csv:
        check_source(log, asked.csv)
    if asked.imports:
        first, second = map(read, asked.imports)
        same("rows that were imported", first["added"], len(log))
        same("histories that were imported", first["histories"], log["case:concept:name"].nunique())
        if (second["added"], second["known"]) != (0, first["read"]):
            sys.exit("a second import added something")


main()
