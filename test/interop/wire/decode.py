"""The second decoder of the wire format, written from docs/protocol.md alone.

    python3 decode.py vectors FILE      each vector of a file in the form of test/vectors/wire.json: is its outcome ours?
    python3 decode.py serve             one job a line on stdin ({"linkId", "linkKeys", "datagrams", …}), its outcome on stdout

It refuses nothing but what the page refuses; exit status 1 says that an outcome differs.
"""

import json
import sys

from receiver import Receiver


def run(job):
    outcome = []
    keys = [bytes.fromhex(key) for key in job["linkKeys"]]
    receiver = Receiver(job["linkId"], keys, job.get("patienceMs", 1000), job.get("contentBytesMax", 1000000), outcome)
    times = job.get("timesMs") or [0] * len(job["datagrams"])
    for data, now in zip(job["datagrams"], times):
        receiver.tick(now)
        receiver.receive(bytes.fromhex(data), now)
    receiver.tick(job.get("endMs", 0))
    return outcome


def check_vectors(path):
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    differ = 0
    for vector in golden["vectors"]:
        ours = run({"linkId": golden["linkId"], "linkKeys": [golden["linkKey"]], **vector})
        if ours != vector["outcome"]:
            differ += 1
            print(f"{vector['name']}: we have\n  {json.dumps(ours)}\nthe vector says\n  {json.dumps(vector['outcome'])}")
    print(f"{len(golden['vectors'])} vectors, {differ} differ")
    return differ == 0


def serve():
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
    return True


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"] and len(sys.argv) == 3:
        sys.exit(0 if check_vectors(sys.argv[2]) else 1)
    if sys.argv[1:] == ["serve"]:
        sys.exit(0 if serve() else 1)
    print(__doc__, file=sys.stderr)
    sys.exit(2)
