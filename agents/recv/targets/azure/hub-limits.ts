// What Azure IoT Hub takes a second, by tier and units, and what an identity may look like. Pure.
// From "IoT Hub quotas and throttling" and "Identity registry": Microsoft moves the numbers, a profile may override them.

export const HUB_TIERS = ["F1", "B1", "S1", "B2", "S2", "B3", "S3"] as const;
export type HubTier = (typeof HUB_TIERS)[number];

/** Server maximum 1767 s, which the hub grants as one and a half times what the client asks for. */
export const HUB_KEEP_ALIVE_SECONDS_MAX = 1177;
export const HUB_MESSAGE_BYTES_MAX = 262_144;

/** Nine tenths of the throttle: a burst after a pause comes on top, and the hub answers none of what is over it. */
const SHARE = 0.9;

/** Device-to-cloud sends of the whole hub, and as many new connections. */
export function hubThrottle(tier: HubTier, units: number): number {
  if (tier.endsWith("3")) return 6000 * units;
  if (tier.endsWith("2")) return 120 * units;
  return Math.max(100, 12 * units);
}

export function hubRate(tier: HubTier, units: number): number {
  return Math.floor(hubThrottle(tier, units) * SHARE);
}

/** 1 to 128 of ASCII letters and digits and these; case matters. */
const HUB_ID = /^[A-Za-z0-9\-.%_*?!(),:=@$']{1,128}$/;

export function isHubId(text: string): boolean {
  return HUB_ID.test(text);
}
