// NixlConnector
export type KvRole = "kv_producer" | "kv_consumer" | "kv_both";
export const ROLES = ["kv_producer", "kv_consumer", "kv_both"] as const;
test("x", () => { expect(role).toBe("kv_both"); });
