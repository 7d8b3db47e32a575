// What a vendor decides: the server asks, a fake of one vendor answers. Nothing here knows MQTT's bytes.
import type {
  IAuthPacket,
  IConnackPacket,
  IConnectPacket,
  IPublishPacket,
  ISubscribePacket,
} from "mqtt-packet";
import type { Session } from "./session.ts";
import type { Peer } from "./wire.ts";

export type Admission =
  | {
      readonly admit: true;
      /** Who it is for the rule that only one connection may have this name. */
      readonly name: string;
      /** 0 never times out. */
      readonly keepAliveSeconds: number;
      readonly properties?: IConnackPacket["properties"];
      /** When what it showed at the door is no longer good, and what the service says then. */
      readonly expiresAtMs?: number | undefined;
      readonly expiry?: Closing;
      /** Differs from the client's own when the service gives it a name. */
      readonly clientId?: string;
    }
  /** Without a code the service closes without a word. */
  | ({ readonly admit: false } & Closing);

/** The end of a connection. `code` is said in DISCONNECT, with MQTT 5 only. */
export type Closing = {
  readonly reason: string;
  readonly code?: number;
  /** Another server, for those that are to go there [MQTT5 4.13]. */
  readonly serverReference?: string | undefined;
};

export type PublishVerdict =
  /** `afterMs`: how long the service shapes the traffic before it acknowledges. */
  | { readonly act: "take"; readonly afterMs?: number }
  /** Acknowledged, with a code that says no (MQTT 5), or with none: the client believes that it is through. */
  | { readonly act: "refuse"; readonly reason: string; readonly code?: number }
  /** Neither taken nor acknowledged. */
  | { readonly act: "discard"; readonly reason: string }
  | { readonly act: "close"; readonly reason: string; readonly code?: number };

export type VendorRules = {
  /** Where the service stops reading a packet. */
  readonly packetBytesMax: number;
  /** What is said to the older of two connections with one name. */
  readonly takeOver: Closing;
  readonly keepAlive: Closing;
  admit(connect: IConnectPacket, peer: Peer, raw: Buffer): Admission;
  /** `packet.topic` is whole, also when an alias stood for it; `bytes` is the size of the packet as it came. */
  publish(packet: IPublishPacket, session: Session, bytes: number): PublishVerdict;
  /** How long the service lets a packet wait before it looks at it. */
  delayMs?(bytes: number, session: Session): number;
  /** Asked before publish(): what is unacknowledged, this one included. */
  inflight?(count: number, bytes: number): PublishVerdict | undefined;
  /** Granted QoS or failure code for each filter. */
  subscribe(packet: ISubscribePacket, session: Session): readonly number[] | Closing;
  /** New credentials in the middle of a session [MQTT5 4.12.1]. */
  auth?(packet: IAuthPacket, session: Session): { expiresAtMs: number; expiry: Closing } | Closing;
  /** 0: none. */
  readonly topicAliasMax: number;
  /** When an admitted session's connection has ended, for whatever reason but a newer one. */
  left?(session: Session): void;
  /** As soon as a message has been taken. */
  taken?(packet: IPublishPacket, session: Session): void;
  /** After the acknowledgement has been sent, to who is still there. */
  acknowledged?(packet: IPublishPacket, session: Session): void;
};
