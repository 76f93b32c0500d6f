import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { badFile, cancelled } from "../../../extension/core/base/errors.ts";
import {
  Connection,
  type Handlers,
  type Transport,
} from "../../../extension/protocol/connection.ts";
import { failure } from "../core/support.ts";

type Contract = {
  echo: { params: unknown; result: unknown };
  count: { params: number; result: string; event: number };
  wait: { params: null; result: string };
  fail: { params: string; result: null };
};
type Nothing = Record<string, never>;

/** Two ends; messages arrive later and as JSON, as between processes. */
function pair(): { ends: [Transport, Transport]; sent: unknown[]; cut(reason: string): void } {
  const listeners: ((message: unknown) => void)[][] = [[], []];
  const closers: ((reason: string) => void)[] = [];
  const sent: unknown[] = [];
  const end = (own: number): Transport => ({
    send: (message) => {
      sent.push(message);
      const text = JSON.stringify(message);
      setImmediate(() => listeners[1 - own]?.forEach((listen) => listen(JSON.parse(text))));
    },
    onMessage: (listen) => void listeners[own]?.push(listen),
    onClose: (listen) => void closers.push(listen),
  });
  const cut = (reason: string): void => closers.forEach((close) => close(reason));
  return { ends: [end(0), end(1)], sent, cut };
}

/** Resolves when the handler's signal fires. */
const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve()));

const handlers: Handlers<Contract> = {
  echo: (params) => params,
  count: async (to, { emit }) => {
    for (let i = 1; i <= to; i++) {
      emit(i);
      if (i % 2 === 0) await Promise.resolve();
    }
    // Nobody hears what is said after the result.
    setImmediate(() => emit(-1));
    return `counted to ${to}`;
  },
  wait: async (_params, { signal }) => {
    await untilAborted(signal);
    throw cancelled();
  },
  fail: async (what) => {
    if (what === "named") throw badFile("a.json", "is broken");
    if (what === "plain") throw new Error("no such luck");
    if (what === "abort") throw new DOMException("stop", "AbortError");
    throw what;
  },
};

function connect(change: Partial<Handlers<Contract>> = {}) {
  const { ends, ...wire } = pair();
  const client = new Connection<Nothing, Contract>(ends[0], {});
  const server = new Connection<Contract, Nothing>(ends[1], { ...handlers, ...change });
  return { client, server, ...wire };
}

