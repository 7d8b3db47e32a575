// The public authorities that each cloud's servers are signed by. The certificates themselves come with the runtime
// (Mozilla's list); this says which of them a profile trusts when it has no tls.ca_file, so that none of the other
// hundred authorities of the world can vouch for somebody in the middle. A test fails when the runtime drops one.
import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";

/** Common names and SHA-256 fingerprints, as the vendors publish them. */
export const PUBLIC_ROOTS = {
  "Amazon Root CA 1": "8ECDE6884F3D87B1125BA31AC3FCB13D7016DE7F57CC904FE1CB97C6AE98196E",
  "Amazon Root CA 2": "1BA5B2AA8C65401A82960118F80BEC4F62304D83CEC4713A19C39C011EA46DB4",
  "Amazon Root CA 3": "18CE6CFE7BF14E60B2E347B8DFE868CB31D02EBB3ADA271569F50343B46DB3A4",
  "Amazon Root CA 4": "E35D28419ED02025CFA69038CD623962458DA5C695FBDEA3C22B0BFB25897092",
  "Starfield Services Root Certificate Authority - G2":
    "568D6905A2C88708A4B3025190EDCFEDB1974A606A13C6E5290FCB2AE63EDAB5",
  "Starfield Root Certificate Authority - G2":
    "2CE1CB0BF9D2F9E102993FBE215152C3B2DD0CABDE1C68E5319B839154DBB7F5",
  "DigiCert Global Root G2": "CB3CCBB76031E5E0138F8DD39A23F9DE47FFC35E43C1144CEA27D46A5AB1CB5F",
  "DigiCert Global Root G3": "31AD6648F8104138C738F39EA4320133393E3A18CC02296EF97C2AC9EF6731D0",
  "Microsoft RSA Root Certificate Authority 2017":
    "C741F70F4B2A8D88BF2E71C14122EF53EF10EBA0CFA5E64CFA20F418853073E0",
  "ISRG Root X1": "96BCEC06264976F37460779ACF28C5A7CFE8A3C0AAE11A8FFCEE05C0BDDF08C6",
  "ISRG Root X2": "69729B8E15A86EFC177A57AFB7171DFC64ADD28C2FCA8CF1507E34453CCB1470",
} as const;

export type PublicRoot = keyof typeof PUBLIC_ROOTS;

export const AMAZON_ROOTS: readonly PublicRoot[] = [
  "Amazon Root CA 1",
  "Amazon Root CA 2",
  "Amazon Root CA 3",
  "Amazon Root CA 4",
  "Starfield Services Root Certificate Authority - G2",
  "Starfield Root Certificate Authority - G2",
];
export const AZURE_ROOTS: readonly PublicRoot[] = [
  "DigiCert Global Root G2",
  "DigiCert Global Root G3",
  "Microsoft RSA Root Certificate Authority 2017",
];
export const LETS_ENCRYPT_ROOTS: readonly PublicRoot[] = ["ISRG Root X1", "ISRG Root X2"];

const pems = new Map<string, string>();

/** The certificates of these roots, one after the other in PEM; undefined when the runtime has one of them no more. */
export function readRoots(names: readonly PublicRoot[]): string | undefined {
  if (pems.size === 0) {
    for (const pem of rootCertificates)
      pems.set(new X509Certificate(pem).fingerprint256.replaceAll(":", ""), pem);
  }
  const found = names.map((name) => pems.get(PUBLIC_ROOTS[name]));
  return found.includes(undefined) ? undefined : found.join("\n");
}
