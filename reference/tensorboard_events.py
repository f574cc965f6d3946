"""What TensorBoard itself makes of an event file.

    python reference/tensorboard_events.py read FOLDER     # its own reader: {"tag": [[step, value], ...]} as JSON
    python reference/tensorboard_events.py golden          # its own writer: the bytes of tfevents.hex

Needs the package tensorboard; the golden bytes come from 2.21.0.
"""

import json
import sys
import tempfile
from pathlib import Path


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # 0 keeps every value; the default keeps a sample.
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0})
    accumulator.Reload()
    scalars = {
        tag: [[event.step, event.value] for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
    print(json.dumps(scalars))


def golden():
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    values = [Summary.Value(tag="a/b", simple_value=0.5), Summary.Value(tag="c", simple_value=0)]
    events = [
        Event(wall_time=1.5e9, file_version="brain.Event:2"),
        Event(wall_time=1.5e9 + 3, step=3, summary=Summary(value=values)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        with open(path, "wb") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
            writer.flush()
        print(path.read_bytes().hex())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", folder]:
            read(folder)
        case ["golden"]:
            golden()
        case _:
            sys.exit(__doc__)
