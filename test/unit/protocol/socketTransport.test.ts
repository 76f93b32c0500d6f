import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Connection } from "../../../extension/protocol/connection.ts";
import { socketTransport } from "../../../extension/protocol/socketTransport.ts";

type Echo = { echo: { params: { text: string }; result: string; event: number } };
type Nothing = Record<never, never>;

const servers: Server[] = [];
after(() => servers.forEach((server) => server.close()));

/** Two ends of a socket in a folder of its own. */
async function pair(): Promise<[Socket, Socket]> {
  const name = `graft-socket-${process.pid}-${servers.length}`;
  const path = process.platform === "win32" ? `\\\\.\\pipe\\${name}` : join(tmpdir(), name);
  const server = createServer().listen(path);
  servers.push(server);
  await once(server, "listening");
  const client = connect(path);
  const [other] = (await once(server, "connection")) as [Socket];
  return [client, other];
}

test("requests, events and long texts with line breaks pass a socket", async () => {
  const [client, other] = await pair();
  new Connection<Echo, Nothing>(socketTransport(other), {
    echo: ({ text }, { emit }) => {
      emit(text.length);
      return text;
    },
  });
  const asking = new Connection<Nothing, Echo>(socketTransport(client), {});
  const text = "ein Satz\nmit Umbruch … ".repeat(20_000);
  const events: number[] = [];
  const onEvent = (event: number): void => void events.push(event);
  const answers = await Promise.all([
    asking.request("echo", { text }, { onEvent }),
    asking.request("echo", { text: "" }),
  ]);
  assert.deepEqual(answers, [text, ""]);
  assert.deepEqual(events, [text.length]);
  client.destroy();
});

test("a closed end rejects what is pending, and what is no message cuts the other off", async () => {
  const [client, other] = await pair();
  new Connection<Echo, Nothing>(socketTransport(other), {
    echo: () => new Promise<string>(() => undefined),
  });
  const asking = new Connection<Nothing, Echo>(socketTransport(client), {});
  const pending = asking.request("echo", { text: "a" });
  const closed = once(other, "close");
  client.write("GET / HTTP/1.1\r\n\r\n");
  await closed;
  await assert.rejects(pending, { code: "engine-gone" });
});
