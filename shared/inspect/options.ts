// What the command line of `inspect` asks for. Refuses a port that is none.
import type { CommandSpec } from "../cli/command.ts";
import { EXIT, type ExitStatus } from "../cli/exit.ts";
import type { CommandValues } from "../cli/parse.ts";
import type { Fault } from "../config/fault.ts";
import { formatFaults } from "../config/loaded.ts";
import type { InspectOptions } from "./inspect.ts";
import type { LinkKeys } from "./opener.ts";

export const INSPECT_COMMAND: CommandSpec = {
  name: "inspect",
  summary: "Explain a capture of the link (pcap, pcapng), or the directory or file of a journal or spool",
  options: [
    { name: "path", value: "PATH", summary: "What to explain", required: true, positional: true },
    {
      name: "config",
      value: "FILE",
      summary: "The configuration, for the key that opens datagrams; without it only headers are read",
    },
    { name: "port", value: "N", summary: "Explain what goes to this UDP port, and nothing else" },
    { name: "summary", summary: "Print the summary alone" },
    { name: "payloads", summary: "Print the messages' payloads and user properties, too" },
    { name: "json", summary: "Print JSON, one object a line" },
  ],
};

export type Refused = { readonly status: ExitStatus; readonly stderr: string };
export type LoadedLink =
  | { readonly ok: true; readonly link: LinkKeys }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** `loadLink` reads the configuration FILE; it is not called when none was given. */
export function readInspectOptions(
  values: CommandValues,
  loadLink: (file: string) => LoadedLink,
): InspectOptions | Refused {
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(/^\d{1,5}$/.test(values.port ?? "") && port >= 1 && port <= 65_535)) {
    return { status: EXIT.usage, stderr: "--port takes a number from 1 to 65535\n" };
  }
  const loaded = values.config === undefined ? undefined : loadLink(values.config);
  if (loaded?.ok === false) return { status: EXIT.config, stderr: formatFaults(loaded.faults) };
  return {
    link: loaded?.link,
    port,
    withPayloads: values.payloads !== undefined,
    summaryOnly: values.summary !== undefined,
    json: values.json !== undefined,
  };
}
