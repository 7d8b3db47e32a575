// The names under which refused and ended connections are counted.
import type { Flaw } from "../../../../shared/mqtt/flaw.ts";
import { REASON } from "../../../../shared/mqtt/reason-code.ts";

/** Why a connection was refused or ended by the server; the counter's label and the word in docs/operating.md. */
export type ConnectionRefusal =
  | "banned"
  | "connections-max"
  | "connection-rate"
  | "tls"
  | "websocket"
  | "connect-timeout"
  | "version"
  | "client-id"
  | "authentication-method"
  | "bad-credentials"
  | "anonymous"
  | "will-not-authorized"
  | "busy"
  | "malformed"
  | "protocol-error"
  | "packet-too-large"
  | "receive-maximum"
  | "topic-alias"
  | "unfinished-packets"
  | "keep-alive"
  | "taken-over"
  | "user-changed"
  | "revoked"
  | "access-changed";

export function nameFlaw({ code }: Flaw): ConnectionRefusal {
  switch (code) {
    case REASON.protocolError:
      return "protocol-error";
    case REASON.unsupportedVersion:
      return "version";
    case REASON.packetTooLarge:
      return "packet-too-large";
    case REASON.receiveMaximumExceeded:
      return "receive-maximum";
    case REASON.topicAliasInvalid:
      return "topic-alias";
    case REASON.quotaExceeded:
      return "unfinished-packets";
    default:
      return "malformed";
  }
}
