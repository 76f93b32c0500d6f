import type { Vocabulary } from "./vocabulary.ts";

/** Token ids in, the text of their bytes out, with nothing tidied up. */
export class ByteStream {
  text = "";
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(private readonly vocabulary: Vocabulary) {}

  push(id: number): void {
    this.text += this.decoder.decode(this.vocabulary.bytesOf(id) ?? undefined, { stream: true });
  }

  /** The end: an unfinished character is shown as it is. */
  finish(): string {
    this.text += this.decoder.decode();
    return this.text;
  }
}
