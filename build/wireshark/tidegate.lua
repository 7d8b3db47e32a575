-- Tidegate's wire format, version 1 (docs/protocol.md), for Wireshark and tshark 4: copy this file to the folder "Personal Lua
-- Plugins" (Help, About Wireshark, Folders), or give it to tshark with -X lua_script:tidegate.lua.
--
-- Dissects UDP by what datagrams look like, and everything on the port of the preference "tidegate.port"; on TCP the records that
-- carry datagrams there. With the preferences link id and key file it opens them: Wireshark has no AES-GCM for Lua, so this file
-- brings its own, in plain Lua: a few milliseconds a datagram. It looks into blocks of one symbol, and into the envelope of
-- others; it restores no lost symbols and does not decompress. `inspect` of both agents does.

local tidegate = Proto("tidegate", "Tidegate one-way link")

local HEADER_BYTES, DATAGRAM_BYTES_MAX, STREAM_MAX = 36, 65507, 15
local KINDS = { [1] = "messages", [2] = "heartbeat" }
local SKIPS = { [1] = "expired", [2] = "conflated", [3] = "overflow", [4] = "void", [5] = "corrupt" }
local SECTIONS = { [0] = "link", [1] = "source", [2] = "path" }
local STATES = { [0] = "none", [1] = "connecting", [2] = "connected", [3] = "down" }

-- Fields ------------------------------------------------------------------------------------------------------------

local f = {}
local function field(name, make, title, ...)
  f[name] = make("tidegate." .. name, title, ...)
