"""Contents and heartbeats of docs/protocol.md, sections 6 and 7: frames, properties, skips, and what a sender says of itself."""

from block import Malformed

SKIP_REASONS = {1: "expired", 2: "conflated", 3: "overflow", 4: "void", 5: "corrupt"}
SECTION_TYPES = ["link", "source", "path"]
SECTION_STATES = ["none", "connecting", "connected", "down"]
NUMBER_MAX = 2**53 - 1


class Reader:
    """A cursor over bytes that refuses to read past their end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def done(self):
        return self.at == len(self.data)

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Malformed("cut")
        self.at += count
        return self.data[self.at - count : self.at]

    def unsigned(self, count):
        return int.from_bytes(self.take(count), "big")

    def number(self):
        value = self.unsigned(8)
        if value > NUMBER_MAX:
            raise Malformed("a number above 2^53 - 1")
        return value

    def varint(self):
        value = 0
        for index in range(8):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if index and byte == 0:
                    raise Malformed("varint not in its shortest form")
                if value > NUMBER_MAX:
                    raise Malformed("varint above 2^53 - 1")
                return value
        raise Malformed("varint longer than 8 bytes")

    def zigzag(self):
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value // 2) - 1

    def text(self):
        try:
            return self.take(self.varint()).decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None


def _read_properties(data):
    reader, before, properties = Reader(data), 0, {}
    while not reader.done():
        identifier = reader.unsigned(1)
        if identifier < before or (identifier == before and identifier != 0x26):
            raise Malformed("property order")
        before = identifier
        if identifier == 0x01:
            properties["payloadFormat"] = reader.unsigned(1)
            if properties["payloadFormat"] > 1:
                raise Malformed("payload format")
        elif identifier == 0x02:
            properties["messageExpirySeconds"] = reader.unsigned(4)
        elif identifier == 0x03:
            properties["contentType"] = reader.text()
        elif identifier == 0x26:
            properties.setdefault("userProperties", []).append([reader.text(), reader.text()])
        else:
            raise Malformed("unknown property")
    return properties


def _check_topic(topic):
    if not topic or len(topic.encode()) > 65535 or any(sign in topic for sign in "+#\0"):
        raise Malformed("topic")


def read_content(content, count):
    reader, topics, frames, covered, accepted = Reader(content), [], [], 0, 0
    while not reader.done():
        head = reader.unsigned(1)
        if head == 0x40:
            skipped = reader.varint()
            reason = SKIP_REASONS.get(reader.unsigned(1))
            if skipped == 0 or reason is None:
                raise Malformed("skip")
            covered += skipped
            frames.append({"type": "skip", "count": skipped, "reason": reason})
            continue
        if head & 0xF0 or head & 3 == 3:
            raise Malformed("head byte")
        index = reader.varint()
        if index == len(topics):
            topics.append(reader.text())
            _check_topic(topics[index])
        elif index > len(topics):
            raise Malformed("topic index")
        accepted += reader.zigzag()
        if abs(accepted) > NUMBER_MAX:
            raise Malformed("accepted beyond 2^53 - 1")
        frame = {"topic": topics[index], "qos": head & 3, "retain": bool(head & 4), "acceptedMs": accepted}
        if head & 8:
            data = reader.take(reader.varint())
            if not data:
                raise Malformed("no properties")
            frame["properties"] = _read_properties(data)
        frame["payload"] = reader.take(reader.varint()).hex()
        covered += 1
        frames.append(frame)
    if covered != count:
        raise Malformed("count")
    return frames


def read_heartbeat(content):
    reader = Reader(content)
    heartbeat = {"clockMs": reader.number(), "uptimeMs": reader.number(), "intervalMs": reader.unsigned(4)}
    flags = reader.unsigned(1)
    if flags > 1:
        raise Malformed("flags")
    heartbeat["stopping"] = flags == 1
    heartbeat["streams"] = _read_streams(reader)
    heartbeat["sections"] = [_read_section(reader) for _ in range(reader.varint())]
    if not reader.done():
        raise Malformed("bytes behind the last section")
    return heartbeat


def _read_streams(reader):
    streams = []
    for _ in range(reader.varint()):
        stream = {"stream": reader.unsigned(1)}
        for field in ("epochFirst", "next", "sent", "oldest"):
            stream[field] = reader.number()
        if stream["stream"] > 15 or max(stream["epochFirst"], stream["sent"], stream["oldest"]) > stream["next"]:
            raise Malformed("stream")
        streams.append(stream)
    if len({stream["stream"] for stream in streams}) != len(streams):
        raise Malformed("a stream twice")
    return streams


def _read_section(reader):
    kind, name, state = reader.unsigned(1), reader.text(), reader.unsigned(1)
    if kind >= len(SECTION_TYPES) or state >= len(SECTION_STATES):
        raise Malformed("section")
    counters = {}
    for _ in range(reader.varint()):
        counter = reader.text()
        if counter in counters:
            raise Malformed("a counter twice")
        counters[counter] = reader.varint()
    return {"type": SECTION_TYPES[kind], "name": name, "state": SECTION_STATES[state], "counters": counters}
