import assert from "node:assert/strict";
import { test } from "node:test";
import { type Memento, Session } from "../../../extension/session.ts";
import type { Requester } from "../../../extension/engineProcess.ts";
import { adapter, base, loaded } from "./samples.ts";

type Answer = (params: never) => unknown;

const answers: Record<string, Answer> = {
  discover: () => ({ bases: [base], adapters: [adapter("pirate")], problems: [] }),
  loadBaseModel: ({ path }: { path: string }) => ({ ...base, path }),
  unloadBaseModel: () => null,
  loadAdapter: ({ path }: { path: string }) => loaded(path.split("/").at(-1) ?? ""),
  unloadAdapter: () => null,
  setActiveAdapters: () => ({ swapSeconds: 0 }),
  checkFit: ({ paths }: { paths: string[] }) =>
    paths.map((path) => ({ path, fits: true, bound: 28, total: 28 })),
};

function start(change: Record<string, Answer> = {}, memento?: Memento) {
  const calls: string[] = [];
  const remembered: (Memento | undefined)[] = [];
  const table = { ...answers, ...change };
  const request = async (method: string, params: unknown): Promise<unknown> => {
    calls.push(method);
    await Promise.resolve();
    return table[method]?.(params as never);
  };
  const engine = { request } as unknown as Requester;
  let bases: Readonly<Record<string, string>> = {};
  const session = new Session({
    engine,
    recallBases: () => bases,
    rememberBases: (value) => void (bases = value),
    roots: async () => ({ roots: [], huggingFaceCache: false }),
    recall: () => memento,
    remember: (value) => void remembered.push(value),
    warn: () => {},
  });
  return { session, calls, remembered, engine };
}

const refuse = (): never => {
  throw Object.assign(new Error("no"), { code: "bad-file", details: {} });
};

test("looks once, and measures what fits the loaded base", async () => {
  const { session, calls } = start();
  await Promise.all([session.discovered(), session.discovered()]);
  assert.deepEqual(calls, ["discover"]);
  await session.loadBase(base.path);
  assert.equal(session.state.fits.get("/adapters/pirate")?.fits, true);
});

test("another base takes the place of the first only once it is loaded", async () => {
  const loadBaseModel: Answer = ({ path }: { path: string }) =>
    path === "/broken" ? refuse() : { ...base, path };
  const { session, calls } = start({ loadBaseModel });
  await session.loadBase(base.path);
  await assert.rejects(session.loadBase("/broken"));
  assert.equal(session.state.base?.path, base.path);
  await session.loadBase("/other");
  assert.equal(session.state.base?.path, "/other");
  assert(calls.indexOf("unloadBaseModel") > calls.lastIndexOf("loadBaseModel"));
});

test("changes happen one after the other, in the order in which they were asked for", async () => {
  const { session } = start();
  const pirate = session.loadBase(base.path).then(() => session.loadAdapter("/adapters/pirate"));
  await pirate;
  await Promise.all([
    session.activate([{ name: "pirate", weight: 1 }]),
    session.activate([]),
    session.activate([{ name: "pirate", weight: 0.5 }]),
  ]);
  assert.deepEqual(session.state.active, [{ name: "pirate", weight: 0.5 }]);
});

test("unloading an active adapter takes it out of the answers first", async () => {
  const { session, calls } = start();
  await session.loadBase(base.path);
  await session.loadAdapter("/adapters/pirate");
  await session.activate([{ name: "pirate", weight: 1 }]);
  await session.unloadAdapter("pirate");
  assert.deepEqual(session.state.active, []);
  assert.deepEqual(session.state.loaded, []);
  assert.deepEqual(calls.slice(-2), ["setActiveAdapters", "unloadAdapter"]);
});

test("a renamed adapter stays active and is remembered under its name", async () => {
  const { session, remembered } = start();
  await session.loadBase(base.path);
  await session.loadAdapter("/adapters/pirate");
  await session.activate([{ name: "pirate", weight: 0.5 }]);
  await session.renameAdapter("pirate", "captain");
  assert.deepEqual(session.state.active, [{ name: "captain", weight: 0.5 }]);
  assert.deepEqual(remembered.at(-1)?.adapters, [{ path: "/adapters/pirate", name: "captain" }]);
});

