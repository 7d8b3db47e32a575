// Whether clients can connect to us: each address can be bound, and certificates and revocation lists hold on.
import { createServer } from "node:net";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import type { Finding } from "../../../shared/doctor/finding.ts";
import { judgeAuthorities, judgeCertificates, judgeCrls } from "../../../shared/doctor/validity.ts";
import { type ListenerConfig, type ListenSource, readCrl } from "../listen-config.ts";

/** `isRunning`: the agent listens there. */
export async function checkListen(
  { name, listeners }: ListenSource,
  isRunning: boolean,
  nowMs: number,
): Promise<Finding[]> {
  const subject = `source ${name}`;
  const findings: Finding[] = [];
  for (const listener of listeners) {
    if (!isRunning) findings.push(await tryAddress(subject, listener));
    findings.push(...checkFiles(subject, listener, nowMs));
  }
  return findings;
}

async function tryAddress(subject: string, { address }: ListenerConfig): Promise<Finding> {
  const shown = formatEndpoint(address);
  const code = await new Promise<string | undefined>((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(address.port, address.host, () => server.close(() => resolve(undefined)));
  });
  if (code === undefined) return { level: "fine", subject, sentence: `${shown} can be listened on` };
  const why = REASONS[code] ?? "look at the address of the listener";
  return { level: "fail", subject, sentence: `cannot listen on ${shown} (${code}); ${why}` };
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has the port: ss -tlnp says which",
  EADDRNOTAVAIL: "no interface has this address: ip address shows those there are",
  EACCES:
    "ports below 1024 are for root: take another one, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit",
  ENOTFOUND: "the name has no address: write the address",
};

function checkFiles(subject: string, { tls }: ListenerConfig, nowMs: number): Finding[] {
  if (tls === undefined) return [];
  const found = [
    ...judgeCertificates(subject, "our certificate", tls.certPem, nowMs),
    ...judgeAuthorities(subject, "the authority in tls.client_ca_file", tls.clientCaPem ?? "", nowMs),
  ];
  if (tls.crlFile === undefined) return found;
  const read = readCrl(tls.crlFile);
  if ("pem" in read) return [...found, ...judgeCrls(subject, tls.crlFile, read.pem, nowMs)];
  return [...found, { level: "fail", subject, sentence: `${read.problem}; fetch the list again` }];
}
