// Does what the README's `nats` lines do, with the npm client, since Debian has no nats command line.
// Usage: node nats_lines.mjs URL PID-OF-DB1: db1 is up, and is killed in between.
import { connect, StringCodec } from "nats";
import assert from "node:assert/strict";
import process from "node:process";

const [url, pid] = process.argv.slice(2);
const text = StringCodec();
const connection = await connect({ servers: url });
const js = connection.jetstream();

/** The first value of an asynchronous sequence that `wanted` holds for. */
async function first(sequence, wanted) {
  for await (const value of sequence) if (wanted(value)) return value;
  throw new Error("the sequence ended");
}
const state_of = (data) => JSON.parse(text.decode(data));
const ok = (line, what) => console.log(`ok    ${line}   ${what}`);

// The bucket is there already: it is only bound to.
const health = await js.views.kv("health", { bindOnly: true });
const targets = await js.views.kv("health_targets", { bindOnly: true });

const entry = await health.get("db1");
assert.equal(state_of(entry.value).state, "up");
ok("nats kv get health db1", `up, revision ${entry.revision}`);

const event = first(connection.subscribe("health.state.>"), (m) => m.subject === "health.state.db1");
const watched = first(await health.watch({ key: "db1" }), (e) => e.operation === "PUT" && state_of(e.value).state === "down");
await connection.flush();
process.kill(Number(pid), "SIGKILL");

const told = state_of((await event).data);
assert.equal(told.state, "down");
assert.equal(told.previous, "up");
ok("nats sub 'health.state.>'", `down, ${told.reason}`);

const down = await watched;
assert.equal(state_of(down.value).transition, told.transition);
ok("nats kv watch health", `down, revision ${down.revision}`);

const story = [];
for await (const e of await health.history({ key: "db1" })) {
  story.push(state_of(e.value).state);
  if (e.delta === 0) break;
}
assert.deepEqual(story.slice(-2), ["up", "down"]);
ok("nats kv history health db1", story.join(", "));

const removal = first(connection.subscribe("health.state.db2"), (m) => m.headers?.get("KV-Operation") === "DEL");
await connection.flush();
await targets.delete("db2");
await removal;
ok("nats kv del health_targets db2", "its state is removed");
await connection.close();