const memento: Memento = {
  base: base.path,
  adapters: [{ path: "/adapters/pirate", name: "pirate" }],
  active: [{ name: "pirate", weight: 0.5 }],
};

test("remembers what is loaded and brings it back, once", async () => {
  const { session, remembered, calls } = start({}, memento);
  await Promise.all([session.restoreRemembered(), session.restoreRemembered()]);
  assert.equal(calls.filter((c) => c === "loadBaseModel").length, 1);
  assert.deepEqual(session.state.active, memento.active);
  assert.deepEqual(remembered.at(-1), memento);
});

test("what cannot be brought back is forgotten, quietly", async () => {
  const { session, remembered } = start({ loadBaseModel: refuse }, memento);
  await session.restoreRemembered();
  assert.equal(session.state.base, null);
  assert.equal(remembered.at(-1), undefined);
});

test("a fresh engine gets what the dead one had", async () => {
  const { session, calls, engine } = start({}, memento);
  await session.restoreRemembered();
  calls.length = 0;
  await session.restoreAfterCrash(engine as never);
  const expected = ["loadBaseModel", "loadAdapter", "setActiveAdapters"];
  assert.deepEqual(calls, expected);
});

test("without a base, says so instead of asking the engine", async () => {
  const { session, calls } = start();
  await assert.rejects(session.loadAdapter("/adapters/pirate"), /Load a base model first/);
  assert.deepEqual(calls, []);
});

test("a base that was named for an adapter is known from then on, until it is gone", async () => {
  const lost = adapter("pirate", { basePath: null });
  const discover: Answer = () => ({ bases: [base], adapters: [lost], problems: [] });
  const { session } = start({ discover });
  const basePath = (): string | null | undefined => session.state.adapters[0]?.basePath;
  await session.discovered();
  assert.equal(basePath(), null);
  session.rememberBaseOf(lost.path, base.path);
  assert.equal(basePath(), base.path);
  await session.refresh();
  assert.equal(basePath(), base.path);
  session.rememberBaseOf(lost.path, null);
  await session.refresh();
  assert.equal(basePath(), null);
});

test("an adapter that leads to the loaded base unloads nothing", async () => {
  const loadBaseModel: Answer = () => ({ ...base, adapter: "/adapters/pirate" });
  const { session, calls } = start({ loadBaseModel });
  await session.loadBase(base.path);
  await session.loadAdapter("/adapters/json");
  const again = await session.loadBase("/adapters/pirate");
  assert.deepEqual([again.path, again.adapter], [base.path, "/adapters/pirate"]);
  assert.equal(session.state.loaded.length, 1);
  assert(!calls.includes("unloadBaseModel"));
});

test("a folder that was looked at anew is right, and its fit is asked about", async () => {
  const [pirate, json] = [adapter("pirate"), adapter("json")];
  let found = [pirate];
  const discover: Answer = () => ({ bases: [base], adapters: found, problems: [] });
  const { session, calls } = start({ discover });
  await session.loadBase(base.path);
  await session.discovered();
  found = [json];
  calls.length = 0;
  await session.rescan([{ path: json.path, source: "workspace", isOne: true }]);
  const names = (): string[] => session.state.adapters.map(({ name }) => name);
  assert.deepEqual(
    [names(), calls],
    [
      ["pirate", "json"],
      ["discover", "checkFit"],
    ],
  );
  found = [];
  await session.rescan([{ path: pirate.path, source: "workspace", isOne: true }]);
  assert.deepEqual(names(), ["json"]);
});

test("what measuring one adapter finds is kept", async () => {
  const discover: Answer = () => ({ bases: [base], adapters: [adapter("pirate")], problems: [] });
  const measureEffect: Answer = () => ({ mean: 0.5 });
  const { session } = start({ discover, measureEffect });
  await session.discovered();
  await session.loadBase(base.path);
  const { name, path } = await session.loadAdapter("/adapters/pirate");
  await session.measureEffect([{ name, weight: 0.5 }]);
  assert.equal(session.state.effects.size, 0);
  await session.measureEffect([{ name, weight: 1 }]);
  assert.deepEqual(session.state.effects.get(path), { kind: "logits", value: 0.5 });
  session.noteEffect(path, { kind: "norm", value: 9 });
  assert.equal(session.state.effects.get(path)?.kind, "logits");
});
