/** Label of a token that is not scored, as in `torch.nn.functional.cross_entropy`. */
export const IGNORED = -100;
