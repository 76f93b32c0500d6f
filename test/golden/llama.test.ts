import { goldenTest } from "./goldenTest.ts";

goldenTest("golden fixtures: adapters of llama", /^adapters\/llama\//);
