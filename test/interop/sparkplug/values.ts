// What the device of TahuEdge.java has that does not change, as TahuHost.java prints it.
export const DEVICE: Readonly<Record<string, unknown>> = {
  long: "-9223372036854775808",
  unsigned: "18446744073709551615",
  double: "3.141592653589793",
  float: "1.5",
  boolean: true,
  nothing: null,
  bytes: "00ff30",
  when: 1_700_000_000_000,
  temperature: "20.25",
};
