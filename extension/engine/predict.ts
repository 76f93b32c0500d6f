import type { Prediction } from "../core/predict.ts";
import type { Handlers } from "../protocol/connection.ts";
import type {
  Prediction as PlainPrediction,
  PredictContract,
} from "../protocol/predictContract.ts";
import type { Library } from "./library.ts";

/** What the engine answers about models that do not write text. */
export function predictHandlers(library: Library): Handlers<PredictContract> {
  return {
    predict: async ({ base, inputs, adapters }, { signal }) => {
      const options = { ...(adapters && { adapters }), signal };
      return (await library.require(base).predict(inputs, options)).map(plain);
    },
  };
}

function plain(prediction: Prediction): PlainPrediction {
  switch (prediction.task) {
    case "sequence-classification":
    case "image-classification":
      return { ...prediction, scores: [...prediction.scores] };
    case "token-classification":
      return { ...prediction, tokens: [...prediction.tokens] };
    case "question-answering":
      return prediction;
    case "feature-extraction": {
      const { task, mean, first } = prediction;
      return { task, mean: [...mean], first: [...first] };
    }
    default:
      return prediction satisfies never;
  }
}
