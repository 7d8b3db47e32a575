// The admin server: /healthz, /readyz, /metrics and /api/status. Read-only: anything but GET and HEAD is refused, and
// no request changes anything. With a token, /metrics and /api/status want it; the two probes never do.
import { createHash, timingSafeEqual } from "node:crypto";
import type { Metrics } from "./metrics.ts";

/** Ready, or the sentences that say what is missing. */
export type Readiness = { readonly ready: boolean; readonly missing: readonly string[] };

export type AdminOptions = {
  readonly host: string;
  readonly port: number;
  readonly token: string | undefined;
  readonly metrics: Metrics;
  status(): unknown;
  readiness(): Readiness;
};

export type AdminServer = { readonly address: string; stop(): Promise<void> };

/** Throws an Error with a sentence for a person when the address cannot be bound. */
export function startAdmin(options: AdminOptions): AdminServer {
  const wanted = options.token === undefined ? undefined : digest(`Bearer ${options.token}`);
  const address = (host: string, port: number) => `${host.includes(":") ? `[${host}]` : host}:${port}`;
  try {
    const server = Bun.serve({
      hostname: options.host,
      port: options.port,
      maxRequestBodySize: 0,
      fetch: (request) => answer(request, options, wanted),
      error: () => new Response("internal error\n", { status: 500 }),
    });
    return {
      address: address(options.host, server.port ?? options.port),
      stop: () => server.stop(true),
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on admin.address ${address(options.host, options.port)}: ${why}`);
  }
}

async function answer(
  request: Request,
  options: AdminOptions,
  wanted: Buffer | undefined,
): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("only GET and HEAD\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  const { pathname } = new URL(request.url);
  if (pathname === "/healthz") return new Response("ok\n");
  if (pathname === "/readyz") {
    const { ready, missing } = options.readiness();
    return Response.json({ ready, missing }, { status: ready ? 200 : 503 });
  }
  if (pathname !== "/metrics" && pathname !== "/api/status")
    return new Response("not found\n", { status: 404 });
  if (wanted !== undefined && !timingSafeEqual(wanted, digest(request.headers.get("authorization") ?? ""))) {
    return new Response("this needs the token of admin.token_file\n", {
      status: 401,
      headers: { "www-authenticate": "Bearer" },
    });
  }
  if (pathname === "/api/status")
    return Response.json(options.status(), { headers: { "cache-control": "no-store" } });
  const { text, contentType } = await options.metrics.scrape();
  return new Response(text, { headers: { "content-type": contentType } });
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
