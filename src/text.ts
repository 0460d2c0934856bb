/** Tokenizers and chat templates: no kernels, no device. */
export { loadTokenizer, type DecodeOptions, type StreamDecoder, type Tokenizer } from "./text/tokenizer.ts";
export { renderChatTemplate, type ChatMessage, type ChatOptions } from "./text/chat.ts";
export { SAMPLING_DEFAULTS, sampleToken, type SamplingOptions } from "./text/sampling.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
