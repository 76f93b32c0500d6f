import { goldenTest } from "./goldenTest.ts";

goldenTest("golden fixtures: adapters of other families", /^adapters\/(?!llama\/)/);
