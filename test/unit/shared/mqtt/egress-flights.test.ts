import { expect, test } from "bun:test";
import type { Qos } from "../../../../shared/message.ts";
import { PUBACK_TYPE, PUBCOMP_TYPE, PUBREC_TYPE } from "../../../../shared/mqtt/egress-ack.ts";
import { EgressFlights, type Flight } from "../../../../shared/mqtt/egress-flights.ts";

function createFlight(topic: string, qos: Qos): Flight {
  const message = {
    topic,
    payload: Buffer.alloc(0),
    qos,
    retain: false,
    properties: undefined,
    acceptedMs: 0,
  };
  const sizes = { topicBytes: topic.length, propertyBytes: 0, bodyBytes: 2 + topic.length };
  return { message, sizes, qos, sinceMs: 0, sentMs: 0, dup: false, isReleased: false, onSettled: () => {} };
}

function send(flights: EgressFlights, topic: string, qos: Qos = 1): number {
  const flight = createFlight(topic, qos);
  flights.add(flight);
  flights.shift();
  return flights.launch(flight);
}

function takeTopics(flights: EgressFlights): string[] {
  const topics: string[] = [];
  for (let next = flights.next; next !== undefined; next = flights.next) {
    topics.push(next.message.topic + (next.dup ? "!" : ""));
    flights.shift();
  }
  return topics;
}

test("EgressFlights.launch() wraps after 65,535 and steps over ids in use", () => {
  const flights = new EgressFlights();
  for (let id = 1; id <= 65_535; id++) expect(send(flights, `t${id}`)).toBe(id);
  expect(flights.sentCount).toBe(65_535);
  const holes = [3, 4, 700, 65_535];
  for (const id of holes) expect(flights.acknowledge(PUBACK_TYPE, id, false)).toBeObject();
  expect(holes.map((id) => send(flights, `again${id}`))).toEqual(holes);
  for (const id of [65_534, 1]) flights.acknowledge(PUBACK_TYPE, id, false);
  // From 65,535 on it goes round: 1 first.
  expect([send(flights, "x"), send(flights, "y")]).toEqual([1, 65_534]);
  const first = flights.acknowledge(PUBACK_TYPE, 700, false);
  expect(typeof first === "object" && first.message.topic).toBe("again700");
});

test("EgressFlights.rewind() puts what was sent before what waits, in the order it was sent", () => {
  const flights = new EgressFlights();
  for (let id = 1; id <= 5; id++) send(flights, `sent${id}`, id === 4 ? 2 : 1);
  flights.acknowledge(PUBACK_TYPE, 2, false);
  expect(flights.acknowledge(PUBREC_TYPE, 4, false)).toBe("release");
  flights.add(createFlight("waiting0", 0));
  flights.add(createFlight("waiting1", 1));
  expect([flights.count, flights.openCount, flights.sentCount]).toEqual([6, 5, 4]);
  flights.rewind();
  expect([flights.count, flights.openCount, flights.sentCount]).toEqual([6, 5, 0]);
  expect(takeTopics(flights)).toEqual(["sent1!", "sent3!", "sent4!", "sent5!", "waiting0", "waiting1"]);
  expect([flights.count, flights.openCount, flights.waitingBytes]).toEqual([0, 0, 0]);
});

test("EgressFlights.acknowledge() refuses what answers nothing", () => {
  const flights = new EgressFlights();
  send(flights, "once", 1);
  send(flights, "exactly", 2);
  expect(flights.acknowledge(PUBACK_TYPE, 9, false)).toBe(
    "PUBACK has the packet identifier 9, which is not in use",
  );
  expect(flights.acknowledge(PUBREC_TYPE, 1, false)).toBe(
    "PUBREC came for packet identifier 1, which waits for PUBACK",
  );
  expect(flights.acknowledge(PUBACK_TYPE, 2, false)).toBe(
    "PUBACK came for packet identifier 2, which waits for PUBREC",
  );
  expect(flights.acknowledge(PUBCOMP_TYPE, 2, false)).toBe(
    "PUBCOMP came for packet identifier 2, which waits for PUBREC",
  );
  expect(flights.acknowledge(PUBREC_TYPE, 2, false)).toBe("release");
  expect(flights.acknowledge(PUBREC_TYPE, 2, false)).toBe(
    "PUBREC came for packet identifier 2, which waits for PUBCOMP",
  );
  expect(flights.count).toBe(2);
  expect(flights.acknowledge(PUBCOMP_TYPE, 2, false)).toBeObject();
  expect(flights.acknowledge(PUBCOMP_TYPE, 2, false)).toBe(
    "PUBCOMP has the packet identifier 2, which is not in use",
  );
});