end
field("version", ProtoField.uint8, "Version")
field("kind", ProtoField.uint8, "Kind", base.DEC, KINDS)
field("key_id", ProtoField.uint16, "Key id", base.HEX)
field("link_tag", ProtoField.uint32, "Link tag", base.HEX)
field("journal_id", ProtoField.uint64, "Journal id", base.HEX)
field("epoch", ProtoField.uint64, "Epoch", base.HEX)
field("block", ProtoField.uint64, "Block", base.DEC)
field("stream", ProtoField.uint8, "Stream")
field("symbol", ProtoField.uint8, "Symbol")
field("k", ProtoField.uint8, "Source symbols (k)")
field("r", ProtoField.uint8, "Repair symbols (r)")
field("repair", ProtoField.bool, "Is a repair symbol")
field("sealed", ProtoField.bytes, "Sealed symbol")
field("data", ProtoField.bytes, "Symbol")
field("tag", ProtoField.bytes, "Tag")
field("checksum", ProtoField.uint32, "Checksum (CRC-32)", base.HEX)
field("envelope.compressed", ProtoField.bool, "Compressed (zstd)", 8, nil, 1)
field("envelope.piece_bytes", ProtoField.uint32, "Piece bytes")
field("envelope.first", ProtoField.uint64, "First sequence", base.DEC)
field("envelope.count", ProtoField.uint32, "Sequences")
field("envelope.part", ProtoField.uint16, "Part")
field("envelope.parts", ProtoField.uint16, "Parts")
field("envelope.content_bytes", ProtoField.uint32, "Content bytes")
field("piece", ProtoField.bytes, "Piece")
field("message", ProtoField.bytes, "Message")
field("sequence", ProtoField.uint64, "Sequence", base.DEC)
field("topic", ProtoField.string, "Topic")
field("qos", ProtoField.uint8, "QoS", base.DEC, nil, 3)
field("retain", ProtoField.bool, "Retain", 8, nil, 4)
field("accepted", ProtoField.absolute_time, "Accepted", base.UTC)
field("payload_format", ProtoField.uint8, "Payload format")
field("expiry", ProtoField.uint32, "Message expiry (s)")
field("content_type", ProtoField.string, "Content type")
field("user_property", ProtoField.string, "User property")
field("payload", ProtoField.bytes, "Payload")
field("skip.count", ProtoField.uint64, "Sequences given up", base.DEC)
field("skip.reason", ProtoField.uint8, "Reason", base.DEC, SKIPS)
field("heartbeat.clock", ProtoField.absolute_time, "Sender's clock", base.UTC)
field("heartbeat.uptime_ms", ProtoField.uint64, "Uptime (ms)", base.DEC)
field("heartbeat.interval_ms", ProtoField.uint32, "Next in (ms)")
field("heartbeat.stopping", ProtoField.bool, "About to stop", 8, nil, 1)
field("heartbeat.stream", ProtoField.uint8, "Stream")
field("heartbeat.epoch_first", ProtoField.uint64, "This run from", base.DEC)
field("heartbeat.next", ProtoField.uint64, "Next", base.DEC)
field("heartbeat.sent", ProtoField.uint64, "Sent", base.DEC)
field("heartbeat.oldest", ProtoField.uint64, "Oldest held", base.DEC)
field("heartbeat.section", ProtoField.uint8, "Section", base.DEC, SECTIONS)
field("heartbeat.name", ProtoField.string, "Name")
field("heartbeat.state", ProtoField.uint8, "State", base.DEC, STATES)
field("heartbeat.counter", ProtoField.string, "Counter")
field("record.length", ProtoField.uint16, "Record length")
local list = {}
for _, one in pairs(f) do list[#list + 1] = one end
tidegate.fields = list

local e = {
  bad = ProtoExpert.new("tidegate.bad", "Refused by a receiver", expert.group.MALFORMED, expert.severity.ERROR),
  closed = ProtoExpert.new("tidegate.closed", "Not opened", expert.group.UNDECODED, expert.severity.NOTE),
  tag = ProtoExpert.new("tidegate.forged", "Forged or corrupted", expert.group.CHECKSUM, expert.severity.ERROR),
}
tidegate.experts = { e.bad, e.closed, e.tag }

tidegate.prefs.port = Pref.uint("UDP port", 0, "All that goes to or from this port is dissected; 0 for none")
tidegate.prefs.link_id = Pref.string("Link id", "", "The id in the [link] table of both agents")
tidegate.prefs.key_file = Pref.string("Key file", "", "The link's key_file, to open what is sealed")
tidegate.prefs.next_key_file = Pref.string("Next key file", "", "The link's next_key_file, while keys rotate")

-- Cryptography: SHA-256, HMAC, HKDF, AES-256, GCM. Words are 32 bits, as the library "bit" has them -----------------------

local bit = bit or bit32
local bxor, band, bor, lshift, rshift = bit.bxor, bit.band, bit.bor, bit.lshift, bit.rshift

local function word(text, at)
  local a, b, c, d = text:byte(at, at + 3)
  return bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

local function bytes(value)
  return string.char(band(rshift(value, 24), 255), band(rshift(value, 16), 255), band(rshift(value, 8), 255), band(value, 255))
end

-- The constants of SHA-256 are fractions of roots of primes; computing them costs fewer lines than writing them.
local SHA_START, SHA_ROUND = {}, {}
do
  local prime = 2
  while #SHA_ROUND < 64 do
    local isPrime = true
    for i = 2, math.floor(math.sqrt(prime)) do isPrime = isPrime and prime % i ~= 0 end
    if isPrime then
      if #SHA_START < 8 then SHA_START[#SHA_START + 1] = math.floor(math.sqrt(prime) % 1 * 2 ^ 32) end
      -- One step of Newton's on the cube root: the power alone is a bit off in its last place.
      local root = prime ^ (1 / 3)
      root = root - (root * root * root - prime) / (3 * root * root)
      SHA_ROUND[#SHA_ROUND + 1] = math.floor(root % 1 * 2 ^ 32)
    end
    prime = prime + 1
  end
end

local function add(...)
  local sum = 0
  for _, value in ipairs({ ... }) do sum = (sum + value % 2 ^ 32) % 2 ^ 32 end
  return sum
end

local function ror(value, count) return bor(rshift(value, count), lshift(value, 32 - count)) end

local function sha256(text)
  local padded = text .. "\128" .. ("\0"):rep((55 - #text) % 64) .. "\0\0\0\0" .. bytes(#text * 8)
  local h = {}
  for i = 1, 8 do h[i] = SHA_START[i] end
  for block = 1, #padded, 64 do
    local w = {}
    for i = 1, 16 do w[i] = word(padded, block + i * 4 - 4) end
    for i = 17, 64 do
      local s0 = bxor(ror(w[i - 15], 7), ror(w[i - 15], 18), rshift(w[i - 15], 3))
      local s1 = bxor(ror(w[i - 2], 17), ror(w[i - 2], 19), rshift(w[i - 2], 10))
      w[i] = add(w[i - 16], s0, w[i - 7], s1)
    end
    local v = { h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8] }
    for i = 1, 64 do
      local s1 = bxor(ror(v[5], 6), ror(v[5], 11), ror(v[5], 25))
      local choice = bxor(band(v[5], v[6]), band(bit.bnot(v[5]), v[7]))
      local t1 = add(v[8], s1, choice, SHA_ROUND[i], w[i])
      local s0 = bxor(ror(v[1], 2), ror(v[1], 13), ror(v[1], 22))
      local t2 = add(s0, bxor(band(v[1], v[2]), band(v[1], v[3]), band(v[2], v[3])))
      v = { add(t1, t2), v[1], v[2], v[3], add(v[4], t1), v[5], v[6], v[7] }
    end
    for i = 1, 8 do h[i] = add(h[i], v[i]) end
  end
  local digest = ""
  for i = 1, 8 do digest = digest .. bytes(h[i]) end
  return digest
end

local function hmac(key, text)
  local function mask(value)
    return ((key .. ("\0"):rep(64 - #key)):gsub(".", function(c) return string.char(bxor(c:byte(), value)) end))
  end
  return sha256(mask(0x5c) .. sha256(mask(0x36) .. text))
end

-- Up to 32 bytes.
local function hkdf(key, salt, info) return hmac(hmac(salt, key), info .. "\1") end

local SBOX, T = {}, { {}, {}, {}, {} }
do
  local p, q = 1, 1
  repeat -- p runs through the field by 3, q through the inverses
    p = band(bxor(p, lshift(p, 1), band(p, 128) ~= 0 and 0x11b or 0), 255)
    q = bxor(q, lshift(q, 1))
    q = bxor(q, lshift(q, 2))
    q = band(bxor(q, lshift(q, 4)), 255)
    if band(q, 128) ~= 0 then q = bxor(q, 9) end
    local x = bxor(q, lshift(q, 1), lshift(q, 2), lshift(q, 3), lshift(q, 4))
    SBOX[p] = band(bxor(x, rshift(x, 8), 0x63), 255)
  until p == 1
  SBOX[0] = 0x63
  for i = 0, 255 do
    local s = SBOX[i]
    local s2 = band(bxor(lshift(s, 1), band(s, 128) ~= 0 and 0x1b or 0), 255)
    local value = bor(lshift(s2, 24), lshift(s, 16), lshift(s, 8), bxor(s2, s))
    for column = 1, 4 do
      T[column][i] = value
      value = ror(value, 8)
    end
  end
end

local function substitute(value)
  return bor(lshift(SBOX[band(rshift(value, 24), 255)], 24), lshift(SBOX[band(rshift(value, 16), 255)], 16),
    lshift(SBOX[band(rshift(value, 8), 255)], 8), SBOX[band(value, 255)])
end

local function expand(key)
  local w, round = {}, 1
  for i = 0, 7 do w[i] = word(key, i * 4 + 1) end
  for i = 8, 59 do
    local value = w[i - 1]
    if i % 8 == 0 then
      value = bxor(substitute(ror(value, 24)), lshift(round, 24))
      round = round * 2
    elseif i % 8 == 4 then
      value = substitute(value)
    end
    w[i] = bxor(w[i - 8], value)
  end
  return w
end

local function encrypt(w, a, b, c, d)
  a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
  local T1, T2, T3, T4 = T[1], T[2], T[3], T[4]
  local function mix(p, q, r, s, k)
    return bxor(T1[band(rshift(p, 24), 255)], T2[band(rshift(q, 16), 255)], T3[band(rshift(r, 8), 255)], T4[band(s, 255)], k)
  end
  for i = 4, 52, 4 do
    a, b, c, d = mix(a, b, c, d, w[i]), mix(b, c, d, a, w[i + 1]), mix(c, d, a, b, w[i + 2]), mix(d, a, b, c, w[i + 3])
  end
  local function last(p, q, r, s, k)
    return bxor(lshift(SBOX[band(rshift(p, 24), 255)], 24), lshift(SBOX[band(rshift(q, 16), 255)], 16),
      lshift(SBOX[band(rshift(r, 8), 255)], 8), SBOX[band(s, 255)], k)
  end
  return last(a, b, c, d, w[56]), last(b, c, d, a, w[57]), last(c, d, a, b, w[58]), last(d, a, b, c, w[59])
end

-- A block of GHASH times x: bits run from the left, as GCM counts them.
local function double(v)
  local carry = band(v[4], 1) ~= 0 and 0xe1000000 or 0
  return {
    bxor(rshift(v[1], 1), carry), bor(rshift(v[2], 1), lshift(v[1], 31)),
    bor(rshift(v[3], 1), lshift(v[2], 31)), bor(rshift(v[4], 1), lshift(v[3], 31)),
  }
end

local REDUCE = {}
for i = 0, 255 do
  local v = { 0, 0, 0, i }
  for _ = 1, 8 do v = double(v) end
  REDUCE[i] = v[1]
end

-- What an epoch's key needs: round keys, and every byte times the hash key.
local function prepare(key)
  local w = expand(key)
  local power, times = { encrypt(w, 0, 0, 0, 0) }, { [0] = { 0, 0, 0, 0 } }
  for shift = 7, 0, -1 do
    local step = 2 ^ shift
    times[step] = power
    power = double(power)
  end
  for i = 1, 255 do
    if times[i] == nil then
      local high = 128
      while high > i do high = high / 2 end
      local p, q = times[high], times[i - high]
      times[i] = { bxor(p[1], q[1]), bxor(p[2], q[2]), bxor(p[3], q[3]), bxor(p[4], q[4]) }
    end
  end
  return { w = w, times = times }
end

local function ghash(times, text)
  local a, b, c, d = 0, 0, 0, 0
  for at = 1, #text, 16 do
    local x = bytes(bxor(a, word(text, at))) .. bytes(bxor(b, word(text, at + 4)))
      .. bytes(bxor(c, word(text, at + 8))) .. bytes(bxor(d, word(text, at + 12)))
    a, b, c, d = 0, 0, 0, 0
    for i = 16, 1, -1 do
      local low, m = band(d, 255), times[x:byte(i)]
      d = bxor(bor(rshift(d, 8), lshift(c, 24)), m[4])
      c = bxor(bor(rshift(c, 8), lshift(b, 24)), m[3])
      b = bxor(bor(rshift(b, 8), lshift(a, 24)), m[2])
      a = bxor(rshift(a, 8), REDUCE[low], m[1])
    end
  end
  return a, b, c, d
end

local function pad(text) return text .. ("\0"):rep(-#text % 16) end

-- The plain text, or nil when the tag does not match.
local function open(key, nonce, associated, sealed, tag)
  local n1, n2, n3 = word(nonce, 1), word(nonce, 5), word(nonce, 9)
  local lengths = bytes(0) .. bytes(#associated * 8) .. bytes(0) .. bytes(#sealed * 8)
  local g = { ghash(key.times, pad(associated) .. pad(sealed) .. lengths) }
  local m = { encrypt(key.w, n1, n2, n3, 1) }
  for i = 1, 4 do
    if bytes(bxor(g[i], m[i])) ~= tag:sub(i * 4 - 3, i * 4) then return nil end
  end
  local out, padded = {}, pad(sealed)
  for at = 1, #sealed, 16 do
    local s = { encrypt(key.w, n1, n2, n3, (at + 15) / 16 + 1) }
    for i = 1, 4 do out[#out + 1] = bytes(bxor(s[i], word(padded, at + i * 4 - 4))) end
  end
  return table.concat(out):sub(1, #sealed)
end

local CRC = {}
for i = 0, 255 do
  local value = i
  for _ = 1, 8 do value = bxor(rshift(value, 1), band(value, 1) ~= 0 and 0xedb88320 or 0) end
  CRC[i] = value
end

local function crc32(text)
  local value = 0xffffffff
  for i = 1, #text do value = bxor(rshift(value, 8), CRC[band(bxor(value, text:byte(i)), 255)]) end
  return bit.bnot(value)
end

-- Keys ----------------------------------------------------------------------------------------------------------------

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function decodeBase64(text)
  local out, value, bits = "", 0, 0
  for sign in text:gmatch("[%w+/]") do
    value, bits = value * 64 + BASE64:find(sign, 1, true) - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      out = out .. string.char(math.floor(value / 2 ^ bits))
      value = value % 2 ^ bits
    end
  end
  return out
end

-- Link keys by their id, and what was wrong with a file; read again when a preference changes.
local linkKeys, keyProblem, epochKeys, opened = {}, nil, {}, {}

local function readKey(path)
  if path == "" then return end
  local file = io.open(path, "r")
  local text = file and file:read(65536) or ""
  if file then file:close() end
  local key = decodeBase64(("\n" .. text):match("\ntidegate%-key%-1:([%w+/=]+)") or "")
  if #key ~= 32 then
    keyProblem = "the file " .. path .. " holds no link key, or may not be read"
    return
  end
  local id = hkdf(key, "", "tidegate/1 key id"):sub(1, 2)
  linkKeys[id == "\0\0" and "\0\1" or id] = key
end

local function readKeys()
  linkKeys, keyProblem, epochKeys, opened = {}, nil, {}, {}
  readKey(tidegate.prefs.key_file)
  readKey(tidegate.prefs.next_key_file)
end

-- The plain symbol and nil, or nil and why not.
local function openSymbol(raw, size)
  local head, sealed, tag = raw:sub(1, HEADER_BYTES), raw:sub(HEADER_BYTES + 1, HEADER_BYTES + size), raw:sub(HEADER_BYTES + size + 1)
  local linkId = tidegate.prefs.link_id
  local keyId, linkTag, run = head:sub(3, 4), head:sub(5, 8), head:sub(9, 24)
  if linkId ~= "" and sha256("tidegate/1 link " .. linkId):sub(1, 4) ~= linkTag then return nil, "link: of another link" end
  if keyId == "\0\0" then
    if bytes(crc32(head .. sealed)) ~= tag then return nil, "tag" end
    return sealed
  end
  if keyProblem then return nil, keyProblem end
  if linkId == "" or next(linkKeys) == nil then return nil, "sealed; the preferences link id and key file open it" end
  local linkKey = linkKeys[keyId]
  if linkKey == nil then return nil, "key: sealed with a key that the preferences do not name" end
  local name = keyId .. run
  if epochKeys[name] == nil then
    epochKeys[name] = prepare(hkdf(linkKey, run, "tidegate/1 seal " .. linkId))
  end
  local nonce = head:sub(2, 2) .. head:sub(33, 33) .. "\0" .. head:sub(34, 34) .. head:sub(25, 32)
  local plain = open(epochKeys[name], nonce, head, sealed, tag)
  if plain == nil then return nil, "tag" end
  return plain
end

-- Wireshark dissects a packet again and again; opening it costs milliseconds. The last ones are kept.
local openedCount = 0
local function openOnce(number, raw, size)
  local known = opened[number]
  if known and known.raw == raw then return known.plain, known.why end
  local plain, why = openSymbol(raw, size)
  if openedCount > 2000 then opened, openedCount = {}, 0 end
  opened[number], openedCount = { raw = raw, plain = plain, why = why }, openedCount + 1
  return plain, why
end

-- Contents ------------------------------------------------------------------------------------------------------------

-- A cursor over the plain bytes. take() and its like raise an error past the end; dissectors below catch it once.
local Cursor = {}
Cursor.__index = Cursor

local function over(tvb, at, stop) return setmetatable({ tvb = tvb, at = at, stop = stop }, Cursor) end

function Cursor:take(size)
  if size > self.stop - self.at then error("cut", 0) end
  local range = self.tvb(self.at, size)
  self.at = self.at + size
  return range
end

function Cursor:byte() return self:take(1):uint() end

-- The value, and the bytes it stands in.
function Cursor:varint()
  local from, value = self.at, 0
  for i = 0, 7 do
    local octet = self:byte()
    value = value + octet % 128 * 128 ^ i
    if octet < 128 then
      if (i > 0 and octet == 0) or value >= 2 ^ 53 then error("a number not in its one right form", 0) end
      return value, self.tvb(from, self.at - from)
    end
  end
  error("a number of more than 8 bytes", 0)
end

function Cursor:zigzag()
  local value = self:varint()
  return value % 2 == 0 and value / 2 or -(value + 1) / 2
end

function Cursor:text()
  local size = self:varint()
  local from = self.at
  -- An empty range is none for Wireshark.
  return size > 0 and self:take(size):string(ENC_UTF_8) or "", self.tvb(math.min(from, self.stop - 1), size)
end

local function toTime(ms)
  local seconds = math.floor(ms / 1000)
  return NSTime.new(seconds, math.floor(ms - seconds * 1000) * 1000000)
end

local function dissectProperties(cursor, tree)
  local before = 0
  while cursor.at < cursor.stop do
    local id = cursor:byte()
    if id < before or (id == before and id ~= 0x26) then error("properties out of order", 0) end
    before = id
    if id == 0x01 then
      local format = cursor:take(1)
      tree:add(f.payload_format, format)
      if format:uint() > 1 then error("an unknown payload format", 0) end
    elseif id == 0x02 then tree:add(f.expiry, cursor:take(4))
    elseif id == 0x03 then
      local text, range = cursor:text()
      tree:add(f.content_type, range, text)
    elseif id == 0x26 then
      local name = cursor:text()
      local value, range = cursor:text()
      tree:add(f.user_property, range, name .. ": " .. value)
    else error("an unknown property", 0) end
  end
end

local function dissectSkip(cursor, tree, sequence)
  local from = cursor.at - 1
  local count, range = cursor:varint()
  local reason = cursor:take(1)
  local item = tree:add(tidegate, cursor.tvb(from, cursor.at - from), ("Skip: %.0f from %.0f"):format(count, sequence))
  item:add(f.sequence, range, UInt64.new(sequence % 2 ^ 32, math.floor(sequence / 2 ^ 32)))
  item:add(f["skip.count"], range, UInt64.new(count % 2 ^ 32, math.floor(count / 2 ^ 32)))
  item:add(f["skip.reason"], reason)
  if SKIPS[reason:uint()] == nil or count == 0 then error("a skip that no sender makes", 0) end
  return sequence + count
end

local function dissectMessage(cursor, tree, state, sequence)
  local from = cursor.at - 1
  local head = cursor.tvb(from, 1)
  if head:uint() > 15 or head:uint() % 4 == 3 then error("an unknown head byte", 0) end
  local index, range = cursor:varint()
  if index > #state.topics then error("a topic that is not in the dictionary", 0) end
  if index == #state.topics then
    state.topics[index + 1], range = cursor:text()
    local name = state.topics[index + 1]
    if name == "" or range:len() > 65535 or range:raw():find("[+#\0]") then error("a topic that is none", 0) end
  end
  local topic = state.topics[index + 1]
  local timeFrom = cursor.at
  state.ms = state.ms + cursor:zigzag()
  if math.abs(state.ms) >= 2 ^ 53 then error("a time of acceptance beyond 2^53 - 1", 0) end
  local timeRange = cursor.tvb(timeFrom, cursor.at - timeFrom)
  local item = tree:add(tidegate, cursor.tvb(from, cursor.stop - from), ("Message %.0f: %s"):format(sequence, topic))
  item:add(f.sequence, head, UInt64.new(sequence % 2 ^ 32, math.floor(sequence / 2 ^ 32))):set_generated()
  item:add(f.qos, head)
  item:add(f.retain, head)
  item:add(f.topic, range, topic)
  item:add(f.accepted, timeRange, toTime(state.ms))
  if head:uint() >= 8 then
    local size = cursor:varint()
    if size == 0 or size > cursor.stop - cursor.at then error("properties of a wrong size", 0) end
    dissectProperties(over(cursor.tvb, cursor.at, cursor.at + size), item)
    cursor.at = cursor.at + size
  end
  local size = cursor:varint()
  if size > 0 then item:add(f.payload, cursor:take(size)) end
  item:set_len(cursor.at - from)
  return sequence + 1
end

local function dissectContent(cursor, tree, first, count)
  local state, sequence = { topics = {}, ms = 0 }, first
  while cursor.at < cursor.stop do
    if cursor:byte() == 0x40 then sequence = dissectSkip(cursor, tree, sequence)
    else sequence = dissectMessage(cursor, tree, state, sequence) end
  end
  if sequence ~= first + count then error("frames for another number of sequences than the envelope says", 0) end
end

-- A number of 8 bytes, with its range, added to the tree.
local function addNumber(cursor, tree, name)
  local range = cursor:take(8)
  tree:add(f["heartbeat." .. name], range)
  if range(0, 2):uint() >= 0x20 then error("a number above 2^53 - 1", 0) end
  return range:uint64():tonumber()
end

local function dissectStreams(cursor, tree)
  local seen = {}
  for _ = 1, cursor:varint() do
    local range = cursor:take(1)
    local item, number = tree:add(f["heartbeat.stream"], range), range:uint()
    if number > STREAM_MAX or seen[number] then error("a stream that is none, or is there twice", 0) end
    seen[number] = true
    local first, after = addNumber(cursor, item, "epoch_first"), addNumber(cursor, item, "next")
    local sent, oldest = addNumber(cursor, item, "sent"), addNumber(cursor, item, "oldest")
    if math.max(first, sent, oldest) > after then error("a stream beyond its next sequence", 0) end
  end
end

local function dissectSection(cursor, tree)
  local kind = cursor:take(1)
  local item = tree:add(f["heartbeat.section"], kind)
  local name, range = cursor:text()
  item:add(f["heartbeat.name"], range, name)
  item:append_text(" " .. name)
  local state = cursor:take(1)
  item:add(f["heartbeat.state"], state)
  if SECTIONS[kind:uint()] == nil or STATES[state:uint()] == nil then error("an unknown section or state", 0) end
  local seen = {}
  for _ = 1, cursor:varint() do
    local counter, where = cursor:text()
    if seen[counter] then error("a counter twice", 0) end
    seen[counter] = true
    item:add(f["heartbeat.counter"], where, ("%s: %.0f"):format(counter, (cursor:varint())))
  end
end

local function dissectHeartbeat(cursor, tree)
  local clock = cursor:take(8)
  if clock(0, 2):uint() >= 0x20 then error("a clock above 2^53 - 1", 0) end
  tree:add(f["heartbeat.clock"], clock, toTime(clock:uint64():tonumber()))
  addNumber(cursor, tree, "uptime_ms")
  tree:add(f["heartbeat.interval_ms"], cursor:take(4))
  local flags = cursor:take(1)
  tree:add(f["heartbeat.stopping"], flags)
  if flags:uint() > 1 then error("unknown flags", 0) end
  dissectStreams(cursor, tree)
  for _ = 1, cursor:varint() do dissectSection(cursor, tree) end
  if cursor.at ~= cursor.stop then error("bytes behind the last section", 0) end
end

-- The block of one symbol, or the first symbol of a larger one.
local function dissectBlock(tvb, tree, kind, k, info)
  local size = tvb:len()
  if size < 25 then
    if k == 1 then error("an envelope that is cut", 0) end
    return
  end
  local flags, pieceBytes, count = tvb(0, 1):uint(), tvb(1, 4):uint(), tvb(13, 4):uint()
  local part, parts, contentBytes = tvb(17, 2):uint(), tvb(19, 2):uint(), tvb(21, 4):uint()
  local first = tvb(5, 8):uint64():tonumber()
  local envelope = tree:add(tidegate, tvb(0, 25), "Envelope")
  envelope:add(f["envelope.compressed"], tvb(0, 1))
  envelope:add(f["envelope.piece_bytes"], tvb(1, 4))
  envelope:add(f["envelope.first"], tvb(5, 8))
  envelope:add(f["envelope.count"], tvb(13, 4))
  envelope:add(f["envelope.part"], tvb(17, 2))
  envelope:add(f["envelope.parts"], tvb(19, 2))
  envelope:add(f["envelope.content_bytes"], tvb(21, 4))
  if kind == 1 then info[#info + 1] = ("sequences %.0f to %.0f"):format(first, first + count - 1) end
  if k > 1 then return end
  if flags > 1 then error("unknown flags", 0) end
  if pieceBytes == 0 or pieceBytes > size - 25 then error("a piece of a wrong size", 0) end
  if count == 0 or first + count > 2 ^ 53 - 1 then error("sequences that no stream has", 0) end
  if part >= parts then error("a part beyond the parts", 0) end
  if parts == 1 and contentBytes ~= pieceBytes or parts > 1 and contentBytes <= pieceBytes then error("content bytes that do not fit the piece", 0) end
  if size > 25 + pieceBytes and tvb:raw(25 + pieceBytes):find("[^\0]") then error("padding that is not zero", 0) end
  if kind == 2 and (flags ~= 0 or first ~= 0 or count ~= 1 or parts ~= 1) then error("an envelope that no heartbeat has", 0) end
  if flags ~= 0 or parts ~= 1 then
    tree:add(f.piece, tvb(25, pieceBytes)):append_text(parts ~= 1 and " (a part)" or " (zstd, not decompressed here)")
    return
  end
  local cursor = over(tvb, 25, 25 + pieceBytes)
  if kind == 2 then dissectHeartbeat(cursor, tree) else dissectContent(cursor, tree, first, count) end
end

-- Datagrams -----------------------------------------------------------------------------------------------------------

-- Why a receiver refuses the header, or nil: the checks of section 9 up to "header".
local function refuse(tvb)
  local size = tvb:len()
  if size == 0 then return "empty" end
  if tvb(0, 1):uint() ~= 1 then return "version" end
  if size > DATAGRAM_BYTES_MAX then return "long" end
  if size < HEADER_BYTES then return "short" end
  local kind = tvb(1, 1):uint()
  if KINDS[kind] == nil then return "kind" end
  if size <= HEADER_BYTES + (tvb(2, 2):uint() == 0 and 4 or 16) then return "short" end
  local stream, symbol, k, r = tvb(32, 1):uint(), tvb(33, 1):uint(), tvb(34, 1):uint(), tvb(35, 1):uint()
  if k == 0 or k + r > 256 or symbol >= k + r or tvb(24, 2):uint() >= 0x20 then return "header" end
  if stream > STREAM_MAX or (kind == 2 and stream ~= 0) then return "header" end
end

local function addHeader(tvb, tree)
  local names = { version = { 0, 1 }, kind = { 1, 1 }, key_id = { 2, 2 }, link_tag = { 4, 4 }, journal_id = { 8, 8 }, epoch = { 16, 8 },
    block = { 24, 8 }, stream = { 32, 1 }, symbol = { 33, 1 }, k = { 34, 1 }, r = { 35, 1 } }
  for _, name in ipairs({ "version", "kind", "key_id", "link_tag", "journal_id", "epoch", "block", "stream", "symbol", "k", "r" }) do
    local at, size = names[name][1], names[name][2]
    if at + size <= tvb:len() then tree:add(f[name], tvb(at, size)) end
  end
end

local function dissectSymbol(tvb, pinfo, tree, size, info)
  local kind, symbol, k = tvb(1, 1):uint(), tvb(33, 1):uint(), tvb(34, 1):uint()
  local plain, why = openOnce(pinfo.number, tvb:raw(), size)
  if plain == nil then
    if why == "tag" then tree:add_proto_expert_info(e.tag, "tag: forged or corrupted")
    else tree:add_proto_expert_info(e.closed, why) end
    return
  end
  local inner = ByteArray.new(plain, true):tvb("Opened symbol")
  local item = tree:add(tidegate, inner(), symbol < k and "Symbol" or "Repair symbol")
  item:add(f.data, inner())
  -- The first repair symbol of a block of one is a copy: its coefficient is 1.
  if symbol ~= 0 and not (k == 1 and symbol == 1) then return end
  local isRight, problem = pcall(dissectBlock, inner, item, kind, k, info)
  if not isRight then
    item:add_proto_expert_info(e.bad, (kind == 1 and "malformed: " or "heartbeat-malformed: ") .. tostring(problem))
  end
end

function tidegate.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "Tidegate"
  local tree = root:add(tidegate, tvb())
  local refusal = refuse(tvb)
  addHeader(tvb, tree)
  if refusal then
    tree:add_proto_expert_info(e.bad, refusal)
    pinfo.cols.info = "Refused by a receiver: " .. refusal
    return tvb:len()
  end
  local kind, stream, symbol, k, r = tvb(1, 1):uint(), tvb(32, 1):uint(), tvb(33, 1):uint(), tvb(34, 1):uint(), tvb(35, 1):uint()
  local trailer = tvb(2, 2):uint() == 0 and 4 or 16
  local size = tvb:len() - HEADER_BYTES - trailer
  tree:add(f.repair, tvb(33, 1), symbol >= k):set_generated()
  tree:add(f.sealed, tvb(HEADER_BYTES, size))
  tree:add(trailer == 4 and f.checksum or f.tag, tvb(HEADER_BYTES + size, trailer))
  local which = symbol < k and ("symbol %d of %d"):format(symbol + 1, k) or ("repair symbol %d of %d"):format(symbol - k + 1, r)
  local what = kind == 2 and "Heartbeat" or "Stream " .. stream
  local info = { ("%s, block %s, %s (%d+%d)"):format(what, tostring(tvb(24, 8):uint64()), which, k, r) }
  dissectSymbol(tvb, pinfo, tree, size, info)
  pinfo.cols.info = table.concat(info, ", ")
  tree:append_text(", " .. info[1])
  return tvb:len()
end

local function looksLikeIt(tvb, pinfo, root)
  if tvb:len() <= HEADER_BYTES or refuse(tvb) ~= nil then return false end
  tidegate.dissector(tvb, pinfo, root)
  return true
end

-- Records on TCP: "TGD1", length, its complement, datagram. Length 0 is the end mark.
local RECORD = Proto("tidegate_record", "Tidegate record")

local function dissectRecord(tvb, pinfo, root)
  root:add(f["record.length"], tvb(4, 2))
  if tvb:len() > 8 then tidegate.dissector(tvb(8):tvb(), pinfo, root) end
  return tvb:len()
end

local function looksLikeRecords(tvb, pinfo, root)
  if tvb:len() < 8 or tvb(0, 4):uint() ~= 0x54474431 then return false end
  if tvb(4, 2):uint() + tvb(6, 2):uint() ~= 65535 then return false end
  dissect_tcp_pdus(tvb, root, 8, function(range) return range(4, 2):uint() + 8 end, dissectRecord)
  return true
end

tidegate:register_heuristic("udp", looksLikeIt)
RECORD:register_heuristic("tcp", looksLikeRecords)

local port = 0
local function readPreferences()
  local ports = DissectorTable.get("udp.port")
  if port ~= tidegate.prefs.port then
    if port ~= 0 then ports:remove(port, tidegate) end
    port = tidegate.prefs.port
    if port ~= 0 then ports:add(port, tidegate) end
  end
  readKeys()
end

tidegate.prefs_changed = readPreferences
-- Preferences from the command line are there before any packet, but announce themselves to no one.
tidegate.init = readPreferences
