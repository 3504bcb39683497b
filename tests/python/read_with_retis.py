#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Read an event file with the reader of Retis and print what it found as one JSON object.

Usage: read_with_retis.py FILE

Needs the package `retis` of PyPI. Keys of the object:
  sorted    whether the reader takes the file for a sorted one
  events    how many events it found
  series    the lengths of the series in the order of the file; null for an unsorted file
  packets   how many different packets the events belong to
  sections  how many events have each section that the reader knows

The exit code is 0 when all of the file could be read.
"""

import collections
import json
import sys

import retis


def packet(event):
    """The packet that an event belongs to, or None."""
    if "skb-tracking" not in event:
        return None
    tracking = event["skb-tracking"]
    return tracking.timestamp, tracking.orig_head


def check_series(series):
    """Raise unless the events of a series belong to one packet, are in order and are numbered from 0."""
    packets = {packet(event) for event in series}
    if len(packets) != 1:
        raise ValueError(f"a series of several packets: {packets}")
    times = [event["common"].timestamp for event in series]
    if times != sorted(times):
        raise ValueError(f"a series out of order: {times}")
    if packets == {None}:
        if len(series) != 1:
            raise ValueError("a series of events without a packet")
        return
    numbers = [event["tracking"].idx for event in series]
    if numbers != list(range(len(series))):
        raise ValueError(f"a series with the numbers {numbers}")


def main():
    """Read the file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    file = retis.EventFile(sys.argv[1])
    lengths = None
    if file.sorted():
        all_series = [list(series) for series in file.series()]
        for series in all_series:
            check_series(series)
        lengths = [len(series) for series in all_series]
        events = [event for series in all_series for event in series]
    else:
        events = list(file.events())
    sections = collections.Counter(name for event in events for name in event.sections())
    found = {
        "sorted": file.sorted(),
        "events": len(events),
        "series": lengths,
        "packets": len({packet(event) for event in events} - {None}),
        "sections": dict(sorted(sections.items())),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
