// A message: the only thing that crosses the diode. What is not in these types stays behind
// (client id, user name, address, packet id, DUP, response topic, correlation data, subscription id).

export type Qos = 0 | 1 | 2;

/** The MQTT 5 PUBLISH properties that may cross [MQTT5 3.3.2.3]. An absent property is `undefined`, never empty. */
export type MessageProperties = {
  /** 0 = unspecified bytes, 1 = UTF-8 [MQTT5 3.3.2.3.2]. */
  readonly payloadFormat?: 0 | 1;
  /** Lifetime in seconds from the moment of acceptance, 0 to 4,294,967,295 [MQTT5 3.3.2.3.3]. */
  readonly messageExpirySeconds?: number;
  /** UTF-8, 0 to 65,535 bytes [MQTT5 3.3.2.3.9]. */
  readonly contentType?: string;
  /** Name and value pairs in the order of the publisher; names may repeat [MQTT5 3.3.2.3.7]. */
  readonly userProperties?: readonly (readonly [name: string, value: string])[];
};

export type Message = {
  /** A valid topic name: 1 to 65,535 bytes of UTF-8, no wildcard, no U+0000 [MQTT5 4.7.3]. */
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  /** When the send agent accepted it: milliseconds since 1970 on the send agent's clock. */
  readonly acceptedMs: number;
};

/**
 * A message whose payload lies in a larger memory, as it came. The view of it is made when somebody asks, which on the way from wire
 * to wire nobody does: that view costs more than all else here. It cannot be spread, `payload` is not its own: changeMessage().
 */
export class EmbeddedMessage implements Message {
  readonly topic: string;
  readonly memory: Buffer;
  readonly start: number;
  readonly payloadBytes: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  readonly acceptedMs: number;

  constructor(
    topic: string,
    memory: Buffer,
    start: number,
    payloadBytes: number,
    qos: Qos,
    retain: boolean,
    properties: MessageProperties | undefined,
    acceptedMs: number,
  ) {
    this.topic = topic;
    this.memory = memory;
    this.start = start;
    this.payloadBytes = payloadBytes;
    this.qos = qos;
    this.retain = retain;
    this.properties = properties;
    this.acceptedMs = acceptedMs;
  }

  get payload(): Uint8Array {
    return this.memory.subarray(this.start, this.start + this.payloadBytes);
  }
}

export function countPayloadBytes(message: Message): number {
  return message instanceof EmbeddedMessage ? message.payloadBytes : message.payload.length;
}

/** Puts the payload at `at` of `out`, which has room for it. */
export function copyPayload(message: Message, out: Buffer, at: number): void {
  if (message instanceof EmbeddedMessage)
    message.memory.copy(out, at, message.start, message.start + message.payloadBytes);
  else out.set(message.payload, at);
}

/** The message with other values in place of its own. */
export function changeMessage(message: Message, changes: Partial<Message>): Message {
  const { topic, payload, qos, retain, properties, acceptedMs } = message;
  return { topic, payload, qos, retain, properties, acceptedMs, ...changes };
}
