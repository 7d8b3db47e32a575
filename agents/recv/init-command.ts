// `init TYPE`: a commented profile to begin with, written from the schema itself, so that it names every key there is
// with what it means, what is allowed and its default. What has to be filled in stands without "#".
import * as z from "zod";
import { profileSchema } from "./profile.ts";

type Schema = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

type Samples = { readonly [key: string]: string | Samples };

/** What a person has to fill in, as it might look; the rest is left at its default. */
const SAMPLES: Readonly<Record<string, Samples>> = {
  mqtt: { url: "mqtts://broker.example:8883", client_id: "plant-7" },
  "hivemq-cloud": {
    url: "mqtts://CLUSTER.s1.eu.hivemq.cloud:8883",
    client_id: "plant-7",
    username: "plant-7",
    password_file: "hivemq.password",
  },
  "emqx-cloud": {
    url: "mqtts://DEPLOYMENT.ala.eu-central-1.emqxsl.com:8883",
    client_id: "plant-7",
    username: "plant-7",
    password_file: "emqx.password",
    tls: { ca_file: "emqxsl-ca.crt" },
  },
  "aws-iot": {
    endpoint: "PREFIX-ats.iot.eu-central-1.amazonaws.com",
    client_id: "plant-7",
    tls: { cert_file: "plant-7.pem.crt", key_file: "plant-7.pem.key" },
  },
  "azure-iot-hub": {
    hub: "HUB.azure-devices.net",
    device_id: "plant-7",
    auth: "sas-key",
    device_key_file: "plant-7.key",
  },
  "azure-event-grid": {
    endpoint: "NAMESPACE.westeurope-1.ts.eventgrid.azure.net",
    client_id: "plant-7",
    username: "plant-7",
    tls: { cert_file: "plant-7.pem.crt", key_file: "plant-7.pem.key" },
  },
  sparkplug: { url: "mqtts://broker.example:8883", client_id: "plant-7" },
};
const WIDTH = 110;

/** The types there are, in the order of the manual. */
export function profileTypes(): string[] {
  return variants().map(({ properties }) => String(properties?.type?.const));
}

/** The text of a profile; undefined for a type there is not. */
export function writeProfile(type: string): string | undefined {
  const schema = variants().find(({ properties }) => properties?.type?.const === type);
  if (schema === undefined) return undefined;
  const head = [
    ...comment(`The profile of a target of type "${type}". ${schema.properties?.type?.description ?? ""}`),
    ...comment(
      'Keys behind "#" have their default. Relative paths start from this file; files with secrets have mode 0600. Afterwards: tidegate-recv check, and tidegate-recv policy for what the cloud has to allow.',
    ),
    "",
    `type = ${JSON.stringify(type)}`,
  ];
  return `${[...head, ...writeTable("", schema, SAMPLES[type] ?? {})].join("\n")}\n`;
}

function variants(): readonly Schema[] {
  const json = z.toJSONSchema(profileSchema, { io: "input", unrepresentable: "any" });
  return (json as { oneOf?: readonly Schema[] }).oneOf ?? [];
}

/** Keys first, then the tables below it: TOML has no other order. */
function writeTable(path: string, schema: Schema, samples: Samples): string[] {
  const lines: string[] = [];
  const tables: string[] = [];
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    if (path === "" && key === "type") continue;
    const sample = samples[key];
    const at = path === "" ? key : `${path}.${key}`;
    const inner = value.type === "object" ? value : value.items?.type === "object" ? value.items : undefined;
    if (inner !== undefined) {
      const title = inner === value ? `[${at}]` : `[[${at}]]`;
      const isUsed = typeof sample === "object";
      const body = writeTable(at, inner, isUsed ? sample : {});
      tables.push("", ...comment(value.description ?? ""), isUsed ? title : `# ${title}`, ...body);
      continue;
    }
    const text =
      typeof sample === "string" ? `${key} = ${JSON.stringify(sample)}` : `# ${key} = ${showDefault(value)}`;
    lines.push("", ...comment(value.description ?? ""), text);
  }
  return [...lines, ...tables];
}

/** The default, or what is allowed where there is none. */
function showDefault(schema: Schema): string {
  if (schema.default !== undefined) return JSON.stringify(schema.default);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf !== undefined) return schema.anyOf.map((each) => JSON.stringify(each.const)).join(" | ");
  if (schema.type === "integer" || schema.type === "number") return String(schema.minimum ?? 0);
  return schema.type === "array" ? "[]" : '""';
}

function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ").filter((each) => each !== "")) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return line === "#" ? lines : [...lines, line];
}
