// Whether each path of the link can be opened, and how large a receive buffer the kernel grants.
import type { Finding } from "../../../shared/doctor/finding.ts";
import { createSilentLog } from "../../../shared/log.ts";
import type { RecvConfig } from "../config.ts";
import { RecvPaths } from "../link/paths.ts";

/** Opens the paths one after the other and closes them again; what comes meanwhile is not looked at. */
export async function checkPaths({ link }: RecvConfig): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const path of link.paths) {
    const subject = `path ${path.name}`;
    const rim = { log: createSilentLog(), steady: () => performance.now(), random: Math.random };
    // Nothing is taken: files stay in their inbox.
    const output = { receive: () => {}, mark: () => 0, keep: () => "refused" as const };
    const one = new RecvPaths({ ...link, paths: [path] }, rim, output);
    try {
      await one.open();
      const [figures] = one.figures();
      const granted = figures?.receiveBufferBytes;
      if (figures?.problem !== undefined)
        findings.push({ level: "fail", subject, sentence: figures.problem });
      else if (path.type === "udp" && granted !== undefined && granted < 2 * path.receiveBufferBytes)
        // The kernel shows twice what it grants, for its own bookkeeping.
        findings.push({
          level: "warn",
          subject,
          sentence: `${figures?.address} can be bound, but the kernel grants a receive buffer of ${granted / 2} bytes instead of ${path.receiveBufferBytes}; bursts may be lost: sysctl -w net.core.rmem_max=${path.receiveBufferBytes}`,
        });
      else
        findings.push({ level: "fine", subject, sentence: `${figures?.address || path.type} can be opened` });
    } catch (error) {
      findings.push({
        level: "fail",
        subject,
        sentence: error instanceof Error ? error.message : String(error),
      });
    } finally {
      await one.close();
    }
  }
  return findings;
}
