// Sparkplug B topics: spBv1.0/GROUP/TYPE/NODE[/DEVICE], and the STATE of a host application in the form of 3.0
// (spBv1.0/STATE/HOST, JSON) and in the older one (STATE/HOST, "ONLINE" or "OFFLINE") [Sparkplug 3.0, chapter 4].
// Refuses a topic of the namespace that no edge node and no host may publish to; what is not of the namespace is none of ours.

export const NAMESPACE = "spBv1.0";
const OLD_STATE = "STATE";

export type NodeType = "NBIRTH" | "NDEATH" | "NDATA" | "NCMD";
export type DeviceType = "DBIRTH" | "DDEATH" | "DDATA" | "DCMD";

export type SparkplugTopic =
  | { readonly type: NodeType; readonly group: string; readonly node: string; readonly device: undefined }
  | { readonly type: DeviceType; readonly group: string; readonly node: string; readonly device: string }
  | { readonly type: "STATE"; readonly host: string; readonly format: StateFormat };

export type EdgeTopic = Exclude<SparkplugTopic, { readonly type: "STATE" }>;

/** "3.0": JSON with a timestamp. "2.2": the bare words of the specification before it. */
export type StateFormat = "3.0" | "2.2";

export type TopicFault = "message-type" | "levels" | "empty-level" | "wildcard" | "too-long";

/** Characters of one id: names are remembered, so that they must have an end. */
const ID_CHARACTERS_MAX = 1024;

const NODE_TYPES: ReadonlySet<string> = new Set<NodeType>(["NBIRTH", "NDEATH", "NDATA", "NCMD"]);
const DEVICE_TYPES: ReadonlySet<string> = new Set<DeviceType>(["DBIRTH", "DDEATH", "DDATA", "DCMD"]);

/** Whether the topic belongs to the Sparkplug namespace at all, well formed or not. */
export function isSparkplugTopic(topic: string): boolean {
  return (
    topic.startsWith(`${NAMESPACE}/`) || (topic.startsWith(`${OLD_STATE}/`) && topic.split("/").length === 2)
  );
}

/** Whether it is the STATE of a host application, in one of the two forms. */
export function isStateTopic(topic: string): boolean {
  return topic.startsWith(`${NAMESPACE}/${OLD_STATE}/`) || topic.startsWith(`${OLD_STATE}/`);
}

/** The parts of a topic for which isSparkplugTopic() holds, or why it has none. */
export function parseTopic(topic: string): SparkplugTopic | TopicFault {
  const levels = topic.split("/");
  if (levels.includes("")) return "empty-level";
  if (levels.some((level) => level.length > ID_CHARACTERS_MAX)) return "too-long";
  if (/[+#]/.test(topic)) return "wildcard";
  const [space, group, type, node, device] = levels as [string, ...(string | undefined)[]];
  if (space === OLD_STATE)
    return levels.length === 2 ? { type: "STATE", host: group as string, format: "2.2" } : "levels";
  if (group === "STATE" && levels.length === 3) return { type: "STATE", host: type as string, format: "3.0" };
  if (type === undefined || node === undefined || group === undefined) return "levels";
  if (NODE_TYPES.has(type))
    return levels.length === 4 ? { type: type as NodeType, group, node, device: undefined } : "levels";
  if (!DEVICE_TYPES.has(type)) return "message-type";
  return levels.length === 5 && device !== undefined
    ? { type: type as DeviceType, group, node, device }
    : "levels";
}

export function formatTopic(topic: SparkplugTopic): string {
  if (topic.type === "STATE")
    return topic.format === "3.0" ? `${NAMESPACE}/STATE/${topic.host}` : `${OLD_STATE}/${topic.host}`;
  const { group, type, node, device } = topic;
  return device === undefined
    ? `${NAMESPACE}/${group}/${type}/${node}`
    : `${NAMESPACE}/${group}/${type}/${node}/${device}`;
}

/** Whether a name may be a group, edge node, device or host id; the reason when not. */
export function checkIdentifier(name: string): string | undefined {
  if (name === "") return "is empty";
  const wrong = /[+#/]/.exec(name)?.[0];
  return wrong === undefined ? undefined : `has the character "${wrong}"`;
}
