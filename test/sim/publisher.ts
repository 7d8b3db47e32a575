// Makes messages: every QoS, retained or not, with and without properties, small and large, compressible and not. The
// first bytes of each payload number it, so that it is known again wherever it comes out.
import type { Message, MessageProperties, Qos } from "../../shared/message.ts";
import type { Fate, Published } from "./model.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

export class Publisher {
  readonly #world: World;
  readonly #random: Random;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  make(acceptedMs: number): Published {
    const random = this.#random;
    const { plan, model } = this.#world;
    const { send, load } = plan;
    const id = model.messages.length;
    const isDropped = send.filter && random.chance(0.1);
    const kind = random.chance(0.3) ? "latest" : "all";
    const topic = isDropped ? "drop/x" : `c${random.below(send.classes + 1)}/${kind}/${random.below(4)}`;
    let bytes = random.magnitude(4, Math.max(5, load.bytes * 2));
    if (load.largeBytes > 0 && random.chance(0.02))
      bytes = random.between(load.largeBytes >> 1, load.largeBytes);
    const isOversize = random.chance(0.005);
    if (isOversize) bytes = send.messageBytesMax + 1;
    const fate: Fate = isDropped ? "filtered" : isOversize ? "oversize" : "kept";
    const message: Message = {
      topic,
      payload: this.#makePayload(
        id,
        Math.max(4, Math.min(bytes, send.messageBytesMax + (isOversize ? 1 : 0))),
      ),
      qos: random.below(3) as Qos,
      retain: random.chance(0.2),
      properties: this.#makeProperties(),
      acceptedMs,
    };
    return { id, message, fate, acknowledged: false, place: undefined, spool: undefined };
  }

  #makePayload(id: number, bytes: number): Buffer {
    const random = this.#random;
    const payload = Buffer.alloc(bytes, random.chance(0.5) ? random.below(256) : "temperature;");
    if (random.chance(0.5))
      for (let at = 4; at + 4 <= bytes; at += 4) payload.writeUInt32BE(random.bits(), at);
    payload.writeUInt32BE(id);
    return payload;
  }

  #makeProperties(): MessageProperties | undefined {
    const random = this.#random;
    const isExpiring = random.chance(this.#world.plan.load.expiring);
    if (!isExpiring && random.chance(0.8)) return undefined;
    return {
      ...(random.chance(0.5) ? { payloadFormat: 1 as const } : {}),
      ...(isExpiring ? { messageExpirySeconds: random.magnitude(1, 100) } : {}),
      ...(random.chance(0.5) ? { contentType: "text/plain" } : {}),
      userProperties: [["site", String(random.below(3))]],
    };
  }
}
