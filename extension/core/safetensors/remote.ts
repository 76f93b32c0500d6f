import { readRemoteRange } from "../hub/remoteFile.ts";
import type { RemoteRepo, RepoFile } from "../hub/repo.ts";
import type { HubSettings } from "../hub/settings.ts";
import { readHeader, type SafetensorsFile } from "./read.ts";

/** A first request this long has the whole header of most adapters: 300 tensors take 40 kB. */
const firstRead = 64 * 1024;

/** The header of a file on the Hub, read by Range: no byte of a tensor that is not beside it. */
export async function openRemoteSafetensors(
  settings: HubSettings,
  { repo, file }: { repo: RemoteRepo; file: RepoFile },
  signal?: AbortSignal,
): Promise<SafetensorsFile> {
  const range = (offset: number, length: number): Promise<Buffer> =>
    readRemoteRange(settings, { repo, file, offset, length }, signal);
  const start = await range(0, Math.min(firstRead, file.size));
  return readHeader(
    { file: `${repo.id}/${file.path}`, size: file.size },
    async (offset, length) => {
      const end = offset + length;
      if (end <= start.length) return start.subarray(offset, end);
      const have = start.subarray(Math.min(offset, start.length));
      const rest = await range(offset + have.length, length - have.length);
      return Buffer.concat([have, rest]);
    },
  );
}
