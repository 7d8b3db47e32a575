// Makes up what a plant says: temperatures, pressures, counters and a vibration waveform in binary, of two
// sites with three lines each. Pure: the same number and time give the same message.

export type PlantMessage = { readonly topic: string; readonly payload: Uint8Array };

/** Messages on these topics stay behind: the send agent filters them by the rule of this name. */
export const FILTER = { name: "no-debug", drop: "plant/+/+/debug" } as const;

const SITES = ["hamburg", "linz"];
const LINES = ["line-1", "line-2", "line-3"];
const WAVEFORM_SAMPLES = 128;

type Sensor = { readonly name: string; readonly unit: string; readonly base: number; readonly swing: number };

const SENSORS: readonly Sensor[] = [
  { name: "temperature", unit: "°C", base: 71, swing: 4 },
  { name: "pressure", unit: "bar", base: 5.8, swing: 0.4 },
  { name: "speed", unit: "1/min", base: 1480, swing: 25 },
  { name: "power", unit: "kW", base: 22.4, swing: 6 },
];

/** The message with this number. Every number differs in topic or content from all others. */
export function createPlantMessage(number: number, timeMs: number): PlantMessage {
  const site = SITES[number % SITES.length];
  const line = LINES[Math.floor(number / SITES.length) % LINES.length];
  const kind = Math.floor(number / (SITES.length * LINES.length)) % (SENSORS.length + 2);
  const topic = (name: string): string => `plant/${site}/${line}/${name}`;
  const sensor = SENSORS[kind];
  if (sensor !== undefined)
    return { topic: topic(sensor.name), payload: encodeReading(sensor, number, timeMs) };
  if (kind === SENSORS.length) return { topic: topic("vibration"), payload: encodeWaveform(number, timeMs) };
  return { topic: topic("debug"), payload: encodeJson({ text: "cycle done", n: number }) };
}

/** Whether the filter of the send agent keeps it back. */
export function staysBehind(topic: string): boolean {
  return topic.endsWith("/debug");
}

/** One line for a person, e.g. `71.3 °C` or a sketch of the waveform. */
export function describePayload(topic: string, payload: Uint8Array): string {
  if (topic.endsWith("/vibration")) return sketchWaveform(payload);
  try {
    const { value, unit } = JSON.parse(new TextDecoder().decode(payload)) as {
      value?: number;
      unit?: string;
    };
    return `${value ?? "?"} ${unit ?? ""}`;
  } catch {
    return "(unreadable)";
  }
}

function encodeReading(sensor: Sensor, number: number, timeMs: number): Uint8Array {
  const phase = timeMs / 7_000 + number;
  const value = sensor.base + sensor.swing * Math.sin(phase) + (sensor.swing / 20) * Math.sin(phase * 13);
  return encodeJson({
    value: Number(value.toFixed(2)),
    unit: sensor.unit,
    ts: new Date(timeMs).toISOString(),
    n: number,
  });
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

// Eight bytes of number and time, then samples as signed 16-bit integers: bytes that are no text on purpose.
function encodeWaveform(number: number, timeMs: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 + 2 * WAVEFORM_SAMPLES));
  view.setUint32(0, number);
  view.setUint32(4, Math.floor(timeMs / 1_000));
  for (let index = 0; index < WAVEFORM_SAMPLES; index += 1) {
    const angle = (index / WAVEFORM_SAMPLES) * 2 * Math.PI;
    const sample = Math.sin(angle * 3 + number) * 0.7 + Math.sin(angle * 17 + timeMs / 900) * 0.3;
    view.setInt16(8 + 2 * index, Math.round(sample * 32_000));
  }
  return new Uint8Array(view.buffer);
}

function sketchWaveform(payload: Uint8Array): string {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let sketch = "";
  for (let offset = 8; offset + 2 <= view.byteLength; offset += 8) {
    sketch += "▁▂▃▄▅▆▇█"[Math.min(7, Math.floor((view.getInt16(offset) + 32_768) / 8_192))];
  }
  return sketch;
}
