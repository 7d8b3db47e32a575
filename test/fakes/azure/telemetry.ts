// Reads a telemetry topic of IoT Hub: who it is from, and the properties in its last level.

export type Telemetry = {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  /** By their short names, `$.ct`. */
  readonly system: Readonly<Record<string, string>>;
  readonly application: Readonly<Record<string, string>>;
  /** As the hub counts: payload, values of system properties, names and values of the others. */
  readonly bytes: number;
};

const TOPIC = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/events\/(.*)$/s;

/** A sentence when it is no telemetry, or telemetry that the hub can't accept. */
export function readTelemetry(topic: string, payload: Uint8Array): Telemetry | string {
  const [, deviceId, moduleId, bag] = TOPIC.exec(topic) ?? [];
  if (deviceId === undefined || bag === undefined) return "not a telemetry topic";
  const system: Record<string, string> = {};
  const application: Record<string, string> = {};
  let bytes = payload.length;
  // Some clients put a "?" before the bag; the hub skips it.
  for (const field of bag.replace(/^\?/, "").split("&")) {
    if (field === "") continue;
    const [rawName = "", rawValue = "", more] = field.split("=");
    if (more !== undefined || rawName === "") return `malformed property ${field}`;
    let pair: [string, string];
    try {
      pair = [decodeURIComponent(rawName), decodeURIComponent(rawValue)];
    } catch {
      return `malformed property ${field}`;
    }
    const [name, value] = pair;
    if (!/^[\x20-\x7e]*$/.test(name + value)) return `property beyond ASCII ${field}`;
    const isSystem = name.startsWith("$.");
    (isSystem ? system : application)[name] = value;
    bytes += value.length + (isSystem ? 0 : name.length);
  }
  return { deviceId, moduleId, system, application, bytes };
}