/** Long enough for a message to arrive and for its answer to come back: the pair uses setImmediate. */
async function later(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

for (const value of [7, 0, "", null, false, [1, { a: null }], { nested: { text: "é\u{1F600}" } }]) {
  test(`${JSON.stringify(value)} is answered by itself`, async () => {
    assert.deepEqual(await connect().client.request("echo", value), value);
  });
}

test("events come in order, before the result, and none after it", async () => {
  const events: unknown[] = [];
  const onEvent = (event: number): void => void events.push(event);
  events.push(await connect().client.request("count", 5, { onEvent }));
  await later();
  assert.deepEqual(events, [1, 2, 3, 4, 5, "counted to 5"]);
  assert.equal(await connect().client.request("count", 2), "counted to 2");
});

test("answers find their requests, whichever is ready first", async () => {
  const slow = async (params: unknown): Promise<unknown> => {
    await new Promise((resolve) => setTimeout(resolve, 10 * (3 - Number(params))));
    return params;
  };
  const { client } = connect({ echo: slow });
  const answers = await Promise.all([1, 2, 3].map((i) => client.request("echo", i)));
  assert.deepEqual(answers, [1, 2, 3]);
});

test("both ends may ask at once", async () => {
  const { ends } = pair();
  const a = new Connection<Contract, Contract>(ends[0], { ...handlers, echo: () => "a" });
  const b = new Connection<Contract, Contract>(ends[1], { ...handlers, echo: () => "b" });
  const answers = [a.request("echo", 1), b.request("echo", 1), a.request("fail", "named")];
  const [fromB, fromA, refused] = await Promise.allSettled(answers);
  assert.deepEqual(fromB, { status: "fulfilled", value: "b" });
  assert.deepEqual(fromA, { status: "fulfilled", value: "a" });
  assert.equal(refused?.status, "rejected");
});

const failures: [what: string, code: "bad-file" | "internal" | "cancelled", says: string][] = [
  ["named", "bad-file", "a.json: is broken."],
  ["plain", "internal", "no such luck"],
  ["abort", "cancelled", "Cancelled."],
  ["a bare string", "internal", "a bare string"],
];

for (const [what, code, says] of failures) {
  test(`a handler that throws (${what}) ends its request: ${code}`, async () => {
    await assert.rejects(connect().client.request("fail", what), failure(code, says));
  });
}

test("the facts of an error cross", async () => {
  const thrown: unknown = await connect()
    .client.request("fail", "named")
    .catch((error) => error);
  const { details } = thrown as { details: unknown };
  assert.deepEqual(details, { file: "a.json", problem: "is broken" });
});

for (const method of ["nothing", "toString", "constructor", "__proto__", ""]) {
  test(`the unknown method "${method}" is an error`, async () => {
    const request = connect().client.request(method as "echo", null);
    await assert.rejects(request, failure("internal", `Unknown method ${method}`));
  });
}

test("cancelling aborts the handler's signal, and its end is the request's", async () => {
  const { client } = connect();
  const controller = new AbortController();
  const waiting = client.request("wait", null, { signal: controller.signal });
  await later();
  controller.abort();
  await assert.rejects(waiting, failure("cancelled"));
});

test("a handler may end well although it was cancelled", async () => {
  const wait: Handlers<Contract>["wait"] = async (_params, { signal }) => {
    await untilAborted(signal);
    return "what there was";
  };
  const controller = new AbortController();
  const waiting = connect({ wait }).client.request("wait", null, { signal: controller.signal });
  setImmediate(() => controller.abort());
  assert.equal(await waiting, "what there was");
});

test("cancelling one request leaves the others alone", async () => {
  const signals: AbortSignal[] = [];
  const wait: Handlers<Contract>["wait"] = async (_params, { signal }) => {
    signals.push(signal);
    await untilAborted(signal);
    throw cancelled();
  };
  const { client } = connect({ wait });
  const controllers = [new AbortController(), new AbortController()] as const;
  const [first, second] = controllers.map(({ signal }) => client.request("wait", null, { signal }));
  await later();
  controllers[1].abort();
  await assert.rejects(second as Promise<string>, failure("cancelled"));
  assert.equal(signals.map(({ aborted }) => aborted).join(), "false,true");
  controllers[0].abort();
  await assert.rejects(first as Promise<string>, failure("cancelled"));
});

test("a request that is cancelled before it is sent is not sent", async () => {
  const { client, sent } = connect();
  const request = client.request("echo", 1, { signal: AbortSignal.abort() });
  await assert.rejects(request, failure("cancelled"));
  assert.deepEqual(sent, []);
});

test("a signal that outlives its request is not kept busy", async () => {
  const { client, sent } = connect();
  const { signal } = new AbortController();
  const controller = new AbortController();
  await client.request("echo", 1, { signal: controller.signal });
  await client.request("fail", "plain", { signal }).catch(() => {});
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  const count = sent.length;
  controller.abort();
  assert.equal(sent.length, count);
});

test("when the wire is cut, all that waits is rejected and all that runs is aborted", async () => {
  let aborted = 0;
  const wait: Handlers<Contract>["wait"] = async (_params, { signal }) => {
    await untilAborted(signal);
    aborted++;
    return "too late";
  };
  const { client, cut, sent } = connect({ wait });
  const waiting = [client.request("wait", null), client.request("wait", null)];
  const settled = Promise.allSettled(waiting);
  await later();
  const count = sent.length;
  cut("signal SIGKILL");
  for (const each of waiting) await assert.rejects(each, failure("engine-gone", "signal SIGKILL"));
  await settled;
  await later();
  assert.equal(aborted, 2);
  assert.equal(sent.length, count, "something was sent after the end");
});

test("after the end a request is rejected at once, with the first reason", async () => {
  const { client, sent, cut } = connect();
  client.close("window closed");
  cut("something else");
  await assert.rejects(client.request("echo", 1), failure("engine-gone", "window closed"));
  assert.deepEqual(sent, []);
});

test("messages of others are left alone", async () => {
  const { ends } = pair();
  const hear: ((message: unknown) => void)[] = [];
  const client = new Connection<Nothing, Contract>(
    { ...ends[0], onMessage: (listen) => void hear.push(listen) },
    {},
  );
  const request = client.request("echo", 1);
  const kinds = ["hello", "result", "event", "cancel"];
  const noise = [null, undefined, 7, "text", {}, ...kinds.map((kind) => ({ kind, id: 99 }))];
  for (const message of noise) hear.forEach((listen) => listen(message));
  hear.forEach((listen) => listen({ kind: "result", id: 1, result: "mine" }));
  hear.forEach((listen) => listen({ kind: "result", id: 1, result: "twice" }));
  assert.equal(await request, "mine");
});
