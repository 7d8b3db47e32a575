// The command `inspect` of this agent: its own configuration names the link and the keys that open a capture.
import type { CommandValues } from "../../shared/cli/parse.ts";
import type { InspectOptions } from "../../shared/inspect/inspect.ts";
import { type Refused, readInspectOptions } from "../../shared/inspect/options.ts";
import { loadRecvConfig } from "./config.ts";

/** `environment` is what the configuration may refer to. */
export function prepareInspect(
  values: CommandValues,
  environment: Parameters<typeof loadRecvConfig>[1],
): InspectOptions | Refused {
  return readInspectOptions(values, (file) => {
    const loaded = loadRecvConfig(file, environment, { expiredCertificates: "allow" });
    if (!loaded.ok) return loaded;
    const { id, keys } = loaded.config.link;
    return { ok: true, link: { linkId: id, linkKeys: keys.map((key) => key.reveal()) } };
  });
}
