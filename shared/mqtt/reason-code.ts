// The reason codes that a server sends [MQTT5 2.4], and what MQTT 3.1 and 3.1.1 have in their place.

export const REASON = {
  success: 0x00,
  noSubscriptionExisted: 0x11,
  unspecified: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  unsupportedVersion: 0x84,
  clientIdentifierInvalid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
} as const;

export type ReasonCode = (typeof REASON)[keyof typeof REASON];

/** The connect return code of MQTT 3.1.1 that says the most of it [MQTT 3.1.1 3.2.2.3]; undefined: only closing is left. */
export function toReturnCode(reason: number): number | undefined {
  switch (reason) {
    case REASON.success:
      return 0;
    case REASON.unsupportedVersion:
      return 1;
    case REASON.clientIdentifierInvalid:
      return 2;
    case REASON.badUserNameOrPassword:
      return 4;
    case REASON.notAuthorized:
    case REASON.banned:
      return 5;
    case REASON.serverUnavailable:
    case REASON.serverBusy:
    case REASON.quotaExceeded:
      return 3;
    default:
      return undefined;
  }
}
