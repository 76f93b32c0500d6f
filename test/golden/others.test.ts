import { goldenTest } from "./goldenTest.ts";

goldenTest("golden fixtures: all but adapters", /^(?!adapters\/)/);
