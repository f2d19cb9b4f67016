// Ory Polis (npm @boxyhq/saml-jackson), its directory sync in memory behind node's own HTTP server.
import { createServer } from "node:http";
import jackson from "@boxyhq/saml-jackson";

const polis = await (jackson.default ?? jackson)({
  externalUrl: "http://127.0.0.1",
  samlPath: "/saml",
  scimPath: "/scim",
  noAnalytics: true,
  db: { engine: "mem" },
  logger: { info() {}, warn() {}, error() {} },
  dsync: { callback: async () => {} },
});
const sync = polis.directorySyncController;
const { data: directory, error } = await sync.directories.create({
  tenant: "acme", product: "bench", name: "bench", type: "okta-scim-v2",
});
if (error) throw new Error(JSON.stringify(error));

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const url = new URL(request.url, "http://127.0.0.1");
  const [, , resourceType, resourceId] = url.pathname.split("/");
  const query = Object.fromEntries(url.searchParams);
  const answer = await sync.requests.handle({
    method: request.method,
    body: pieces.length ? JSON.parse(Buffer.concat(pieces)) : undefined,
    directoryId: directory.id,
    resourceType,
    resourceId,
    apiSecret: directory.scim.secret,
    query: {
      ...query,
      count: query.count ? Number(query.count) : undefined,
      startIndex: query.startIndex ? Number(query.startIndex) : undefined,
    },
  });
  const body = Buffer.from(JSON.stringify(answer.data ?? {}));
  response.writeHead(answer.status, { "Content-Type": "application/scim+json", "Content-Length": body.length });
  response.end(body);
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
