// Telemetry for IoT Hub: the bag to the letter, and read back as the hub reads it.
import { expect, test } from "bun:test";
import {
  type BagRules,
  composeHubMessage,
  type HubMessage,
  telemetryTopic,
} from "../../../../../../agents/recv/targets/azure/property-bag.ts";
import type { Message } from "../../../../../../shared/message.ts";
import { makeMessage, withProperties } from "../messages.ts";

const DEVICE = { deviceId: "MyDevice01" };
const BARE: BagRules = {
  topicProperty: undefined,
  eventTime: false,
  contentType: undefined,
  contentEncoding: undefined,
};
const USUAL: BagRules = {
  topicProperty: "topic",
  eventTime: true,
  contentType: "application/json",
  contentEncoding: "utf-8",
};

test("telemetryTopic() names a device and a module", () => {
  expect(telemetryTopic(DEVICE)).toBe("devices/MyDevice01/messages/events/");
  expect(telemetryTopic({ deviceId: "d", moduleId: "m" })).toBe("devices/d/modules/m/messages/events/");
});

test("composeHubMessage() ends the topic in a slash when there are no properties", () => {
  expect(compose(makeMessage(), BARE).topic).toBe("devices/MyDevice01/messages/events/");
});

test("composeHubMessage() writes the golden bag", () => {
  const message = makeMessage({
    topic: "site1/line 2/emp",
    properties: {
      payloadFormat: 1,
      contentType: "text/plain;charset=utf-8",
      userProperties: [
        ["empty", ""],
        ["q'()*!~", "a=b&c"],
      ],
    },
  });
  expect(compose(message, USUAL).topic).toBe(
    "devices/MyDevice01/messages/events/%24.ct=text%2Fplain%3Bcharset%3Dutf-8&%24.ce=utf-8" +
      "&topic=site1%2Fline%202%2Femp&iothub-creation-time-utc=2030-01-02T03%3A04%3A05.678Z" +
      "&empty=&q'()*!~=a%3Db%26c",
  );
});

test("composeHubMessage() keeps properties in ASCII, and one decoding gives them back", () => {
  const texts = ["Halle ü/€", "100%", "%41", "\u0001\u007f", "🏭", "a+b c", '"\\'];
  const message = withProperties({ userProperties: texts.map((text, index) => [`${text}${index}`, text]) });
  const read = readBag(compose({ ...message, topic: "Öl/100%" }, USUAL));
  for (const [name, value] of read) expect(name + value).toMatch(/^[ -~]*$/);
  expect(decodeURIComponent(read.get("topic") ?? "")).toBe("Öl/100%");
  const back = [...read].slice(4).map((pair) => pair.map(decodeURIComponent));
  expect(back).toEqual(texts.map((text, index) => [`${text}${index}`, text]));
});

test("composeHubMessage() lets no publisher set what the hub gives a meaning", () => {
  const names = ["$.ct", "$.mid", "iothub-creation-time-utc", "IoTHub-MessageType", "$"];
  const message = withProperties({ userProperties: names.map((name) => [name, "x"]) });
  const read = [...readBag(compose(message, BARE)).keys()];
  expect(read.filter((name) => /^\$|^iothub-/i.test(name))).toEqual([]);
  expect(read.map(decodeURIComponent)).toEqual(names);
});

test("composeHubMessage() gives repeated names a number and loses none", () => {
  const userProperties = ["topic", "a", "a.2", "a", "a"].map((name, at) => [name, String(at)] as const);
  expect([
    ...readBag(compose(withProperties({ userProperties }), { ...BARE, topicProperty: "topic" })),
  ]).toEqual([
    ["topic", "plant/line1/temperature"],
    ["topic.2", "0"],
    ["a", "1"],
    ["a.2", "2"],
    ["a.3", "3"],
    ["a.4", "4"],
  ]);
});

test("composeHubMessage() is as quick with one name as with many", () => {
  const make = (name: (at: number) => string): Message =>
    withProperties({ userProperties: Array.from({ length: 10_000 }, (_, at) => [name(at), ""] as const) });
  const [one, many] = [make(() => "a"), make(String)];
  const measure = (message: Message): number => {
    const startMs = performance.now();
    composeHubMessage(message, DEVICE, BARE, Number.POSITIVE_INFINITY);
    return performance.now() - startMs;
  };
  measure(many);
  expect(measure(one)).toBeLessThan(50 * measure(many));
});

test("composeHubMessage() counts as the hub does and takes 262,144 bytes, not one more", () => {
  const userProperties = [["näm", "v%"]] as const;
  const message = withProperties({ contentType: "x/y", userProperties });
  const overhead = 3 + "n%C3%A4m".length + "v%25".length;
  expect(compose(message, BARE).bytes).toBe(overhead);
  const full = { ...message, payload: new Uint8Array(262_144 - overhead) };
  expect(compose(full, BARE).bytes).toBe(262_144);
  const more = { ...message, payload: new Uint8Array(262_145 - overhead) };
  expect(composeHubMessage(more, DEVICE, BARE)).toBe("oversize");
});

test("composeHubMessage() refuses a bag that no MQTT topic holds", () => {
  const room = 65_535 - telemetryTopic(DEVICE).length - "a=".length;
  const make = (length: number): Message => withProperties({ userProperties: [["a", "x".repeat(length)]] });
  expect(compose(make(room), BARE).topic).toHaveLength(65_535);
  expect(composeHubMessage(make(room + 1), DEVICE, BARE)).toBe("properties-too-long");
  expect(composeHubMessage(withProperties({ userProperties: [["a", "ü".repeat(9000)]] }), DEVICE, BARE)).toBe(
    "properties-too-long",
  );
});

test("composeHubMessage() takes lone surrogates and moments that no calendar has", () => {
  const message = withProperties({ userProperties: [["\ud800", "\udc00"]] });
  for (const acceptedMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, 9e15]) {
    expect([...readBag(compose({ ...message, acceptedMs }, USUAL)).keys()]).not.toContain(
      "iothub-creation-time-utc",
    );
  }
});

function compose(message: Message, rules: BagRules): HubMessage {
  const composed = composeHubMessage(message, DEVICE, rules);
  if (typeof composed === "string") throw new Error(`cannot compose a message: ${composed}`);
  return composed;
}

function readBag({ topic }: HubMessage): Map<string, string> {
  const bag = topic.slice(telemetryTopic(DEVICE).length);
  return new Map(
    bag.split("&").map((field): [string, string] => {
      const [name = "", value = ""] = field.split("=");
      return [decodeURIComponent(name), decodeURIComponent(value)];
    }),
  );
}
