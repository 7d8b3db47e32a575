// What a Mosquitto that was killed has forgotten, read from its own log: messages that it had acknowledged to whoever
// published them, and that whoever subscribes has never acknowledged to it. It saves its sessions a moment after
// it acknowledges, so that kill -9 can come in between; such a loss is the broker's and nobody else's.

const PUBLISH = /: (Received|Sending) PUBLISH (?:from|to) (\S+) \(d\d, q\d, r\d, m(\d+), '([^']*)'/;
const ACK = /: (Received|Sending) PUB(?:ACK|REC) (?:from|to) (\S+) \((?:m|Mid: )(\d+)/;

/** Topics of such messages. For topics that carry one message each. */
export function findForgotten(log: string, subscriber: string): Set<string> {
  const topics = new Map<string, string>();
  const taken = new Set<string>();
  const passedOn = new Set<string>();
  for (const line of log.split("\n")) {
    const [, way, client, id, topic] = PUBLISH.exec(line) ?? [];
    if (topic !== undefined) topics.set(`${way} ${client} ${id}`, topic);
    const [, ackWay, ackClient, ackId] = ACK.exec(line) ?? [];
    if (ackWay === "Sending") taken.add(topics.get(`Received ${ackClient} ${ackId}`) ?? "");
    else if (ackClient === subscriber) passedOn.add(topics.get(`Sending ${ackClient} ${ackId}`) ?? "");
  }
  return new Set([...taken].filter((topic) => !passedOn.has(topic)));
}
