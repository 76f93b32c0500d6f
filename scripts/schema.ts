// Writes media/schemas/adapter_config.schema.json from the methods' own fields: npm run schema.
import { mkdir, writeFile } from "node:fs/promises";
import { schemaText } from "../extension/core/peft/schema/adapterConfigSchema.ts";

const file = "media/schemas/adapter_config.schema.json";
await mkdir("media/schemas", { recursive: true });
await writeFile(file, schemaText());
console.log(`${file} is written.`);
