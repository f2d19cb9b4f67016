// npm's scimmy with scimmy-routers, in memory, with an index for look-ups by userName.
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

function serve(resourceType, key) {
  const byId = new Map();
  const byKey = new Map();
  SCIMMY.Resources.declare(resourceType)
    .ingress((resource, data) => {
      const id = resource.id ?? randomUUID();
      const now = new Date();
      const old = byId.get(id);
      const kept = { ...JSON.parse(JSON.stringify(data)), id, meta: { created: old?.meta.created ?? now, lastModified: now } };
      byId.set(id, kept);
      byKey.set(kept[key], kept);
      return kept;
    })
    .egress((resource) => {
      if (resource.id) {
        const found = byId.get(resource.id);
        if (!found) throw new SCIMMY.Types.Error(404, null, "unknown");
        return found;
      }
      const asked = resource.filter?.[0]?.[key];
      if (resource.filter?.length === 1 && asked?.[0] === "eq") {
        const found = byKey.get(asked[1]);
        return found ? [found] : [];
      }
      const all = [...byId.values()];
      return resource.filter ? resource.filter.match(all) : all;
    })
    .degress((resource) => { byId.delete(resource.id); });
}

serve(SCIMMY.Resources.User, "userName");
serve(SCIMMY.Resources.Group, "displayName");
const app = express();
app.use("/scim", new SCIMMYRouters({
  type: "bearer",
  docUri: "https://localhost/",
  handler: (request) => {
    if (request.header("Authorization") !== "Bearer none") throw new Error("who?");
    return "nobody";
  },
}));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
server.keepAliveTimeout = 120_000;  // a page takes longer than the default lets a connection idle
