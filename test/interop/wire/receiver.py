"""What a receiver does, docs/protocol.md section 8: runs, blocks, parts, order, gaps and the late pieces that close them."""

import datagram as wire
from block import Malformed, decompress, read_envelope, restore
from content import read_content, read_heartbeat
from datagram import Refused


SYMBOL_WAIT_MS, PART_WAIT_MS = 60_000, 600_000


class Block:
    """The symbols of a block that is not complete."""

    def __init__(self, shape, touched):
        self.shape, self.touched, self.symbols = shape, touched, {}


class Progress:
    """How far the blocks of one kind have come: the highest finished, and what that was a patience and more ago."""

    def __init__(self):
        self.highest, self.mark, self.mark_ms, self.passed = -1, -1, 0, -1

    def tick(self, now, patience_ms):
        if now - self.mark_ms >= patience_ms:
            self.passed, self.mark, self.mark_ms = self.mark, self.highest, now


class Stream:
    """The order of one stream: what is next, what waits behind a hole, what a heartbeat said was sent, and the gaps."""

    def __init__(self):
        self.next, self.held, self.gaps = 0, [], []
        self.tail, self.tail_ms = 0, 0
        # What is below was sent before we listened; None: we do not know of anything yet.
        self.since = None


class Receiver:
    def __init__(self, link_id, link_keys, patience_ms, content_bytes_max, outcome):
        self.link_id, self.link_tag = link_id, wire.link_tag(link_id)
        self.keys = {wire.key_id(key): key for key in link_keys}
        self.patience_ms, self.content_bytes_max, self.outcome = patience_ms, content_bytes_max, outcome
        self.journal, self.epoch, self.retired = None, None, set()
        self.streams = {}
        self.since_known = False
        self._forget_blocks()

    def _forget_blocks(self):
        self.blocks, self.finished, self.parts = {}, set(), {}
        self.heartbeat_block = self.sections_block = 0
        self.progress = {kind: Progress() for kind in (wire.MESSAGES, wire.HEARTBEAT)}

    def receive(self, data, now):
        try:
            self._receive(data, now)
        except Refused as refused:
            self.outcome.append({"refused": refused.reason})

    def _receive(self, data, now):
        header = wire.read_header(data)
        if header.link_tag != self.link_tag:
            raise Refused("link")
        if (header.key_id not in self.keys) if self.keys else header.key_id != 0:
            raise Refused("key")
        if header.journal_id in self.retired:
            raise Refused("journal-retired")
        if header.journal_id == self.journal and header.epoch < self.epoch:
            raise Refused("epoch-old")
        number = (header.kind, header.block)
        same_run = (header.journal_id, header.epoch) == (self.journal, self.epoch)
        if same_run and number in self.finished:
            raise Refused("surplus")
        key = self.keys.get(header.key_id)
        if key is not None:
            key = wire.epoch_key(key, self.link_id, header.journal_id, header.epoch)
        symbol = wire.open_symbol(data, header, key)
        self._follow(header)
        shape = (header.stream, header.k, header.r, len(symbol))
        block = self.blocks.setdefault(number, Block(shape, now))
        if block.shape != shape:
            raise Refused("symbol-mismatch")
        if header.symbol in block.symbols:
            raise Refused("surplus")
        block.symbols[header.symbol] = symbol
        block.touched = now
        if len(block.symbols) == header.k:
            del self.blocks[number]
            self.finished.add(number)
            progress = self.progress[header.kind]
            progress.highest = max(progress.highest, header.block)
            self._complete(header, block.symbols, now)

    def _follow(self, header):
        if header.journal_id != self.journal:
            for number, stream in self.streams.items():
                while stream.held:
                    self._give_up(number, stream, stream.held[0]["first"])
                self._give_up(number, stream, stream.tail)
            if self.journal is not None:
                self.retired.add(self.journal)
            self.since_known = self.journal is not None
            self.journal, self.epoch, self.streams = header.journal_id, header.epoch, {}
            self._forget_blocks()
        elif header.epoch > self.epoch:
            self.epoch = header.epoch
            self._forget_blocks()

    def _complete(self, header, symbols, now):
        missing = sum(number not in symbols for number in range(header.k))
        if missing:
            self.outcome.append({"restored": missing})
        heartbeat = header.kind == wire.HEARTBEAT
        if heartbeat and header.block < self.sections_block:
            raise Refused("surplus")
        try:
            envelope = read_envelope(restore(header.k, symbols))
            if heartbeat:
                self._heartbeat(header.block, envelope, now)
            else:
                self._messages(header.stream, envelope, now)
        except Malformed:
            raise Refused("heartbeat-malformed" if heartbeat else "block-malformed") from None

    def _heartbeat(self, block, envelope, now):
        if envelope[:5] != (False, 0, 1, 0, 1):
            raise Malformed("envelope")
        heartbeat = read_heartbeat(envelope.piece)
        late = block < self.heartbeat_block
        if late and not heartbeat["sections"]:
            raise Refused("surplus")
        if heartbeat["sections"]:
            self.sections_block = block
        if late:
            self.outcome.append({"heartbeat": heartbeat})
            return
        self.heartbeat_block = block
        for entry in heartbeat["streams"]:
            stream = self.streams.setdefault(entry["stream"], Stream())
            if stream.tail <= stream.next < entry["sent"]:
                stream.tail, stream.tail_ms = entry["sent"], now
            if not self.since_known:
                _note_since(stream, entry["sent"])
        self.since_known = True
        self.outcome.append({"heartbeat": heartbeat})

    def _messages(self, number, envelope, now):
        stream = self.streams.setdefault(number, Stream())
        if not self.since_known or stream.since is not None:
            _note_since(stream, envelope.first)
        first, end = envelope.first, envelope.first + envelope.count
        if end <= stream.next and not _overlap(stream, first, end):
            raise Refused("sequence-delivered")
        content = self._join(number, envelope, now)
        if content is None:
            return
        if envelope.compressed:
            content = decompress(content, self.content_bytes_max)
        try:
            frames = read_content(content, envelope.count)
        except Malformed:
            frames = "malformed"
        recovered = _overlap(stream, first, end)
        for start, stop in recovered:
            stream.gaps = [piece for gap in stream.gaps for piece in ((gap[0], min(start, gap[1])), (max(stop, gap[0]), gap[1])) if piece[0] < piece[1]]
            self.outcome.append({"stream": number, "recovered": {"first": start, "end": stop}})
        if not self._order(number, stream, envelope, frames, now) and not recovered:
            raise Refused("sequence-delivered")

    def _join(self, number, envelope, now):
        """The content's bytes once all its parts are here."""
        if envelope.content_bytes > self.content_bytes_max:
            raise Malformed("content bytes")
        if envelope.parts == 1:
            return envelope.piece
        shared = envelope._replace(part=0, piece=b"")
        key = (number, envelope.first)
        known, parts, _ = self.parts.get(key, (shared, {}, now))
        if known != shared:
            parts = {}  # sent again, and cut otherwise: begin anew
        if envelope.part in parts:
            raise Refused("sequence-delivered")
        parts[envelope.part] = envelope.piece
        self.parts[key] = (shared, parts, now)
        if sum(map(len, parts.values())) > envelope.content_bytes:
            del self.parts[key]
            raise Malformed("parts that are more than the content")
        if len(parts) < envelope.parts:
            return None
        del self.parts[number, envelope.first]
        content = b"".join(parts[part] for part in range(envelope.parts))
        if len(content) != envelope.content_bytes:
            raise Malformed("content bytes of all parts")
        return content

    def _order(self, number, stream, envelope, frames, now):
        """False when every sequence is settled, or waits already."""
        if envelope.first + envelope.count <= stream.next:
            return False
        same = [held for held in stream.held if held["first"] == envelope.first]
        if same and same[0]["count"] >= envelope.count:
            return False
        stream.held = [held for held in stream.held if held not in same]
        stream.held.append({"first": envelope.first, "count": envelope.count, "frames": frames, "now": now})
        stream.held.sort(key=lambda held: held["first"])
        self._deliver(number, stream)
        return True

    def _deliver(self, number, stream):
        while stream.held and stream.held[0]["first"] <= stream.next:
            held = stream.held.pop(0)
            first, count = held["first"], held["count"]
            if first + count <= stream.next:
                continue
            outcome = {"stream": number, "first": first, "count": count, "frames": held["frames"]}
            if first < stream.next:
                outcome["skip"] = stream.next - first
            stream.next = first + count
            self.outcome.append(outcome)

    def _give_up(self, number, stream, end):
        for stop in (min(end, stream.since or 0), end):
            if stop > stream.next:
                stream.gaps.append((stream.next, stop))
                self.outcome.append({"stream": number, "gap": {"first": stream.next, "count": stop - stream.next}})
                stream.next = stop
        self._deliver(number, stream)

    def tick(self, now):
        """Gives up what has waited too long."""
        for progress in self.progress.values():
            progress.tick(now, SYMBOL_WAIT_MS)
        for number in [number for number, block in self.blocks.items() if self._is_passed(number, block, now)]:
            del self.blocks[number]
            self.finished.add(number)
            self.outcome.append({"refused": "block-evicted"})
        for number, stream in self.streams.items():
            while stream.held and now - stream.held[0]["now"] >= self.patience_ms:
                self._give_up(number, stream, stream.held[0]["first"])
            if stream.tail > stream.next and now - stream.tail_ms >= self.patience_ms:
                self._give_up(number, stream, min([stream.tail] + [held["first"] for held in stream.held]))
            self._give_up_parts(number, stream, now)

    def _is_passed(self, number, block, now):
        kind, block_number = number
        return block_number <= self.progress[kind].passed and now - block.touched >= SYMBOL_WAIT_MS

    def _give_up_parts(self, number, stream, now):
        """Parts that hold nothing but settled sequences go without a word; those whose turn is to come stay."""
        for key, (shared, _, touched) in [*self.parts.items()]:
            first, end = shared.first, shared.first + shared.count
            late = bool(_overlap(stream, first, end))
            if key[0] != number or end > stream.next or (late and now - touched <= PART_WAIT_MS):
                continue
            del self.parts[key]
            if late:
                self.outcome.append({"refused": "part-evicted"})


def _note_since(stream, sequence):
    stream.since = sequence if stream.since is None else min(stream.since, sequence)


def _overlap(stream, first, end):
    """What of the open gaps the sequences from first to end (excluded) are."""
    ranges = [(max(first, start), min(end, stop)) for start, stop in stream.gaps]
    return [(start, stop) for start, stop in ranges if start < stop]
