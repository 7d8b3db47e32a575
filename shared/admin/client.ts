// Asks a running agent for its status: what the `status` command prints.

/** The status as JSON, or a sentence that says why there is none and what to do. */
export async function fetchStatus(
  address: { readonly host: string; readonly port: number },
  token: string | undefined,
): Promise<{ readonly status: unknown } | { readonly error: string }> {
  const wildcard: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const host = wildcard[address.host] ?? address.host;
  const name = `${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const response = await fetch(`http://${name}/api/status`, { headers, signal: AbortSignal.timeout(5000) });
    if (response.ok) return { status: await response.json() };
    return {
      error: `cannot read the status from ${name}: it answered ${response.status} ${response.statusText}`,
    };
  } catch {
    return { error: `cannot reach the agent at ${name}: is it running, with this configuration?` };
  }
}
