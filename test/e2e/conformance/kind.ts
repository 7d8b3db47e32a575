// What the conformance suite has to know of a type of target: how to start a service for it, what its profile says, and
// where its limits are. A new type is one more file in kinds/ and one more line in kinds.ts.
import type { PacketServer } from "../../fakes/server/server.ts";
import type { CertificateSet } from "../../support/certificates.ts";
import type { Site } from "../../support/site.ts";
import type { TomlTable } from "../../support/toml.ts";

export type Letter = {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  readonly userProperties?: Readonly<Record<string, string>>;
};

/** What the service took, as a reader sees it. */
export type Taken = {
  /** The publisher's, without a mark. */
  readonly topic: string;
  readonly payload: Buffer;
  /** "gzip", or of a part "ID-NUMBER-COUNT". */
  readonly mark: string | undefined;
};

/** A service of its own, and the profile that finds it. */
export type Subject = {
  readonly server: PacketServer;
  readonly profile: TomlTable;
  taken(): readonly Taken[];
  /** What the client showed of itself is no longer good, in mid-stream; another is in place when this returns. */
  expireToken?(): Promise<void>;
};

export type Wishes = {
  readonly site: Site;
  readonly set: CertificateSet;
  /** Of the target, and so of the client. */
  readonly name: string;
  /** "token": a password, a token, whatever may end; "certificate": the files own.pem and own.key beside the profile. */
  readonly login: "token" | "certificate";
  /** Whether the service has its usual rate, which the profile is to know; else neither has any, to be quick. */
  readonly isPaced: boolean;
};

/** For the profile of a target that is to be quick. */
export const UNPACED = { messages_per_second: 0, bytes_per_second: 0 };

export type Kind = {
  readonly type: string;
  start(wishes: Wishes): Promise<Subject>;
  /** Exactly at a limit: each arrives, and the connection lives. */
  readonly edges: readonly Letter[];
  /** One past a limit: each is a dead letter, and the connection lives. */
  readonly beyond: readonly (Letter & { readonly reason: string })[];
  /** What the service takes of a payload at most, about. */
  readonly payloadBytesMax: number;
};

export function repeat(text: string, bytes: number): string {
  return text.repeat(Math.ceil(bytes / text.length)).slice(0, bytes);
}

export function levels(count: number): string {
  return Array.from({ length: count }, (_, index) => index.toString(36)).join("/");
}

/** The mark that a property has, or the last level of the topic. */
export function readMark(
  topic: string,
  properties: Readonly<Record<string, unknown>>,
): Pick<Taken, "topic" | "mark"> {
  const { "content-encoding": encoding, "tidegate-part": part } = properties;
  if (part !== undefined || encoding !== undefined) return { topic, mark: String(part ?? encoding) };
  const [, plain, mark] = /^(.*)\/tidegate-(gzip|part-[0-9a-f-]+)$/s.exec(topic) ?? [];
  return { topic: plain ?? topic, mark: mark?.replace("part-", "") };
}
