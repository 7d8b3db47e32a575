// What a type of target does in its own way; everything else is the same for all (broker-target.ts).
import type { Logger } from "../../../shared/log.ts";
import type { Message } from "../../../shared/message.ts";
import type { ConnectionFault } from "../../../shared/mqtt/explain.ts";
import type { TlsSettings } from "../../../shared/mqtt/transport.ts";
import type { Channel, ChannelLogin } from "./channel.ts";
import type { Channels } from "./channels.ts";
import type { Judgement } from "./outcome.ts";
import type { Form } from "./oversize.ts";
import type { PublishRate } from "./publish-rate.ts";

export type Dialect = {
  /** The last word on a message that has its topic, QoS and retain flag: the vendor's limits and formats. */
  judge?(message: Message, original: Message, form: Form): Judgement;
  /** It has user properties, or something like them, even where MQTT has none. */
  readonly hasProperties?: boolean;
  /** Goes where the broker sends its clients instead. */
  readonly followsReference?: boolean;
  /** As it is sent: the name that it is sent under may have changed since it was judged. */
  readdress?(message: Message): Message;
  /** To be called every few milliseconds. */
  tick?(): void;
  /** Asked before each attempt of a connection; the user and password of the profile when absent. */
  login?(clientId: string): ChannelLogin;
  /** What to look at when the login is refused, for the sentence. */
  readonly loginHint?: string;
  /** The same when the service ends the connection without a word. */
  readonly closedHint?: string;
  /** The key of the profile that has the address; "url" when absent. */
  readonly addressKey?: string;
  /** Other channels than a fixed number that share the topics. */
  channels?(rim: ChannelsRim): Channels;
  /** Called once; the channels connect when it says so. Without it they connect at once. */
  begin?(rim: DialectRim): void;
  /** A channel has connected (no `fault`), or has lost its connection or failed to get one. */
  heard?(clientId: string, fault: ConnectionFault | undefined): void;
  /** What is wrong before the channels connect, in a sentence. */
  problem?(): string | undefined;
  /** Ends what it has begun. */
  close?(): void;
};

export type DialectRim = {
  readonly log: Logger;
  /** Only the first call does something. */
  connect(): void;
  /** Every channel hands over to a fresh session. */
  renew(): void;
  /** The certificates in force. */
  tls(): TlsSettings | undefined;
};

export type ChannelsRim = {
  /** A clock that only runs forward. */
  steady(): number;
  open(label: string, clientId: string, rate: PublishRate | undefined): Channel;
  /** There may be room again. */
  ready(): void;
};
