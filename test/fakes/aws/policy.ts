// Policies of AWS IoT, as far as a publisher meets them. In a pattern "*" stands for anything, across levels, and "?" for
// one character; MQTT's "+" and "#" are plain characters.

export type AwsPolicy = {
  /** Patterns of client ids for iot:Connect. */
  readonly connect: readonly string[];
  /** Patterns of topics for iot:Publish. */
  readonly publish: readonly string[];
  /** Patterns of topics for iot:RetainPublish, which needs iot:Publish as well. */
  readonly retainPublish: readonly string[];
  /** iot:ConnectAttributes that the policy grants; none by default, as at AWS. */
  readonly lastWill: boolean;
  readonly persistentConnect: boolean;
};

/** What a careful person grants: everything but retain, will and persistent sessions. */
export const PLAIN_POLICY: AwsPolicy = {
  connect: ["*"],
  publish: ["*"],
  retainPublish: [],
  lastWill: false,
  persistentConnect: false,
};

export function grants(patterns: readonly string[], resource: string): boolean {
  return patterns.some((pattern) => matchPattern(pattern, resource));
}

function matchPattern(pattern: string, resource: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\#/-]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s").test(resource);
}
